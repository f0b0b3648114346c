package goceph

import (
	"errors"
	"sync"
	"time"

	"ceph.example/ceph-provisioner/cephclient"
)

// running are the calls that have not ended. One whose key was revoked may never end:
// librados waits for a ticket that it does not get any more.
type running struct {
	mu    sync.Mutex
	calls map[*heldCall]bool // true if the caller has left
}

// heldCall is a call under a session's key, and what frees the volume and the slot it holds.
type heldCall struct {
	session *session
	asks    *limits
	due     time.Time // when the service should have answered; zero if taking long says nothing
	free    func()
}

func (r *running) begin(s *session, op operation, asks *limits, free func()) *heldCall {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls == nil {
		r.calls = map[*heldCall]bool{}
	}
	call := &heldCall{session: s, asks: asks, free: free}
	if !op.slow {
		call.due = time.Now().Add(s.pool.options.Timeout)
	}
	r.calls[call] = false
	return call
}

func (r *running) leave(call *heldCall) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, runs := r.calls[call]; runs {
		r.calls[call] = true
	}
}

// unanswered reports whether every slot of a service is held by a call that it should have
// answered.
func (r *running) unanswered(asks *limits) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	overdue := 0
	for call := range r.calls {
		if call.asks == asks && !call.due.IsZero() && time.Now().After(call.due) {
			overdue++
		}
	}
	return overdue == cap(asks.slots)
}

// end frees what the call holds, unless that was done before.
func (r *running) end(call *heldCall) {
	r.mu.Lock()
	_, runs := r.calls[call]
	delete(r.calls, call)
	r.mu.Unlock()
	if runs {
		call.free()
	}
}

// connected tells what came of an attempt to connect. Where the cluster has taken another
// key of the same client, or has refused this one, nobody waits any more for what callers
// have left under a key that is void.
func (r *running) connected(s *session, err error) {
	r.mu.Lock()
	var void []*heldCall
	for call, left := range r.calls {
		isSameKey := call.session.identity == s.identity
		if left && call.session.monitors == s.monitors && call.session.credentials.ID == s.credentials.ID &&
			(err == nil && !isSameKey || errors.Is(err, cephclient.ErrUnauthorized) && isSameKey) {
			void = append(void, call)
		}
	}
	r.mu.Unlock()
	for _, call := range void {
		r.end(call)
	}
}
