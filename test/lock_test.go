package e2e

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// A node that crashed, or was cut off, while it had an image's exclusive lock is
// not blocklisted for that: all of its volumes would be read-only when it is back.
func TestImageWhoseLockHolderIsLost(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	claim, pv := s.made(s.rbdClass(ceph, with("imageFeatures", "layering,exclusive-lock")), "1Gi")
	_, crash := s.heldImage(pv)
	holder := ceph.watcher(t, imageSpec(claim))
	crash()
	s.request(claim, "2Gi") // while the watch of the lost one lasts
	s.event(claim, "VolumeResizeFailed", "locked by", holder, "does not answer")
	s.eventuallyIn(t.Context(), toolInterval, patience, "the holder's watch ends", func(context.Context) error {
		if strings.Contains(ceph.run(t, "rbd", "status", imageSpec(claim)), holder) {
			return errors.New("it does not yet")
		}
		return nil
	})
	if locks := ceph.run(t, "rbd", "lock", "ls", imageSpec(claim)); !strings.Contains(locks, holder) {
		t.Errorf("the lock was taken from %s: %q", holder, locks)
	}
	ceph.wantImage(t, claim, 1<<30)
	if blocked := ceph.run(t, "ceph", "osd", "blocklist", "ls"); strings.Contains(blocked, holder) {
		t.Errorf("%s is blocklisted: %s", holder, blocked)
	}
	s.holdImage(pv)() // a pod elsewhere takes it over
	s.grown(claim, pv.Name, 2<<30)

	_, crash = s.heldImage(pv)
	holder = ceph.watcher(t, imageSpec(claim))
	crash()
	s.deleteClaim(claim)
	s.gone(pv.Name)
	s.traceless(ceph, claim)
	if blocked := ceph.run(t, "ceph", "osd", "blocklist", "ls"); strings.Contains(blocked, holder) {
		t.Errorf("%s is blocklisted: %s", holder, blocked)
	}
}
