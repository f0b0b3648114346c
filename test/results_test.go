package e2e

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// measurement is one step of all claims of a round.
type measurement struct {
	limits    string // of the kube-controller-manager
	kind      string
	round     int
	contender string
	step      string
	took      time.Duration   // until the last claim
	times     []time.Duration // of each claim; nil where they are not known
	cpu       time.Duration   // of the contender's process and its children
	peakMiB   int             // of its memory; 0 where it is not known
}

// results are a file with a line for each measurement.
type results struct {
	file *os.File
	to   *csv.Writer
}

var resultsHeader = []string{
	"limits", "kind", "round", "contender", "step", "claims", "seconds", "p50_ms", "p95_ms", "p99_ms", "cpu_seconds", "peak_mib",
}

// appendTo keeps what earlier runs have measured.
func appendTo(path string) (*results, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	r := &results{file, csv.NewWriter(file)}
	info, err := file.Stat()
	if err == nil && info.Size() == 0 {
		err = r.to.Write(resultsHeader)
	}
	return r, err
}

func (r *results) add(m measurement) {
	seconds := func(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
	line := []string{
		m.limits, m.kind, strconv.Itoa(m.round), m.contender, m.step, strconv.Itoa(len(m.times)), seconds(m.took), "", "", "", seconds(m.cpu), "",
	}
	if len(m.times) > 0 {
		slices.Sort(m.times)
		for i, percent := range []int{50, 95, 99} {
			line[7+i] = fmt.Sprintf("%.1f", float64(percentile(m.times, percent).Microseconds())/1000)
		}
	}
	if m.peakMiB > 0 {
		line[11] = strconv.Itoa(m.peakMiB)
	}
	_ = r.to.Write(line) // the writer keeps the error for close
	r.to.Flush()         // so that a run which is ended leaves what it has
}

func (r *results) close() error {
	return errors.Join(r.to.Error(), r.file.Close())
}
