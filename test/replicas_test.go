package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tests of this file take the Lease from the suite's controller, so they are not
// parallel: they run before the parallel tests begin.

// handOver is what users can rely on.
const handOver = 20 * time.Second

// shortLease is for tests in which no time matters.
var shortLease = []string{
	"--leader-election-lease-duration=10s", "--leader-election-renew-deadline=8s", "--leader-election-retry-period=1s",
}

// replicas has two other processes take the place of the suite's controller until the
// end of the test: one that leads, and one that waits.
func (s *scene) replicas(args ...string) (leading, standby *controller) {
	s.t.Helper()
	if err := suite.controller.stop(); err != nil {
		s.t.Fatal(err)
	}
	var started []*controller
	s.t.Cleanup(func() {
		for _, each := range started {
			if err := each.stop(); err != nil {
				s.t.Error(err)
			}
		}
		next, err := suite.startController(context.Background())
		if err != nil {
			s.t.Error(err)
		}
		suite.controller = next
	})
	for range 2 {
		next, err := suite.startController(s.t.Context(), args...)
		if next != nil {
			started = append(started, next)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return started[0], started[1]
}

// led waits until the lease has another holder than before.
func (s *scene) led(t *testing.T, before string) {
	t.Helper()
	s.eventually("the standby leads", func(context.Context) error {
		if now := leader(t); now == before || now == "" {
			return errors.New("the lease belongs to " + now)
		}
		return nil
	})
}

// What a leader that is killed was about to do, the standby does, 20 s later at most.
func TestLeaderIsKilled(t *testing.T) {
	s := newScene(t)
	kinds := s.managed(suite.ceph[0])
	leading, standby := s.replicas()
	before := leader(t)
	for _, kind := range kinds {
		claim, _ := s.made(kind.class, "64Mi")
		kind.grown = append(kind.grown, claim)
	}
	for _, kind := range kinds {
		s.request(kind.grown[0], "128Mi")
		s.end(kind, &kind.grown)
		kind.grown = append(kind.grown, s.claim(kind.class, "128Mi"))
	}
	leading.kill()
	<-leading.exited
	suite.controller = standby
	renewed := lease(t).RenewTime

	s.led(t, before)
	if waited := lease(t).AcquireTime.Sub(renewed.Time); waited > handOver {
		t.Errorf("the standby took the lease %s after it was last renewed, want %s at most", waited, handOver)
	}
	for _, kind := range kinds {
		for _, claim := range kind.grown {
			s.wantSize(kind.ceph, claim, s.bound(claim), 128<<20)
		}
		s.allGone(kind.ceph, kind.over)
	}
	s.oneVolumeEach(kinds)
}

// A leader that stood still for longer than its lease ends when it goes on, and what it
// was about to do when it stopped does no harm to what the next leader has done.
func TestLeaderIsPausedAndWoken(t *testing.T) {
	s := newScene(t)
	kinds := s.managed(suite.ceph[0])
	paused, standby := s.replicas(shortLease...)
	before := leader(t)
	const each = 6
	for _, kind := range kinds {
		for range each {
			kind.grown = append(kind.grown, s.claim(kind.class, "64Mi"))
		}
	}
	s.eventually("some volumes are made", func(ctx context.Context) error {
		volumes, err := s.volumes(ctx)
		if err == nil && len(volumes) < len(kinds)*each/3 {
			err = fmt.Errorf("%d are", len(volumes))
		}
		return err
	})
	s.pause(paused)
	s.led(t, before)
	suite.controller = standby
	for _, kind := range kinds {
		for _, claim := range kind.grown {
			s.bound(claim)
			s.request(claim, "128Mi")
		}
		first := kind.grown[:1]
		kind.grown = kind.grown[1:]
		s.end(kind, &first)
	}
	s.allDone(kinds)
	now := leader(t)

	s.wake(paused)
	s.ends(paused, "the lease was lost")
	s.wantSizesOrFindings(kinds, 128<<20)
	for _, kind := range kinds {
		for _, claim := range kind.grown {
			s.request(claim, "192Mi")
		}
	}
	s.allDoneAt(kinds, 192<<20)
	if leader(t) != now {
		t.Errorf("the lease belongs to %s, want %s as before", leader(t), now)
	}
}

// wantSizesOrFindings is for what docs/reliability.md says of a leader that is woken: a
// quota that it was just sending may be set, and be too small. The audit then says so. No
// image is smaller, and the next growth mends all.
func (s *scene) wantSizesOrFindings(kinds []*lives, wantBytes int64) {
	s.t.Helper()
	short := map[string]string{}
	for _, kind := range kinds {
		for _, claim := range kind.grown {
			pv := s.bound(claim)
			if pv.Spec.RBD != nil || kind.ceph.quota(pv) == wantBytes {
				s.wantSize(kind.ceph, claim, pv, wantBytes)
			} else {
				short[volumeName(claim)] = "size-differs"
			}
		}
	}
	if len(short) > 0 {
		s.t.Logf("quotas that the woken leader has set: %v", short)
		s.findings(slices.Collect(maps.Keys(short)), short, &auditReport{})
	}
}

// A leader that stood still in the middle of a deletion does not delete what somebody has
// decided to keep meanwhile.
func TestLeaderIsPausedInADeletion(t *testing.T) {
	ceph := suite.ceph[0]
	proxy := newAPIProxy(t)
	s := newScene(t)
	class := s.rbdClass(ceph)
	paused, standby := s.replicas(append(shortLease, "--kubeconfig="+proxy.kubeconfig)...)
	before := leader(t)
	claim, pv := s.made(class, "64Mi")
	answer := proxy.holdAnswer("GET persistentvolumeclaims", claim.Name) // that the claim is gone
	s.deleteClaim(claim)
	select {
	case <-answer.arrived:
	case <-time.After(patience):
		t.Fatal("the controller does not ask whether the claim is gone")
	}
	s.pause(paused)
	s.patchVolume(pv.Name, `{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}`)
	s.led(t, before)
	suite.controller = standby

	close(answer.released)
	s.wake(paused)
	s.ends(paused, "the lease was lost")
	ceph.wantImage(t, claim, 64<<20)
	if _, err := getVolume(t.Context(), pv.Name); err != nil {
		t.Errorf("the PersistentVolume: %v", err)
	}
	s.patchVolume(pv.Name, `{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}`)
	s.gone(pv.Name)
}

func (s *scene) pause(c *controller) {
	s.t.Helper()
	s.t.Cleanup(func() { _ = c.cmd.Process.Signal(syscall.SIGCONT) }) // if the test ends before it is woken
	if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) wake(c *controller) {
	s.t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		s.t.Fatal(err)
	}
}

// ends waits until a controller has ended by itself, saying why.
func (s *scene) ends(c *controller, why string) {
	s.t.Helper()
	c.killed = true // it does not end well
	s.eventually("the controller ends", func(context.Context) error {
		select {
		case <-c.exited:
			return nil
		default:
			return errors.New("it runs")
		}
	})
	said, err := os.ReadFile(c.log)
	if err != nil || !strings.Contains(string(said), why) {
		s.t.Errorf("it does not say that %s (%v):\n%s", why, err, c.logTail())
	}
}

// Both replicas are cut off, and get no answers at all. The one that leads ends before
// another could take its lease, and the other one goes on when it can.
func TestReplicasAreCutOff(t *testing.T) {
	proxy := newAPIProxy(t)
	s := newScene(t)
	kinds := s.managed(suite.ceph[0])
	leading, standby := s.replicas(append(shortLease, "--kubeconfig="+proxy.kubeconfig)...)
	before := leader(t)
	s.makeOne(kinds)
	s.begin(kinds)
	proxy.close(true)
	s.useOne(kinds)
	s.ends(leading, "the lease was lost")
	proxy.open()

	s.led(t, before)
	suite.controller = standby
	s.change(kinds)
	s.allDone(kinds)
}

// What a dead process has mounted, its successor waits for, longer than for one attempt.
// Directories are deleted and purged after all. (Everybody waits: in the second cluster, no
// other test does.)
func TestDirectoriesOfADeadProcessArePurged(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.serveAlone()
	kind := &lives{class: s.directoryClass(suite.ceph[1]), ceph: suite.ceph[1]}
	for range 8 {
		kind.unwanted = append(kind.unwanted, s.claim(kind.class, "64Mi"))
	}
	for _, claim := range kind.unwanted {
		s.bound(claim)
	}
	s.end(kind, &kind.unwanted)
	s.gone("pvc-" + string(kind.over[0].UID))
	s.controller.kill()
	<-s.controller.exited
	s.restart()
	s.allDone([]*lives{kind})
}
