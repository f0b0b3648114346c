package goceph

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// shared are connections of one sort, each of which any number of calls use at once.
type shared[C any] struct {
	idleAfter time.Duration // how long an unused one stays open
	shutdown  func(C)       // may take long: only close waits for it, for a time

	mu      sync.Mutex
	live    map[string]*held[C]
	count   int           // of those that are open, or being opened or closed
	closed  bool          // none is opened any more
	none    chan struct{} // closed when count is 0; nil until somebody waits for that
	opening singleflight.Group
}

// held is one of them.
type held[C any] struct {
	conn    C
	key     string
	users   int
	retired bool // never handed out again; closed when the last user is done
	idle    *time.Timer
}

// line is the connection that a call needs.
type line[C any] struct {
	among *shared[C]
	key   string
	open  func() (C, error)
	// patience is how long opening may take until it counts as unanswered, or as what
	// overdue says. 0 is for what ends by itself.
	patience time.Duration
	overdue  error
}

var (
	errUnanswered = errors.New("no answer while opening a connection")
	errClosed     = errors.New("no connection is opened any more: this process ends")
)

func newShared[C any](idleAfter time.Duration, shutdown func(C)) *shared[C] {
	return &shared[C]{idleAfter: idleAfter, shutdown: shutdown, live: map[string]*held[C]{}}
}

// acquire returns a live connection, opening one if need be. Callers that need
// the same one wait for one attempt together, also if it was begun long ago: one
// that hangs is not joined by others.
func (l line[C]) acquire(ctx context.Context) (*held[C], error) {
	if h := l.among.hold(l.key); h != nil {
		return h, nil
	}
	var overdue <-chan time.Time
	if l.patience > 0 {
		timer := time.NewTimer(l.patience)
		defer timer.Stop()
		overdue = timer.C
	}
	attempt := l.among.opening.DoChan(l.key, func() (any, error) { return nil, l.openNew() })
	select {
	case result := <-attempt:
		if result.Err != nil {
			return nil, result.Err
		}
		return l.acquire(ctx)
	case <-overdue:
		return nil, cmp.Or(l.overdue, errUnanswered)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// openNew keeps a new connection among the live ones.
func (l line[C]) openNew() error {
	if h := l.among.hold(l.key); h != nil {
		l.among.release(h, false)
		return nil
	}
	if !l.among.mayOpen() {
		return errClosed
	}
	conn, err := l.open()
	if err != nil {
		l.among.ended()
		return err
	}
	l.among.mu.Lock()
	defer l.among.mu.Unlock()
	opened := &held[C]{conn: conn, key: l.key}
	if l.among.closed {
		l.among.end(opened)
		return errClosed
	}
	l.among.closeWhenIdle(opened)
	l.among.live[l.key] = opened
	return nil
}

func (s *shared[C]) mayOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.count++
	}
	return !s.closed
}

// end closes a connection, for which the caller does not wait.
func (s *shared[C]) end(h *held[C]) {
	go func() { defer s.ended(); s.shutdown(h.conn) }()
}

// ended counts one out that is no longer open.
func (s *shared[C]) ended() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count--
	s.tellIfNone()
}

func (s *shared[C]) tellIfNone() {
	if s.count == 0 && s.none != nil {
		close(s.none)
		s.none = nil
	}
}

// closeWhenIdle is called with the lock held, for a connection without users.
func (s *shared[C]) closeWhenIdle(h *held[C]) {
	h.idle = time.AfterFunc(s.idleAfter, func() { s.retire(h) })
}

// hold counts the caller in as a user of the connection, if there is one.
func (s *shared[C]) hold(key string) *held[C] {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.live[key]
	if !ok {
		return nil
	}
	h.users++
	h.idle.Stop()
	return h
}

// release counts a user out. A connection on which a call got no answer is not
// used again.
func (s *shared[C]) release(h *held[C], broken bool) {
	if broken {
		s.retire(h)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h.users--
	switch {
	case h.users > 0:
	case h.retired:
		s.end(h)
	default:
		s.closeWhenIdle(h)
	}
}

// retire takes a connection away, so that the next call opens another. It is
// closed at once, or by its last user. Calls for a connection that has users
// because its idle time ended just then do no harm: it is only replaced.
func (s *shared[C]) retire(h *held[C]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.retired {
		return
	}
	h.retired = true
	if s.live[h.key] == h {
		delete(s.live, h.key)
	}
	if h.users == 0 {
		s.end(h)
	}
}

// forget retires the connection of this key, if there is one.
func (s *shared[C]) forget(key string) {
	if h := s.hold(key); h != nil {
		s.release(h, true)
	}
}

// close closes all, those that are in use when their last user is done, and waits for it
// until the context ends. It is the end: none is opened any more.
func (s *shared[C]) close(ctx context.Context) {
	s.mu.Lock()
	s.closed = true
	for key, h := range s.live {
		h.retired = true
		delete(s.live, key)
		if h.users == 0 {
			s.end(h)
		}
	}
	none := make(chan struct{})
	s.none = none
	s.tellIfNone()
	s.mu.Unlock()
	select {
	case <-none:
	case <-ctx.Done():
	}
}
