package goceph

import (
	"context"
	"errors"
	"testing"
	"time"
)

// numbers are connections that are numbered as they are opened.
func numbers(closed chan int, opening func()) line[int] {
	opened := 0
	return line[int]{
		among: newShared(time.Hour, func(conn int) { closed <- conn }), key: "a", patience: time.Hour,
		open: func() (int, error) { opening(); opened++; return opened, nil },
	}
}

func take(t *testing.T, l line[int]) *held[int] {
	t.Helper()
	h, err := l.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestAConnectionThatGotNoAnswerIsReplaced(t *testing.T) {
	closed := make(chan int, 1)
	l := numbers(closed, func() {})
	first, same := take(t, l), take(t, l)
	if first != same {
		t.Fatal("two calls have a connection each")
	}
	l.among.release(first, true)
	select {
	case <-closed:
		t.Fatal("closed while a call uses it")
	default:
	}
	next := take(t, l)
	if next.conn != 2 {
		t.Errorf("got connection %d, want another", next.conn)
	}
	l.among.release(same, false)
	if got := <-closed; got != 1 {
		t.Errorf("connection %d was closed, want the first", got)
	}
	l.among.release(next, false)
	l.among.forget("a")
	if got := <-closed; got != 2 {
		t.Errorf("connection %d was closed, want the second", got)
	}
}

func TestOpeningThatHangs(t *testing.T) {
	answer := make(chan struct{})
	l := numbers(nil, func() { <-answer })
	hasty := l
	hasty.patience = time.Nanosecond
	if _, err := hasty.acquire(t.Context()); !errors.Is(err, errUnanswered) {
		t.Errorf("got %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.acquire(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(answer)
	if h := take(t, l); h.conn != 1 {
		t.Errorf("got connection %d: a second attempt was made beside the first", h.conn)
	}
}

// What is in use, or is being closed, is waited for: a client that ends without closing its
// mounts makes others wait.
func TestClose(t *testing.T) {
	closed, proceed := make(chan int, 2), make(chan struct{})
	l := numbers(closed, func() {})
	shutdown := l.among.shutdown
	l.among.shutdown = func(conn int) { <-proceed; shutdown(conn) }
	retired := take(t, l)
	l.among.retire(retired)
	l.among.release(retired, false) // is being closed now
	used := take(t, l)
	done := make(chan struct{})
	go func() { defer close(done); l.among.close(t.Context()) }()
	waits := func(what string) {
		select {
		case <-done:
			t.Errorf("close did not wait for %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
	waits("what is being closed")
	proceed <- struct{}{}
	waits("what is used")
	if _, err := l.acquire(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("%v, want that none is opened any more", err)
	}
	l.among.release(used, false)
	proceed <- struct{}{}
	<-done
	if len(closed) != 2 {
		t.Errorf("%d were closed, want 2", len(closed))
	}
}

func TestCloseWaitsNoLongerThanItsCaller(t *testing.T) {
	l := numbers(nil, func() {})
	take(t, l)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.among.close(ctx)
}

// What is opened while all is closed is closed, too.
func TestCloseWhileOpening(t *testing.T) {
	closed, opening, answer := make(chan int, 1), make(chan struct{}), make(chan struct{})
	l := numbers(closed, func() { close(opening); <-answer })
	failed := make(chan error)
	go func() { _, err := l.acquire(t.Context()); failed <- err }()
	<-opening
	hasty, cancel := context.WithCancel(t.Context())
	cancel()
	l.among.close(hasty)
	close(answer)
	if err := <-failed; !errors.Is(err, errClosed) {
		t.Error(err)
	}
	l.among.close(t.Context()) // waits for it
	if len(closed) != 1 {
		t.Error("what was opened was not closed")
	}
}
