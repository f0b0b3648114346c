package main

import (
	"strings"
	"testing"
)

const results = `limits,kind,round,contender,step,claims,seconds,p50_ms,p95_ms,p99_ms,cpu_seconds,peak_mib
raised,rbd,0,ours,create,100,4.000,1,2,3,0.500,90
raised,rbd,1,ours,create,100,2.000,1,2,3,0.700,95
raised,rbd,2,ours,create,100,5.000,1,2,3,0.600,91
raised,rbd,0,none,create,100,2.000,1,2,3,0.100,70
raised,rbd,1,none,create,100,1.000,1,2,3,0.300,70
`

func TestMedian(t *testing.T) {
	all, err := read(strings.NewReader(results))
	if err != nil {
		t.Fatal(err)
	}
	for state, c := range map[string]struct {
		contender string
		of        func(figures) float64
		want      float64
	}{
		"odd number of rounds":  {"ours", rate, 25},
		"even number of rounds": {"none", rate, 75},
		"CPU":                   {"ours", cpuPer100, 0.6},
		"nothing measured":      {"bare", rate, 0},
	} {
		if got := all.median(measured{"raised", "rbd", c.contender, "create"}, c.of); got != c.want {
			t.Errorf("%s: %v, want %v", state, got, c.want)
		}
	}
}

func TestRateTable(t *testing.T) {
	all, err := read(strings.NewReader(results))
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	writeRateTable(&table, all, "raised")
	if want := "| rbd, create | 25.00 | 75.00 |  |  | 0.33 |  |  |\n"; !strings.HasSuffix(table.String(), want) {
		t.Errorf("the table is %q, want it to end with %q", table.String(), want)
	}
}

func TestReadRefuses(t *testing.T) {
	for state, text := range map[string]string{
		"nothing": "", "a number that is none": "step,seconds\ncreate,fast\n", "cells that are missing": "step,seconds\ncreate\n",
	} {
		if _, err := read(strings.NewReader(text)); err == nil {
			t.Errorf("%s is read", state)
		}
	}
}
