package goceph

import (
	"context"
	"time"
)

// acquire returns a live connection, opening one if need be. Callers that need
// the same one wait for one attempt together.
func (s *session) acquire(ctx context.Context) (*connection, error) {
	if held := s.pool.hold(s.identity); held != nil {
		return held, nil
	}
	attempt := s.pool.connecting.DoChan(string(s.identity[:]), func() (any, error) {
		return nil, s.open()
	})
	select {
	case result := <-attempt:
		if result.Err != nil {
			return nil, result.Err
		}
		return s.acquire(ctx)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// open puts a new connection into the pool.
func (s *session) open() error {
	if held := s.pool.hold(s.identity); held != nil {
		s.release(held, false)
		return nil
	}
	conn, err := connect(s.cluster, s.credentials, s.pool.options.Timeout)
	if err != nil {
		return err
	}
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	opened := &connection{conn: conn}
	s.closeWhenIdle(opened)
	s.pool.connections[s.identity] = opened
	return nil
}

// closeWhenIdle is called with the pool locked, for a connection without users.
func (s *session) closeWhenIdle(held *connection) {
	held.idle = time.AfterFunc(idleAfter, func() { s.retire(held) })
}

// hold counts the caller in as a user of the identity's connection, if there is one.
func (p *Pool) hold(id identity) *connection {
	p.mu.Lock()
	defer p.mu.Unlock()
	held, ok := p.connections[id]
	if !ok {
		return nil
	}
	held.users++
	held.idle.Stop()
	return held
}

// release counts a user out. A connection on which a call got no answer is not
// used again.
func (s *session) release(held *connection, broken bool) {
	if broken {
		s.retire(held)
	}
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	held.users--
	switch {
	case held.users > 0:
	case held.retired:
		shutdown(held)
	default:
		s.closeWhenIdle(held)
	}
}

// retire takes a connection out of the pool, so that the next call opens another.
// It is closed at once, or by its last user. Calls for a connection that has
// users because its idle time ended just then do no harm: it is only replaced.
func (s *session) retire(held *connection) {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if held.retired {
		return
	}
	held.retired = true
	if s.pool.connections[s.identity] == held {
		delete(s.pool.connections, s.identity)
	}
	if held.users == 0 {
		shutdown(held)
	}
}

// shutdown closes a connection that has no users. librados may take long to
// give up a cluster that does not answer, so nobody waits for it.
func shutdown(held *connection) { go held.conn.Shutdown() }
