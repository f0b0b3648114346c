package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	silentClusters = 20
	silentWarm     = 2 // connections to each that are tried before the first look
	silentAsked    = 3 // and between two looks

	// hungVariable is how long they hang; `make soak` asks for an hour. Without it there
	// are two looks.
	hungVariable = "SOAK_HUNG"
)

// Clusters that never answer hold no more threads, descriptors, goroutines and memory
// after many attempts than after the first ones, while claims of all kinds wait for them.
func TestHungClusterHoldsNothing(t *testing.T) {
	t.Parallel()
	var lasting time.Duration
	if text := os.Getenv(hungVariable); text != "" {
		var err error
		if lasting, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", hungVariable, err)
		}
	}
	s := newScene(t)
	s.serveAlone("--timeout=2s", "--retry-interval-max=1s", "--v=2")
	var monitors []*silent
	var waiting []*corev1.PersistentVolumeClaim
	for range silentClusters {
		monitor := newSilent(t)
		monitors = append(monitors, monitor)
		at := with("monitors", monitor.address)
		for _, class := range []string{
			s.rbdClass(suite.ceph[0], at), s.cephfsClass(suite.ceph[0], at),
			s.tenantClass(suite.ceph[0], at), s.directoryClass(suite.ceph[0], at),
		} {
			waiting = append(waiting, s.claim(class, "1Gi"))
		}
	}
	window := func(until int32) (least held) {
		t.Helper()
		s.eventually(fmt.Sprintf("each monitor was asked %d times", until), func(ctx context.Context) error {
			now, err := s.controller.held(ctx)
			if err != nil {
				return err
			}
			least = least.least(now)
			for _, monitor := range monitors {
				if asked := monitor.asked.Load(); asked < until {
					return fmt.Errorf("one was asked %d times", asked)
				}
			}
			return nil
		})
		t.Logf("%s at least, until each monitor was asked %d times", least, until)
		return least
	}
	window(silentWarm)
	asked := int32(silentWarm + silentAsked)
	before := window(asked)
	var after held
	for begun, once := time.Now(), true; once || time.Since(begun) < lasting; once = false {
		asked += silentAsked
		after = window(asked)
	}
	// What an attempt leaves is freed by the garbage collector, some attempts later.
	const few = silentClusters * silentAsked / 2
	if after.threads > before.threads+2*few || after.cephThreads > before.cephThreads+few || after.descriptors > before.descriptors+few ||
		after.goroutines > before.goroutines+few || after.residentMiB > before.residentMiB+few {
		t.Errorf("at least %d attempts later the process holds more than before\nbefore: %s\nafter:  %s", 2*few, before, after)
	}
	for _, claim := range waiting {
		s.wantPending(claim)
	}
}
