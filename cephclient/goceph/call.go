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
	mutating bool // it changes something in Ceph when it succeeds
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

type outcome struct {
	result any
	err    error
}

func (s *session) run(ctx context.Context, op operation, f func(*rados.Conn) (any, error)) (any, error) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, cephclient.NewError(cephclient.ErrTimeout, op.name, "every call that may run at once on this cluster is taken", false)
	}
	held, err := s.acquire(ctx)
	if err != nil {
		<-s.slots
		return nil, err
	}
	finished := make(chan outcome, 1)
	go func() {
		result, err := f(held.conn)
		s.release(held, silent(err))
		<-s.slots
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
