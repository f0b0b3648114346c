package e2e

import (
	"context"
	"sync"
	"syscall"
	"testing"
)

// Whichever daemon of a cluster hangs or crashes while volumes are made, grown and
// deleted: users whose volumes have to wait are told so, and all goes on by itself when
// the daemon is back. Attempts that failed are an hour apart, so that it is not each
// one's next attempt that helps. Not parallel, like all tests that stop daemons.
func TestDaemonsFailUnderWork(t *testing.T) {
	ceph := suite.ceph[1]
	s := newScene(t)
	s.serveAlone("--retry-interval-start=1h", "--retry-interval-max=1h", "--timeout=6s")
	classes := []string{s.rbdClass(ceph), s.cephfsClass(ceph), s.tenantClass(ceph), s.directoryClass(ceph)}
	for fault, fail := range map[string]func(*testing.T) (mend func()){
		"mon crashes": func(t *testing.T) func() { return ceph.crash(t, "mon") },
		"mon hangs":   func(t *testing.T) func() { return ceph.hang(t, "mon") },
		"mgr hangs":   func(t *testing.T) func() { return ceph.hang(t, "mgr") },
		"mgr crashes": func(t *testing.T) func() { return ceph.crash(t, "mgr") },
		"MDS crashes": func(t *testing.T) func() { return ceph.crash(t, "mds") },
		"MDS hangs":   func(t *testing.T) func() { return ceph.hang(t, "mds") },
		"OSD crashes": func(t *testing.T) func() { return ceph.crash(t, "osd") },
		"OSD hangs":   func(t *testing.T) func() { return ceph.hang(t, "osd") },
	} {
		t.Run(fault, func(t *testing.T) {
			work := s.part(t).prepare(classes, 2)
			work.begin()
			mend := fail(t)
			work.begin()
			work.answered()
			mend()
			work.done()
		})
	}
}

// crash kills daemons, until the returned function, which the end of the test calls too,
// starts them again.
func (c *cephCluster) crash(t testing.TB, daemons ...string) (restart func()) {
	t.Helper()
	restart = sync.OnceFunc(func() {
		for _, daemon := range daemons {
			if err := suite.cluster.Restart(context.Background(), c.Name+"/"+daemon); err != nil {
				t.Error(err)
			}
		}
	})
	t.Cleanup(restart)
	if err := c.signal(syscall.SIGKILL, daemons...); err != nil {
		t.Fatal(err)
	}
	return restart
}
