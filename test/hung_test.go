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
	lasting := hungFor(t)
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
	before, after := s.whileHung(lasting, func(times int) error {
		for _, monitor := range monitors {
			if asked := int(monitor.asked.Load()); asked < times {
				return fmt.Errorf("one monitor was asked %d times", asked)
			}
		}
		return nil
	})
	// What an attempt leaves is freed by the garbage collector, some attempts later.
	after.wantAsBefore(t, before, silentClusters*silentAsked/2)
	for _, claim := range waiting {
		s.wantPending(claim)
	}
}

// The same for a cluster of which everything hangs when it was connected, with volumes of
// all kinds that are to be made and to grow. Then they are, without a restart. Not parallel,
// like all tests that stop daemons.
func TestHungConnectionsHoldNothing(t *testing.T) {
	lasting, claims := hungFor(t), 10
	if lasting > 0 {
		claims = waitingClaims / 4
	}
	ceph := suite.ceph[1]
	root := ownRoot(t, ceph)
	s := newScene(t)
	s.serveAlone("--timeout=2s", "--retry-interval-max=5s", "--v=2")
	classes := []string{s.rbdClass(ceph), s.cephfsClass(ceph), s.tenantClass(ceph), s.directoryClass(ceph, with("claimRoot", root))}
	var growing, waiting []*corev1.PersistentVolumeClaim
	for _, class := range classes {
		claim, _ := s.made(class, "64Mi")
		growing = append(growing, claim)
	}
	resume := ceph.hang(t, "mon", "mgr", "osd", "mds")
	for _, claim := range growing {
		s.request(claim, "128Mi")
	}
	for range claims {
		for _, class := range classes {
			waiting = append(waiting, s.claim(class, "64Mi"))
		}
	}
	before, after := s.whileHung(lasting, func(times int) error {
		_, metrics, err := s.controller.get(t.Context(), "/metrics")
		if failed := metric(metrics, "controller_persistentvolumeclaim_provision_failed_total"); err == nil && failed < times*len(waiting) {
			err = fmt.Errorf("%d attempts at %d claims have failed", failed, len(waiting))
		}
		return err
	})
	after.wantAsBefore(t, before, soakMargin)
	for _, claim := range waiting {
		s.wantPending(claim)
	}
	resume()
	s.all("Bound", isBoundClaim)
	for _, claim := range growing {
		s.eventually("claim "+claim.Name+" has grown", func(ctx context.Context) error { return hasGrown(ctx, claim, 128<<20) })
	}
}

// hungFor is how long clusters are to hang; zero is for two looks.
func hungFor(t *testing.T) (lasting time.Duration) {
	t.Helper()
	if text := os.Getenv(hungVariable); text != "" {
		var err error
		if lasting, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", hungVariable, err)
		}
	}
	return lasting
}

// whileHung returns the least that the process holds during some attempts of all that wait,
// and during as many in the end. tried fails until each has tried so many times.
func (s *scene) whileHung(lasting time.Duration, tried func(times int) error) (before, after held) {
	s.t.Helper()
	window := func(until int) (least held) {
		s.t.Helper()
		s.eventually(fmt.Sprintf("all have tried %d times", until), func(ctx context.Context) error {
			now, err := s.controller.held(ctx)
			if err != nil {
				return err
			}
			least = least.least(now)
			return tried(until)
		})
		s.t.Logf("%s at least, until all have tried %d times", least, until)
		return least
	}
	window(silentWarm)
	asked := silentWarm + silentAsked
	before = window(asked)
	for begun, once := time.Now(), true; once || time.Since(begun) < lasting; once = false {
		asked += silentAsked
		after = window(asked)
	}
	return before, after
}

// wantAsBefore allows for a few of each, and of MiB.
func (h held) wantAsBefore(t *testing.T, before held, few int) {
	t.Helper()
	if h.threads > before.threads+2*few || h.cephThreads > before.cephThreads+few || h.descriptors > before.descriptors+few || h.goroutines > before.goroutines+few || h.residentMiB > before.residentMiB+few {
		t.Errorf("the process holds more than before\nbefore: %s\nafter:  %s", before, h)
	}
}
