// Package seats bounds how much work is done for one Ceph cluster at a time.
package seats

import (
	"context"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
)

// Seats keep a Ceph cluster that does not answer from holding the workers of another:
// each cluster has the same number of them, and whoever finds none waits. A cluster is
// known by its monitors, as they are written. What is at work is bounded; what waits
// costs a goroutine.
type Seats struct {
	number int

	mu       sync.Mutex
	clusters map[string]*table
}

// waitersPerSeat is how many volumes of one cluster may wait for each of its seats
// before volumes of other clusters have to wait as well.
const waitersPerSeat = 7

// Workers is how many a loop needs whose work waits for seats.
func (s *Seats) Workers() int { return s.number * (1 + waitersPerSeat) }

type table struct {
	taken chan struct{}
	users int // seated or waiting
}

// New has the number of seats that each cluster gets.
func New(number int) *Seats { return &Seats{number: number, clusters: map[string]*table{}} }

// take waits for a seat until the context ends.
func (s *Seats) take(ctx context.Context, monitors string) (leave func(), err error) {
	at := s.join(monitors)
	select {
	case at.taken <- struct{}{}:
		return func() { <-at.taken; s.part(monitors, at) }, nil
	case <-ctx.Done():
		s.part(monitors, at)
		return nil, ctx.Err()
	}
}

func (s *Seats) join(monitors string) *table {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, known := s.clusters[monitors]
	if !known {
		at = &table{taken: make(chan struct{}, s.number)}
		s.clusters[monitors] = at
	}
	at.users++
	return at
}

func (s *Seats) part(monitors string, at *table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at.users--; at.users == 0 {
		delete(s.clusters, monitors)
	}
}

// OfVolume waits for a seat at the cluster of a PersistentVolume until the context ends.
func (s *Seats) OfVolume(ctx context.Context, pv *corev1.PersistentVolume) (leave func(), err error) {
	var monitors []string
	switch {
	case pv.Spec.RBD != nil:
		monitors = pv.Spec.RBD.CephMonitors
	case pv.Spec.CephFS != nil:
		monitors = pv.Spec.CephFS.Monitors
	}
	return s.take(ctx, strings.Join(monitors, ","))
}

// OfClass waits for a seat at the cluster of a StorageClass until the context ends.
func (s *Seats) OfClass(ctx context.Context, class *storagev1.StorageClass) (leave func(), err error) {
	for key, value := range class.Parameters {
		if strings.EqualFold(key, "monitors") {
			return s.take(ctx, value)
		}
	}
	return s.take(ctx, "") // it will be refused
}
