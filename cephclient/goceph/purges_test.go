package goceph

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

func TestPurgesOneAtATimeAndLooksOnceMore(t *testing.T) {
	var purges purges
	var rounds, others atomic.Int32
	entered, leave, idle := make(chan struct{}), make(chan struct{}), make(chan struct{})
	purge := func() {
		entered <- struct{}{}
		<-leave
		if rounds.Add(1) == 2 {
			close(idle)
		}
	}
	purges.start("a", purge)
	<-entered
	for range 5 {
		purges.start("a", func() { others.Add(1); purge() })
	}
	done := make(chan struct{})
	purges.start("b", func() { close(done) })
	<-done // another root does not wait
	leave <- struct{}{}
	<-entered
	leave <- struct{}{}
	<-idle
	if rounds.Load() != 2 || others.Load() != 1 {
		t.Errorf("%d rounds, %d of those that came meanwhile; want 2 and 1", rounds.Load(), others.Load())
	}
}

func TestPurgeFailuresAreToldOnce(t *testing.T) {
	var purges purges
	denied, hung := errors.New("denied"), errors.New("hung")
	for i, c := range []struct {
		err  error
		news bool
	}{{denied, true}, {denied, false}, {hung, true}, {hung, false}, {nil, false}, {hung, true}} {
		if got := purges.isNews("a", c.err); got != c.news {
			t.Errorf("step %d, %v: got %v", i, c.err, got)
		}
	}
	if !purges.isNews("b", hung) {
		t.Error("one root's failure hides another's")
	}
}

func TestPurgeThatHasFailedIsTriedAgainOnce(t *testing.T) {
	p := purges{retryAfter: time.Millisecond}
	tried := make(chan string, 10)
	p.start("root", func() { tried <- "with the old key" })
	p.await(t.Context())
	p.start("root", func() { tried <- "with the new key" })
	p.await(t.Context())
	<-tried
	<-tried
	for range 3 { // removals, each of which has found that purging fails
		p.later("root")
	}
	if by := <-tried; by != "with the new key" {
		t.Errorf("it was tried %s", by)
	}
	p.await(t.Context())
	if len(tried) > 0 {
		t.Errorf("it was tried %d times", len(tried)+1)
	}
}

func TestPurgeThatStallsIsLeft(t *testing.T) {
	p := purges{stalledAfter: 20 * time.Millisecond}
	var removed atomic.Int64
	never := make(chan error)
	if err := p.watch(never, &removed); !errors.Is(err, errStalled) {
		t.Errorf("one that removes nothing: %v", err)
	}
	denied, ended := errors.New("denied"), make(chan error)
	go func() {
		for end := time.Now().Add(10 * p.stalledAfter); time.Now().Before(end); {
			removed.Add(1)
		}
		ended <- denied
	}()
	if err := p.watch(ended, &removed); !errors.Is(err, denied) {
		t.Errorf("one that goes on: %v", err)
	}
}
