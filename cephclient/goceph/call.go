package goceph

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ceph/go-ceph/rados"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/killpoint"
)

// service is the part of a cluster that answers a call. Each may hang alone.
type service string

const (
	monitor service = "monitor"
	osd     service = "OSD"
	// removal is what OSDs do when all objects of an image are removed. One placement group
	// that does not answer is met by nearly every image then, and by few that are made.
	removal  service = "OSD (removal of objects)"
	manager  service = "mgr"
	metadata service = "MDS" // with the file system's name behind it: each has its own
)

// operation is one call: who is asked, and what may be concluded when it fails.
type operation struct {
	name    string
	asks    service
	volume  string // what it changes; empty if it only reads
	creates bool   // the volume is not there yet
	slow    bool   // taking long does not mean that nobody answers
	needs   string // the cap without which the cluster refuses it; may be empty
}

// change is an operation that changes a volume or a user.
func change(verb string, volume fmt.Stringer, asks service) operation {
	return operation{name: verb + " " + volume.String(), asks: asks, volume: volume.String()}
}

func (op operation) isMetadata() bool { return strings.HasPrefix(string(op.asks), string(metadata)) }

func (op operation) mutating() bool { return op.volume != "" }

// call runs f on a live connection to the session's cluster and returns by the
// context's deadline, whatever librados does: f then runs on by itself.
func call[T any](ctx context.Context, s *session, op operation, f func(*rados.Conn) (T, error)) (T, error) {
	return callOn(ctx, s, op, s.line(), f)
}

// callOn is call on any sort of connection.
func callOn[C, T any](ctx context.Context, s *session, op operation, on line[C], f func(C) (T, error)) (T, error) {
	var none T
	limits := s.limits(op.asks)
	if s.isUnheard(op, on.key) {
		if limits.rest() {
			return none, s.resting(op)
		}
		limits = s.limits(op.asks + service(fmt.Sprintf(" to %x", on.key)))
	}
	report, err := limits.breaker.Allow()
	if err != nil {
		return none, s.resting(op)
	}
	done := run(ctx, s, op, limits, on, func(conn C) (any, error) { return f(conn) })
	report(!done.silent)
	if op.mutating() {
		killpoint.Passed(strings.TrimSuffix(op.name, " "+op.volume))
	}
	if done.err != nil {
		err := s.awaiting(op, typed(op.name, op.mutating(), done.err))
		return none, op.lacking(s.credentials.ID, s.mayLackCaps(op, on.key, err))
	}
	if op.asks == osd {
		s.noteAllowed(on.key)
	}
	return done.result.(T), nil
}

// awaiting names the service where the call has not been answered, or waits for calls
// that have not been.
func (s *session) awaiting(op operation, err error) error {
	var e *cephclient.Error
	if errors.As(err, &e) && (silent(err) || e.Cause == cephclient.ErrBusy) {
		told := *e
		told.Awaits = "the " + string(op.asks) + " of " + s.cluster.String()
		if op.asks == manager && silent(err) { // its modules can hang, and its own mounts be lost, while it looks healthy
			told.Remedy += ", and `ceph mgr fail` has a standby take over"
		}
		return &told
	}
	return err
}

// isUnheard reports whether the service was never seen to answer the session's identity. OSDs
// and MDSs do not answer one that has no caps for them, since Ceph 17.2. So its calls have
// limits of their own: they must not make the service count as hung for all others.
func (s *session) isUnheard(op operation, key string) bool {
	return (op.isMetadata() || op.asks == osd) && !s.isAllowed(key)
}

// mayLackCaps adds to what is said of a service that did not answer.
func (s *session) mayLackCaps(op operation, key string, err error) error {
	var e *cephclient.Error
	if !s.isUnheard(op, key) || !silent(err) || !errors.As(err, &e) {
		return err
	}
	kind := "osd"
	if op.isMetadata() {
		kind = "mds"
	}
	told := *e
	told.Remedy += fmt.Sprintf(", and whether client.%s has %s caps: since Ceph 17.2 the %[2]s does not answer identities that have none", s.credentials.ID, kind)
	return &told
}

// lacking names the cap where the identity was refused.
func (op operation) lacking(id string, err error) error {
	var e *cephclient.Error
	if op.needs != "" && errors.As(err, &e) && e.Cause == cephclient.ErrDenied {
		told := *e // one failure to connect may be told to several callers
		told.Remedy = "give client." + id + " the cap " + op.needs + " (docs/ceph-identities.md)"
		if strings.HasPrefix(op.needs, "mds ") { // seen, 16.2
			told.Remedy += ", or add storage if `ceph -s` says that the cluster is full: the MDS then answers the same"
		}
		return &told
	}
	return err
}

// outcome is what came of a call.
type outcome struct {
	result any
	err    error
	silent bool // nobody answered, as opposed to a refusal or to waiting for our own calls
}

// run takes the volume, a slot and a connection, in this order, and gives them
// back when f ends, however long after the caller has left that is, or when its key turns
// out to be void: then it may never end.
func run[C any](ctx context.Context, s *session, op operation, limits *limits, on line[C], f func(C) (any, error)) outcome {
	unlock, err := s.lock(ctx, op)
	if err != nil {
		return outcome{err: err}
	}
	select {
	case limits.slots <- struct{}{}:
	case <-ctx.Done():
		unlock()
		if s.pool.running.unanswered(limits) {
			return outcome{err: unanswered(op), silent: !op.isMetadata()}
		}
		return outcome{err: busy(op, "every call that may run at once on this cluster is taken")}
	}
	held, err := on.acquire(ctx)
	if err != nil {
		<-limits.slots
		unlock()
		if errors.Is(err, errUnanswered) {
			err = unanswered(op)
		}
		return outcome{err: err, silent: silent(err)}
	}
	finished := make(chan outcome, 1)
	taken := s.pool.running.begin(s, op, limits, func() { <-limits.slots; unlock() })
	go func() {
		var result any
		err := s.mayChange(ctx, op)
		if err == nil {
			result, err = f(held.conn)
		}
		on.among.release(held, silent(err) || denied(err))
		s.pool.running.end(taken)
		finished <- outcome{result, err, silent(err)}
	}()
	done, left := s.await(ctx, op, finished)
	if left {
		s.pool.running.leave(taken)
		on.among.retire(held) // the next attempt connects anew, and is told if the key is void
	}
	return done
}

// await ends with the call, with the caller's context, or when the service has
// had its time: only then is it told from our own haste that nobody answers. left says
// that the call goes on.
func (s *session) await(ctx context.Context, op operation, finished <-chan outcome) (done outcome, left bool) {
	var overdue <-chan time.Time
	if !op.slow {
		timer := time.NewTimer(s.pool.options.Timeout)
		defer timer.Stop()
		overdue = timer.C
	}
	select {
	case done := <-finished:
		return done, false
	case <-ctx.Done():
		return outcome{err: cephclient.NewError(cephclient.ErrTimeout, op.name, "not done by the deadline", op.mutating())}, true
	case <-overdue:
		// An MDS may wait for another client of the file system: whether it answers at
		// all is seen when the next call mounts anew.
		return outcome{err: unanswered(op), silent: !op.isMetadata()}, true
	}
}

func unanswered(op operation) error {
	return cephclient.NewError(cephclient.ErrTimeout, op.name, "no answer from the "+string(op.asks), op.mutating())
}

// denied reports whether an error says that caps do not suffice. A connection keeps
// those that it was opened with, so that the next attempt needs another one.
func denied(err error) bool {
	var e *cephclient.Error
	return err != nil && (causeOf(err) == cephclient.ErrDenied || errors.As(err, &e) && e.Cause == cephclient.ErrDenied)
}

// silent reports whether an error of librados says that nobody answered.
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
	if !op.mutating() {
		return func() {}, nil
	}
	unlock, err = s.pool.changing.lock(ctx, op.volume)
	if err != nil {
		return nil, busy(op, "an earlier call for it has not ended yet")
	}
	return unlock, nil
}

// mayChange is asked when nothing is in the way any more.
func (s *session) mayChange(ctx context.Context, op operation) error {
	if !op.mutating() {
		return nil
	}
	err := cephclient.AskGuard(ctx)
	if may := s.pool.options.MayChange; err == nil && may != nil {
		err = may()
	}
	if err != nil {
		return cephclient.NewError(cephclient.ErrUnknown, op.name, err.Error(), false)
	}
	return nil
}

func busy(op operation, detail string) error {
	return cephclient.NewError(cephclient.ErrBusy, op.name, detail, op.mutating())
}
