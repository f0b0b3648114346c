package e2e

import "testing"

// Keys that are revoked while volumes are made, grown and deleted: who needs them is
// told, and all goes on by itself when new ones are in the secrets: what is under way with
// an old one, and never ends, holds up nothing. Not parallel, as it stops daemons.
func TestKeysAreRevokedUnderWork(t *testing.T) {
	ceph := suite.ceph[1]
	s := newScene(t)
	s.serveAlone("--retry-interval-max=5m", "--timeout=6s")
	var ids []string
	own := func(id string) []classChange {
		ids = append(ids, id)
		s.ownIdentity(ceph, id)
		return []classChange{with("adminId", id+"-"+s.namespace), with("adminSecretName", id), with("adminSecretNamespace", s.namespace)}
	}
	work := s.prepare([]string{
		s.rbdClass(ceph, own(rbdAdminID)...), s.cephfsClass(ceph, own(cephfsAdminID)...),
		s.tenantClass(ceph, own(tenantAdminID)...), s.directoryClass(ceph, own(dirAdminID)...),
	}, 2)
	t.Cleanup(func() {
		s.leaveNothing()
		for _, id := range ids {
			ceph.runAtEnd(t, "ceph", "auth", "rm", "client."+id+"-"+s.namespace)
		}
	})

	ceph.hang(t, "mgr") // so that calls to it are under way
	work.begin()
	work.answered()
	for _, id := range ids {
		ceph.run(t, "ceph", "auth", "rm", "client."+id+"-"+s.namespace)
	}
	restart := ceph.crash(t, "mgr", "mon") // connections outlive their key
	restart()
	work.begin()
	work.answered("refuses this identity or key")
	for _, id := range ids {
		s.ownIdentity(ceph, id)
	}
	work.done()
}

// ownIdentity makes an identity with the caps of one of the documentation, or gives it a
// new key, and puts this into the test's secret.
func (s *scene) ownIdentity(ceph *cephCluster, like string) {
	s.t.Helper()
	caps, err := ceph.caps(s.t.Context(), like)
	if err != nil {
		s.t.Fatal(err)
	}
	s.identity(ceph, like+"-"+s.namespace, like, caps)
}
