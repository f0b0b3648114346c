package main

import (
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strconv"
)

// measured is what the rounds of one step have in common.
type measured struct {
	limits, kind, contender, step string
}

// figures are of one round.
type figures struct {
	claims, seconds, p50, p95, p99, cpu, peakMiB float64
}

type rounds map[measured][]figures

// read takes the columns by their names.
func read(from io.Reader) (rounds, error) {
	lines, err := csv.NewReader(from).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 {
		return nil, errors.New("there are no results")
	}
	all := rounds{}
	for _, line := range lines[1:] {
		cells := map[string]string{}
		for i, column := range lines[0] {
			cells[column] = line[i]
		}
		number := func(column string) float64 {
			if cells[column] == "" {
				return 0 // was not measured
			}
			value, parseErr := strconv.ParseFloat(cells[column], 64)
			err = errors.Join(err, parseErr)
			return value
		}
		what := measured{cells["limits"], cells["kind"], cells["contender"], cells["step"]}
		all[what] = append(all[what], figures{
			number("claims"), number("seconds"), number("p50_ms"), number("p95_ms"), number("p99_ms"),
			number("cpu_seconds"), number("peak_mib"),
		})
	}
	return all, err
}

// median is 0 where nothing was measured.
func (r rounds) median(what measured, of func(figures) float64) float64 {
	var values []float64
	for _, each := range r[what] {
		values = append(values, of(each))
	}
	slices.Sort(values)
	switch middle := len(values) / 2; {
	case len(values) == 0:
		return 0
	case len(values)%2 == 1:
		return values[middle]
	default:
		return (values[middle-1] + values[middle]) / 2
	}
}

func rate(f figures) float64      { return f.claims / f.seconds }
func seconds(f figures) float64   { return f.seconds }
func cpuPer100(f figures) float64 { return 100 * f.cpu / f.claims }
func p50(f figures) float64       { return f.p50 }
func p95(f figures) float64       { return f.p95 }
func p99(f figures) float64       { return f.p99 }
func peakMiB(f figures) float64   { return f.peakMiB }
