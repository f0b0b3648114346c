package goceph

import (
	"context"
	"errors"

	"github.com/ceph/go-ceph/rados"

	"ceph.example/ceph-provisioner/cephclient"
)

// operation names one call for messages and for what may be concluded when it fails.
type operation struct {
	name     string
	mutating bool   // it changes something in Ceph when it succeeds
	volume   string // what it changes
}

// change is an operation that changes a volume.
func change(verb string, volume cephclient.Volume) operation {
	return operation{name: verb + " " + volume.String(), mutating: true, volume: volume.String()}
}

// call runs f on a live connection of the session and returns by the context's
// deadline, whatever librados does: f then runs on by itself, and its
// connection is not used again.
func call[T any](ctx context.Context, s *session, op operation, f func(*rados.Conn) (T, error)) (T, error) {
	var none T
	report, err := s.breaker.Allow()
	if err != nil {
		return none, s.resting(op)
	}
	result, err := s.run(ctx, op, func(conn *rados.Conn) (any, error) { return f(conn) })
	report(!silent(err))
	if err != nil {
		return none, typed(op.name, op.mutating, err)
	}
	return result.(T), nil
}

// silent reports whether the cluster gave no answer, as opposed to a refusal.
func silent(err error) bool {
	cause := causeOf(err)
	var e *cephclient.Error
	if errors.As(err, &e) {
		cause = e.Cause
	}
	return err != nil && (cause == cephclient.ErrTimeout || cause == cephclient.ErrUnreachable)
}

// lock keeps a volume to one change at a time. A change that its caller has
// given up may still be under way: a second one beside it could, for example,
// discard an image that the first is about to complete.
func (s *session) lock(ctx context.Context, op operation) (unlock func(), err error) {
	if !op.mutating {
		return func() {}, nil
	}
	unlock, err = s.pool.changing.lock(ctx, s.identity.monitors+" "+op.volume)
	if err != nil {
		return nil, cephclient.NewError(cephclient.ErrTimeout, op.name, "an earlier call for it has not ended yet", false)
	}
	return unlock, nil
}

type outcome struct {
	result any
	err    error
}

func (s *session) run(ctx context.Context, op operation, f func(*rados.Conn) (any, error)) (any, error) {
	unlock, err := s.lock(ctx, op)
	if err != nil {
		return nil, err
	}
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		unlock()
		return nil, cephclient.NewError(cephclient.ErrTimeout, op.name, "every call that may run at once on this cluster is taken", false)
	}
	held, err := s.acquire(ctx)
	if err != nil {
		<-s.slots
		unlock()
		return nil, err
	}
	finished := make(chan outcome, 1)
	go func() {
		result, err := f(held.conn)
		s.release(held, silent(err))
		<-s.slots
		unlock()
		finished <- outcome{result, err}
	}()
	select {
	case done := <-finished:
		return done.result, done.err
	case <-ctx.Done():
		s.retire(held)
		return nil, cephclient.NewError(cephclient.ErrTimeout, op.name, "no answer by the deadline", op.mutating)
	}
}
