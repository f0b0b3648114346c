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

func TestClose(t *testing.T) {
	closed := make(chan int, 1)
	l := numbers(closed, func() {})
	l.among.release(take(t, l), false)
	l.among.close(t.Context())
	if got := <-closed; got != 1 {
		t.Errorf("connection %d was closed", got)
	}
	used := take(t, l)
	l.among.close(t.Context())
	l.among.release(used, false)
	if got := <-closed; got != 2 {
		t.Errorf("connection %d was closed", got)
	}
}
