package e2e

import (
	"context"
	"fmt"
	"net"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// Who takes connections and never answers, at the address of a class's monitors, delays
// nobody else, and holds no more of the controller the longer it lasts.
func TestMonitorsThatNeverAnswer(t *testing.T) {
	t.Parallel()
	healthy := suite.ceph[0]
	s := newScene(t)
	s.serveAlone("--timeout=4s", "--retry-interval-max=2s")
	monitors := neverAnswering(t)
	silent := &cephCluster{Ceph: healthy.Ceph}
	silent.Monitors = monitors
	all := func(ceph *cephCluster) []string {
		return []string{s.rbdClass(ceph), s.cephfsClass(ceph), s.tenantClass(ceph), s.directoryClass(ceph)}
	}
	healthyClasses, silentClasses := all(healthy), all(silent)
	for _, class := range healthyClasses {
		s.made(class, "1Gi") // its connections count as well
	}
	before, err := s.controller.held(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	const each = 13
	var waiting []*corev1.PersistentVolumeClaim
	for range each {
		for _, class := range silentClasses {
			waiting = append(waiting, s.claim(class, "1Gi"))
		}
	}
	const attempts = 5
	for _, claim := range waiting {
		s.event(claim, "ProvisioningFailed", monitors, "does not answer")
	}
	for _, class := range healthyClasses {
		claim, pv := s.made(class, "1Gi")
		s.request(claim, "2Gi")
		s.grown(claim, pv.Name, 2<<30)
	}
	for _, claim := range waiting {
		s.eventually(fmt.Sprintf("%d attempts have failed", attempts), func(context.Context) error {
			if told := s.told(claim, "ProvisioningFailed"); told < attempts {
				return fmt.Errorf("%d have", told)
			}
			return nil
		})
		s.wantPending(claim)
	}
	// 52 claims have failed five times by now. What an attempt leaves in librados, 4 threads
	// and 9 descriptors, is freed by the next run of the garbage collector.
	s.eventuallyIn(t.Context(), toolInterval, 2*patience, "those who wait hold nothing", func(ctx context.Context) error {
		now, err := s.controller.held(ctx)
		if err == nil && (now.cephThreads > before.cephThreads+len(waiting) || now.descriptors > before.descriptors+len(waiting)) {
			err = fmt.Errorf("%d claims wait\nit holds: %s\nbefore:   %s", len(waiting), now, before)
		}
		return err
	})
	for _, claim := range waiting {
		s.deleteClaim(claim)
	}
}

// neverAnswering accepts connections, on which nothing ever comes.
func neverAnswering(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		var held []net.Conn // else the garbage collector closes them
		for {
			conn, err := listener.Accept()
			if err != nil {
				for _, conn := range held {
					_ = conn.Close()
				}
				return
			}
			held = append(held, conn)
		}
	}()
	return listener.Addr().String()
}
