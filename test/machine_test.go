package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// machine notes what the tests had of the machine. Others may use it too, and where a test
// has waited in vain its output is all that is left to tell why.
type machine struct {
	mu      sync.Mutex
	moments []moment // the latest
}

// moment is about a second.
type moment struct {
	at     time.Time
	lag    time.Duration // by which this process woke too late
	answer time.Duration // that the API server took for the least that it can be asked
	ticks  ticks         // until then
}

// ticks are what /proc/stat counts of all processors, in hundredths of seconds.
type ticks struct{ all, idle, waiting, stolen float64 }

// momentsKept are those of the longest wait.
const momentsKept = int(3 * patience / time.Second)

// watch goes on as long as this process.
func (m *machine) watch(e *environment) {
	go func() {
		for {
			slept := time.Now()
			time.Sleep(time.Second)
			now := moment{at: time.Now(), lag: time.Since(slept) - time.Second, ticks: readTicks()}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // some tests stop it
			_, _ = e.client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceDefault, metav1.GetOptions{})
			cancel()
			now.answer = time.Since(now.at)
			m.mu.Lock()
			m.moments = append(m.moments, now)
			m.moments = m.moments[max(0, len(m.moments)-momentsKept):]
			m.mu.Unlock()
		}
	}()
}

// readTicks is empty where it can't be read.
func readTicks() (t ticks) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return t
	}
	line, _, _ := strings.Cut(string(text), "\n")
	// cpu user nice system idle iowait irq softirq steal; what follows is in user.
	for i, field := range strings.Fields(line)[1:] {
		count, _ := strconv.ParseFloat(field, 64)
		switch i {
		case 3:
			t.idle = count
		case 4:
			t.waiting = count
		case 7:
			t.stolen = count
		}
		if i < 8 {
			t.all += count
		}
	}
	return t
}

// since tells of the time since then in one line.
func (m *machine) since(then time.Time) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var first, last moment
	var lag, answer time.Duration
	for _, now := range m.moments {
		if now.at.Before(then) {
			continue
		}
		if first.at.IsZero() {
			first = now
		}
		last, lag, answer = now, max(lag, now.lag), max(answer, now.answer)
	}
	percent := func(of func(ticks) float64) float64 {
		return 100 * (of(last.ticks) - of(first.ticks)) / max(1, last.ticks.all-first.ticks.all)
	}
	return fmt.Sprintf("of the processors %.0f %% were idle, %.0f %% waited for disks, %.0f %% were used by other machines; "+
		"this process slept up to %s too long; the API server took up to %s to answer",
		percent(func(t ticks) float64 { return t.idle }), percent(func(t ticks) float64 { return t.waiting }),
		percent(func(t ticks) float64 { return t.stolen }), lag.Round(time.Millisecond), answer.Round(time.Millisecond))
}

// daemons tells which of the cluster's daemons do not run, and the last lines of the one
// that binds and releases claims, and of the one that starts them all.
func (e *environment) daemons() string {
	var report strings.Builder
	logs := []string{filepath.Join(e.cluster.Dir, "supervisor.log")}
	for _, daemon := range e.cluster.Daemons {
		pid, err := os.ReadFile(daemon.PIDFile)
		stat, statErr := os.ReadFile(fmt.Sprintf("/proc/%s/stat", strings.TrimSpace(string(pid))))
		_, state, _ := strings.Cut(string(stat), ") ") // what is before it is the name
		if state == "" || strings.ContainsAny(state[:1], "TZ") {
			fmt.Fprintln(&report, daemon.Name, "does not run:", state, errors.Join(err, statErr))
		}
		if daemon.Name == "kube-controller-manager" {
			logs = append(logs, daemon.Log)
		}
	}
	for _, log := range logs {
		text, err := os.ReadFile(log)
		lines := strings.SplitAfter(string(text), "\n")
		fmt.Fprintln(&report, log, err)
		report.WriteString(strings.Join(lines[max(0, len(lines)-15):], ""))
	}
	return report.String()
}
