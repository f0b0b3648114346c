package cephaccess_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"ceph.example/ceph-provisioner/cephaccess"
	"ceph.example/ceph-provisioner/pvspec"
)

// counted answers each read with an error or another secret, once it may.
type counted struct {
	mu    sync.Mutex
	reads int
	err   error
	may   chan struct{}
}

func (c *counted) Secret(ctx context.Context, _ pvspec.SecretRef) (*corev1.Secret, error) {
	c.mu.Lock()
	c.reads++
	err := c.err
	c.mu.Unlock()
	select {
	case <-c.may:
		return &corev1.Secret{}, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestRecentIsSharedByAllWhoAskAtATime(t *testing.T) {
	api := &counted{may: make(chan struct{})}
	recent := cephaccess.NewRecent(api, time.Hour)
	var all sync.WaitGroup
	for range 100 {
		all.Add(1)
		go func() {
			defer all.Done()
			if secret, err := recent.Secret(t.Context(), pvspec.SecretRef{Name: "admin"}); err != nil || secret == nil {
				t.Error(secret, err)
			}
		}()
	}
	close(api.may)
	all.Wait()
	if _, err := recent.Secret(t.Context(), pvspec.SecretRef{Name: "other"}); err != nil || api.reads != 2 {
		t.Errorf("%d reads of two secrets, %v", api.reads, err)
	}
}

func TestRecentIsReadAnew(t *testing.T) {
	ref := pvspec.SecretRef{Name: "admin"}
	for state, c := range map[string]struct {
		maxAge time.Duration
		err    error
	}{
		"too old":        {maxAge: 0},
		"after failures": {maxAge: time.Hour, err: errors.New("the API server is down")},
	} {
		t.Run(state, func(t *testing.T) {
			api := &counted{may: make(chan struct{}), err: c.err}
			close(api.may)
			recent := cephaccess.NewRecent(api, c.maxAge)
			for range 2 {
				if _, err := recent.Secret(t.Context(), ref); !errors.Is(err, c.err) {
					t.Error(err)
				}
			}
			if api.reads != 2 {
				t.Errorf("%d reads, want 2", api.reads)
			}
		})
	}
}

func TestRecentWaitsForNobodyLongerThanItMay(t *testing.T) {
	api := &counted{may: make(chan struct{})}
	recent := cephaccess.NewRecent(api, time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := recent.Secret(ctx, pvspec.SecretRef{Name: "admin"}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(api.may)
	if _, err := recent.Secret(t.Context(), pvspec.SecretRef{Name: "admin"}); err != nil {
		t.Errorf("the failure of another is told: %v", err)
	}
}
