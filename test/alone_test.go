package e2e

// serveAlone gives the test a controller of its own, which serves the classes that the
// test makes from now on, and no others: it may be killed, cut off or starved beside all
// other tests. It holds no Lease. Arguments override the usual ones.
func (s *scene) serveAlone(args ...string) {
	s.t.Helper()
	s.nameProvisioners()
	s.restart(args...)
}

// nameProvisioners has the classes that are made from now on served by nobody else's.
func (s *scene) nameProvisioners() {
	s.rbd, s.cephfs = s.namespace+".example/rbd", s.namespace+".example/cephfs"
}

// restart starts the test's own controller once more, after it was killed or stopped.
func (s *scene) restart(args ...string) {
	s.t.Helper()
	if err := s.start(suite.binary, nil, args...); err != nil {
		s.t.Fatal(err)
	}
}

// start runs a build of the controller as the test's own, until it is ready.
func (s *scene) start(binary string, env []string, args ...string) (err error) {
	s.t.Helper()
	s.controller, err = suite.start(s.t.Context(), binary, env, append([]string{
		"--leader-election=false",
		"--rbd-provisioner-name=" + s.rbd,
		"--cephfs-provisioner-name=" + s.cephfs,
	}, args...)...)
	return err
}
