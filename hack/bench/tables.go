package main

import (
	"fmt"
	"io"
	"strings"
)

var (
	allLimits  = []string{"raised", "stock"}
	kinds      = []string{"rbd", "subvolume", "subvolume-users", "directory", "directory-users"}
	contenders = []string{"ours", "none", "bare", "forks"}
	steps      = []string{"create", "grow", "delete"}
)

// writeRates has a block for each step, and in it a line for each kind.
func writeRates(to io.Writer, all rounds) {
	for _, step := range steps {
		fmt.Fprintf(to, "%s\t%s\n", step, strings.Join(contenders, "\t"))
		for _, kind := range kinds {
			fmt.Fprint(to, kind)
			for _, contender := range contenders {
				fmt.Fprintf(to, "\t%.2f", all.median(measured{"raised", kind, contender, step}, rate))
			}
			fmt.Fprintln(to)
		}
		fmt.Fprint(to, "\n\n")
	}
}

func writeTables(to io.Writer, all rounds) {
	for _, limits := range allLimits {
		writeRateTable(to, all, limits)
	}
	writeTimes(to, all)
	writeAlone(to, all)
	writeCost(to, all)
	writeReclaim(to, all)
}

// row prints cells; a figure that was not measured is empty.
func row(to io.Writer, first string, format string, cells ...float64) {
	fmt.Fprint(to, "| ", first)
	for _, cell := range cells {
		fmt.Fprint(to, " | ")
		if cell > 0 {
			fmt.Fprintf(to, format, cell)
		}
	}
	fmt.Fprintln(to, " |")
}

func header(to io.Writer, title string, columns ...string) {
	fmt.Fprintf(to, "\n%s:\n\n| %s |\n|%s\n", title, strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
}

// over is 0 where one of both was not measured.
func over(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func writeRateTable(to io.Writer, all rounds, limits string) {
	if all.median(measured{limits, "rbd", "ours", "create"}, rate) == 0 && limits == "stock" {
		return
	}
	header(to, "Claims per second, kube-controller-manager's limits "+limits,
		"", "ours", "none", "bare", "forks", "ours / none", "ours / bare", "ours / forks")
	for _, kind := range kinds {
		for _, step := range steps {
			var rates []float64
			for _, contender := range contenders {
				rates = append(rates, all.median(measured{limits, kind, contender, step}, rate))
			}
			if rates[0] == 0 {
				continue
			}
			row(to, kind+", "+step, "%.2f", append(rates, over(rates[0], rates[1]), over(rates[0], rates[2]), over(rates[0], rates[3]))...)
		}
	}
}

func writeTimes(to io.Writer, all rounds) {
	header(to, "Milliseconds for each of many claims at once", "", "ours p50", "p95", "p99", "none p50", "p95", "p99")
	for _, kind := range kinds {
		for _, step := range steps {
			var times []float64
			for _, contender := range contenders[:2] {
				what := measured{"raised", kind, contender, step}
				times = append(times, all.median(what, p50), all.median(what, p95), all.median(what, p99))
			}
			if times[0] > 0 {
				row(to, kind+", "+step, "%.0f", times...)
			}
		}
	}
}

func writeAlone(to io.Writer, all rounds) {
	header(to, "Milliseconds from claim to Bound, one at a time, p50", "", "ours", "none", "bare", "none + 2 × bare")
	for _, kind := range kinds {
		alone := func(contender string) float64 { return all.median(measured{"raised", kind, contender, "alone"}, p50) }
		if ours, none, bare := alone("ours"), alone("none"), alone("bare"); ours > 0 {
			row(to, kind, "%.0f", ours, none, bare, none+2*bare)
		}
	}
}

func writeCost(to io.Writer, all rounds) {
	header(to, "CPU seconds of 100 claims made and deleted, in brackets also grown; peak memory in MiB",
		"", "ours", "none", "bare", "ours / (none + bare)", "ours, MiB", "none, MiB")
	for _, kind := range kinds {
		cpu := func(contender string, steps ...string) (sum float64) {
			for _, step := range steps {
				sum += all.median(measured{"raised", kind, contender, step}, cpuPer100)
			}
			return sum
		}
		memory := func(contender string) float64 {
			return all.median(measured{"raised", kind, contender, "delete"}, peakMiB)
		}
		if memory("ours") == 0 {
			continue
		}
		fmt.Fprint(to, "| ", kind)
		for _, contender := range contenders[:3] {
			fmt.Fprintf(to, " | %.2f (%.2f)", cpu(contender, "create", "delete"), cpu(contender, steps...))
		}
		ratio := func(steps ...string) float64 {
			return over(cpu("ours", steps...), cpu("none", steps...)+cpu("bare", steps...))
		}
		fmt.Fprintf(to, " | %.2f (%.2f) | %.0f | %.0f |\n", ratio("create", "delete"), ratio(steps...), memory("ours"), memory("none"))
	}
}

func writeReclaim(to io.Writer, all rounds) {
	ours := all.median(measured{"raised", "rbd", "ours", "reclaim"}, seconds)
	bare := all.median(measured{"raised", "rbd", "bare", "reclaim"}, seconds)
	if ours > 0 && bare > 0 {
		fmt.Fprintf(to, "\nUntil the space of all images is back: %.1f s from the deletion of their claims; bare removal takes %.1f s, ratio %.2f.\n", ours, bare, ours/bare)
	}
}
