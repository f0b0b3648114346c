package e2e

// pool is one of a test's own, which bears the name of its namespace, with an
// identity, its secret, and a class that names all of them.
type pool struct {
	*scene
	ceph  *cephCluster
	name  string
	id    string // also the secret's name
	class string
}

// ownPool prepares everything for a pool but the pool itself.
func (s *scene) ownPool(ceph *cephCluster, changes ...classChange) pool {
	s.t.Helper()
	p := pool{scene: s, ceph: ceph, name: s.namespace, id: "admin-of-" + s.namespace}
	ceph.run(s.t, "ceph", append([]string{"auth", "get-or-create", "client." + p.id}, rbdAdminCaps(p.name)...)...)
	key, err := ceph.key(s.t.Context(), p.id)
	if err != nil {
		s.t.Fatal(err)
	}
	s.secret(p.id, map[string]string{"key": key})
	p.class = s.rbdClass(ceph, append(changes, with("pool", p.name), with("adminId", p.id),
		with("adminSecretNamespace", s.namespace), with("adminSecretName", p.id))...)
	return p
}

func rbdAdminCaps(pool string) []string {
	return []string{"mon", "profile rbd", "mgr", "profile rbd pool=" + pool, "osd", "profile rbd pool=" + pool}
}

func (p pool) create() {
	p.t.Helper()
	p.ceph.run(p.t, "ceph", "osd", "pool", "create", p.name)
	p.ceph.run(p.t, "rbd", "pool", "init", p.name)
}

// remove also removes the identity.
func (p pool) remove() {
	p.t.Helper()
	p.ceph.run(p.t, "ceph", "osd", "pool", "rm", p.name, p.name, "--yes-i-really-really-mean-it")
	p.ceph.run(p.t, "ceph", "auth", "rm", "client."+p.id)
}
