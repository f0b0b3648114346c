package main

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

var (
	errLeaseLost = errors.New("the lease was lost; another replica takes over")
	errLeaseGone = errors.New("the lease was deleted, by hand or because etcd was put back to an older state")
	errRestored  = errors.New("the lease is older than what this process wrote to it: etcd was put back to an older state, and what is known of the cluster is not so any more")
)

// tenure is for how long this process is sure to hold the Lease. Afterwards another may
// take it, and nothing may be changed any more, also not by what was about to happen when
// the process was stopped for a while.
type tenure struct {
	end  atomic.Pointer[time.Time] // nil: there is no Lease
	lose func(error)               // ends the process
}

// check is asked right before each change.
func (t *tenure) check() error {
	if end := t.end.Load(); end != nil && !time.Now().Before(*end) {
		return errLeaseLost
	}
	return nil
}

// guard refuses requests that change something when the tenure has ended.
func (t *tenure) guard(next http.RoundTripper) http.RoundTripper { return guarded{t, next} }

type guarded struct {
	tenure *tenure
	next   http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (g guarded) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method != http.MethodGet {
		if err := g.tenure.check(); err != nil {
			if request.Body != nil {
				_ = request.Body.Close()
			}
			return nil, err
		}
	}
	return g.next.RoundTrip(request)
}

// watchedLock is the Lease as the elector uses it, one call at a time. The elector itself
// goes on trying until its renew deadline, whatever it sees, and waits for an answer when
// it gives the Lease back. Here the tenure ends as soon as the Lease may be, or is,
// another's.
type watchedLock struct {
	resourcelock.Interface
	tenure   *tenure
	duration time.Duration // of the Lease
	renewed  time.Time     // as this process has written it; zero while it does not lead
	expiry   *time.Timer
}

// Create implements [resourcelock.Interface].
func (l *watchedLock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	asked := time.Now()
	err := l.Interface.Create(ctx, record)
	if err == nil {
		l.wrote(record, asked)
	}
	return err
}

// Update implements [resourcelock.Interface].
func (l *watchedLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	asked := time.Now()
	if record.HolderIdentity != l.Identity() { // it is given back, also if the answer is lost
		l.tenure.end.Store(&asked)
	}
	err := l.Interface.Update(ctx, record)
	if err == nil {
		l.wrote(record, asked)
	}
	return err
}

// wrote counts from when it was asked: the others count from when they see it.
func (l *watchedLock) wrote(record resourcelock.LeaderElectionRecord, asked time.Time) {
	if l.expiry != nil {
		l.expiry.Stop()
	}
	end := asked
	l.renewed = time.Time{}
	if record.HolderIdentity == l.Identity() {
		end = asked.Add(l.duration)
		l.renewed = record.RenewTime.Truncate(time.Microsecond) // as it is stored
		l.expiry = time.AfterFunc(time.Until(end), func() { l.tenure.lose(errLeaseLost) })
	}
	l.tenure.end.Store(&end)
}

// Get implements [resourcelock.Interface].
func (l *watchedLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	switch {
	case l.renewed.IsZero():
	case apierrors.IsNotFound(err):
		l.tenure.lose(errLeaseGone)
	case err != nil:
	case record.RenewTime.Time.Before(l.renewed):
		l.tenure.lose(errRestored)
	case record.HolderIdentity != l.Identity():
		l.tenure.lose(errLeaseLost)
	}
	return record, raw, err
}
