package main

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// storedLock is a Lease in memory, which keeps times as the API server does.
type storedLock struct {
	resourcelock.Interface
	record *resourcelock.LeaderElectionRecord
	err    error
}

func (*storedLock) Identity() string { return "self" }

func (l *storedLock) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	if l.record == nil {
		return nil, nil, apierrors.NewNotFound(schema.GroupResource{Resource: "leases"}, leaseName)
	}
	return l.record, nil, l.err
}

func (l *storedLock) Update(_ context.Context, record resourcelock.LeaderElectionRecord) error {
	if l.err == nil {
		record.RenewTime = metav1.NewTime(record.RenewTime.Truncate(time.Microsecond))
		l.record = &record
	}
	return l.err
}

func (l *storedLock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.Update(ctx, record)
}

func heldBy(holder string, renewed time.Time) resourcelock.LeaderElectionRecord {
	return resourcelock.LeaderElectionRecord{HolderIdentity: holder, RenewTime: metav1.NewTime(renewed)}
}

func TestWatchedLock(t *testing.T) {
	now := time.Now()
	for state, test := range map[string]struct {
		then func(*storedLock) // what others do after this process has renewed the Lease
		want error
	}{
		"nobody does anything":            {then: func(*storedLock) {}},
		"the API server does not answer":  {then: func(l *storedLock) { l.err = errors.New("no answer") }},
		"another holds it":                {then: func(l *storedLock) { *l.record = heldBy("other", now.Add(time.Second)) }, want: errLeaseLost},
		"it was given back by hand":       {then: func(l *storedLock) { l.record.HolderIdentity = "" }, want: errLeaseLost},
		"it is this process's of before":  {then: func(l *storedLock) { *l.record = heldBy("self", now.Add(-time.Second)) }, want: errRestored},
		"it is another's of before":       {then: func(l *storedLock) { *l.record = heldBy("other", now.Add(-time.Second)) }, want: errRestored},
		"it is gone":                      {then: func(l *storedLock) { l.record = nil }, want: errLeaseGone},
		"an answer to a renewal was lost": {then: func(l *storedLock) { *l.record = heldBy("self", now.Add(time.Second)) }},
	} {
		t.Run(state, func(t *testing.T) {
			var lost error
			tenure := &tenure{lose: func(err error) { lost = err }}
			stored := &storedLock{}
			lock := &watchedLock{Interface: stored, tenure: tenure, duration: time.Hour}
			if err := lock.Create(t.Context(), heldBy("self", now)); err != nil {
				t.Fatal(err)
			}
			defer lock.expiry.Stop()
			test.then(stored)
			_, _, _ = lock.Get(t.Context())
			if !errors.Is(lost, test.want) || (lost == nil) != (test.want == nil) {
				t.Errorf("the process ends with %v, want %v", lost, test.want)
			}
		})
	}
}

// Nobody has to ask for the tenure to end.
func TestTenureEndsWithTheLease(t *testing.T) {
	lost := make(chan error, 1)
	tenure := &tenure{lose: func(err error) { lost <- err }}
	if err := tenure.check(); err != nil {
		t.Errorf("without a Lease: %v", err)
	}
	stored := &storedLock{}
	lock := &watchedLock{Interface: stored, tenure: tenure, duration: time.Hour}
	if err := lock.Update(t.Context(), heldBy("self", time.Now())); err != nil || tenure.check() != nil {
		t.Errorf("while it leads: %v, %v", err, tenure.check())
	}
	lock.duration = time.Millisecond
	if err := lock.Update(t.Context(), heldBy("self", time.Now())); err != nil {
		t.Fatal(err)
	}
	if err := <-lost; !errors.Is(err, errLeaseLost) || tenure.check() == nil {
		t.Errorf("the process ends with %v, and may change %v", err, tenure.check())
	}
}

// A Lease that was given back is no longer watched, and nothing may be changed.
func TestTenureEndsWhenTheLeaseIsGivenBack(t *testing.T) {
	tenure := &tenure{lose: func(err error) { t.Errorf("the process ends with %v", err) }}
	stored := &storedLock{}
	lock := &watchedLock{Interface: stored, tenure: tenure, duration: time.Hour}
	for _, holder := range []string{"self", ""} {
		if err := lock.Update(t.Context(), heldBy(holder, time.Now())); err != nil {
			t.Fatal(err)
		}
	}
	if lock.expiry.Stop() {
		t.Error("it is still watched")
	}
	_, _, _ = lock.Get(t.Context())

	sent := 0
	client := http.Client{Transport: tenure.guard(roundTripper(func(*http.Request) (*http.Response, error) {
		sent++
		return nil, errors.New("sent")
	}))}
	for method, want := range map[string]int{http.MethodGet: 1, http.MethodPost: 0, http.MethodPatch: 0, http.MethodDelete: 0} {
		sent = 0
		request, err := http.NewRequestWithContext(t.Context(), method, "http://api", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = client.Do(request); err == nil || sent != want || (want == 0) != errors.Is(err, errLeaseLost) {
			t.Errorf("%s: %d requests are sent (%v), want %d", method, sent, err, want)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }
