package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// result is what one step of all volumes took.
type result struct {
	Step       string    `json:"step"`
	Seconds    float64   `json:"seconds"`
	CPUSeconds float64   `json:"cpuSeconds"`
	Times      []float64 `json:"times"` // seconds that each volume took
}

// measureBare makes volumes, grows them to twice their size, deletes them, and prints the results as JSON.
func measureBare(ctx context.Context, o options) error {
	calls, end, err := connectBare(o)
	if err != nil {
		return err
	}
	defer end()
	m := meter{ctx: ctx, calls: o.calls}
	alone, all := names("alone", o.alone), names("all", o.volumes)
	sizeBytes := int64(o.sizeMiB) << 20
	create := func(name string) error { return calls.create(ctx, name, sizeBytes) }
	m.oneByOne("alone", alone, create)
	m.atOnce("", alone, calls.destroy)
	m.atOnce("create", all, create)
	m.atOnce("grow", all, func(name string) error { return calls.grow(ctx, name, 2*sizeBytes) })
	if o.kind == rbdImage {
		// The shortest way to have the space back. What the controller does instead is
		// measured on the same images, made anew.
		m.atOnce("reclaim", all, calls.destroy)
		m.atOnce("", all, create)
	}
	m.atOnce("delete", all, func(name string) error { return calls.remove(ctx, name) })
	if m.err != nil {
		return m.err
	}
	return json.NewEncoder(os.Stdout).Encode(m.results)
}

func names(what string, number int) (names []string) {
	for i := range number {
		names = append(names, fmt.Sprintf("kubernetes-dynamic-pvc-floor-%s-%d-%d", what, os.Getpid(), i))
	}
	return names
}

// meter runs steps until one fails.
type meter struct {
	ctx     context.Context
	calls   int
	results []result
	err     error
}

func (m *meter) oneByOne(step string, names []string, do func(name string) error) {
	m.measure(step, names, 1, do)
}

func (m *meter) atOnce(step string, names []string, do func(name string) error) {
	m.measure(step, names, m.calls, do)
}

// measure keeps the result unless the step has no name.
func (m *meter) measure(step string, names []string, calls int, do func(name string) error) {
	if m.err != nil {
		return
	}
	done := result{Step: step, Times: make([]float64, len(names))}
	begin, cpu := time.Now(), cpuSeconds()
	m.err = inParallel(m.ctx, calls, len(names), func(i int) error {
		begin := time.Now()
		err := do(names[i])
		done.Times[i] = time.Since(begin).Seconds()
		return err
	})
	done.Seconds, done.CPUSeconds = time.Since(begin).Seconds(), cpuSeconds()-cpu
	if step != "" {
		m.results = append(m.results, done)
	}
}

// inParallel returns the first failure, after which it begins nothing.
func inParallel(ctx context.Context, calls, number int, do func(i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var workers sync.WaitGroup
	for range calls {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for i := range next {
				if err := do(i); err != nil {
					cancel(err)
				}
			}
		}()
	}
	for i := 0; i < number && ctx.Err() == nil; i++ {
		next <- i
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}

// cpuSeconds is what this process has used so far.
func cpuSeconds() float64 {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0 // never for oneself
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
}
