package e2e

import "testing"

// A removal by the mgr does not wait until the MDS comes to write its journal by itself,
// which is not before the test has ended. Not parallel: the MDS does other things as seldom.
func TestRemovalsDoNotWaitForTheJournal(t *testing.T) {
	ceph := suite.ceph[1]
	t.Cleanup(func() { ceph.crash(t, "mds")() }) // which ends the interval
	ceph.run(t, "ceph", "tell", "mds.*", "config", "set", "mds_tick_interval", "3600")
	s := newScene(t)
	class := s.cephfsClass(ceph)
	for range 3 {
		for range 60 { // as many as keep the mgr purging while they are removed
			s.claim(class, "64Mi")
		}
		s.all("Bound", isBoundClaim)
		s.deleteClaims()
	}
}
