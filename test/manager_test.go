package e2e

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// A mgr that hangs for longer than calls wait delays new subvolumes. Images,
// directories, users and the growth of subvolumes do not need it;
// and its answers that come when their callers have left do no harm. Not parallel,
// like all tests that stop daemons.
func TestHungManagerDelaysOnlySubvolumes(t *testing.T) {
	ceph := suite.ceph[1]
	s := newScene(t)
	rbd, cephfs := s.rbdClass(ceph), s.cephfsClass(ceph)
	s.made(cephfs, "1Gi") // connected when it stops answering
	grows, _ := s.made(s.tenantClass(ceph), "1Gi")
	resume := ceph.hang(t, "mgr")

	var waiting []*corev1.PersistentVolumeClaim
	claims := func(number int) {
		for range number {
			waiting = append(waiting, s.claim(cephfs, "1Gi"))
		}
	}
	claims(6)
	s.event(waiting[0], "ProvisioningFailed", "no answer from the mgr")
	claims(6) // while the calls of the first are still under way
	s.made(rbd, "1Gi")
	s.made(s.directoryClass(ceph), "1Gi") // and its user
	s.request(grows, "2Gi")
	s.finished(grows, 2<<30)
	s.wantPending(waiting[0])
	resume()
	ceph.wantQuota(t, grows, 2<<30)
	for _, claim := range waiting {
		s.bound(claim)
	}
}
