package goceph

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"
)

// acquire returns a live connection, opening one if need be. Callers that need
// the same one wait for one attempt together.
func (s *session) acquire(ctx context.Context) (*connection, error) {
	if held := s.pool.hold(s.identity); held != nil {
		return held, nil
	}
	key := sha256.Sum256(fmt.Append(nil, s.identity))
	attempt := s.pool.connecting.DoChan(string(key[:]), func() (any, error) {
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
	s.pool.connections[s.identity] = &connection{conn: conn}
	return nil
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
	if held.idle != nil {
		held.idle.Stop()
	}
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
		held.idle = time.AfterFunc(idleAfter, func() { s.retireIdle(held) })
	}
}

// retire takes a connection out of the pool, so that the next call opens another.
func (s *session) retire(held *connection) {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	s.pool.forget(s.identity, held)
}

func (s *session) retireIdle(held *connection) {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if held.users == 0 && !held.retired {
		s.pool.forget(s.identity, held)
		shutdown(held)
	}
}

func (p *Pool) forget(id identity, held *connection) {
	held.retired = true
	if p.connections[id] == held {
		delete(p.connections, id)
	}
}

// shutdown closes a connection that has no users. librados may take long to
// give up a cluster that does not answer, so nobody waits for it.
func shutdown(held *connection) { go held.conn.Shutdown() }
