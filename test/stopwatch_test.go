package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// stopwatch is a scene with a controller of its own, which takes the time from claim to
// Bound on a healthy cluster.
type stopwatch struct {
	*scene
	healthy []string // classes
	begun   map[types.UID]time.Time
	mu      sync.Mutex
	bound   map[types.UID]time.Time
}

func newStopwatch(t testing.TB, ceph *cephCluster, flags ...string) *stopwatch {
	t.Helper()
	s := newScene(t)
	s.serveAlone(flags...)
	w := &stopwatch{
		scene: s, healthy: []string{s.rbdClass(ceph), s.cephfsClass(ceph)},
		begun: map[types.UID]time.Time{}, bound: map[types.UID]time.Time{},
	}
	for _, class := range w.healthy {
		s.made(class, "1Gi") // connections are open
	}
	watch, err := suite.client.CoreV1().PersistentVolumeClaims(s.namespace).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(watch.Stop)
	go func() {
		for event := range watch.ResultChan() {
			if claim, is := event.Object.(*corev1.PersistentVolumeClaim); is && claim.Status.Phase == corev1.ClaimBound {
				w.note(claim.UID)
			}
		}
	}()
	return w
}

func (w *stopwatch) note(claim types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, before := w.bound[claim]; !before {
		w.bound[claim] = time.Now()
	}
}

// start makes a claim, whose time runs.
func (w *stopwatch) start(class string) {
	w.t.Helper()
	now := time.Now()
	w.begun[w.claim(class, "1Gi").UID] = now
}

// times waits for all claims that were started, and returns their times sorted.
func (w *stopwatch) times() (times []time.Duration) {
	w.t.Helper()
	w.eventually("all claims on the healthy cluster are Bound", func(context.Context) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		times = times[:0]
		for claim, begun := range w.begun {
			if bound, is := w.bound[claim]; is {
				times = append(times, bound.Sub(begun))
			}
		}
		if missing := len(w.begun) - len(times); missing > 0 {
			return fmt.Errorf("%d of %d are not", missing, len(w.begun))
		}
		return nil
	})
	slices.Sort(times)
	return times
}
