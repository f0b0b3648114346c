package e2e

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

const (
	secondFileSystem = "second"
	secondRoot       = "/second-root"
)

// addFileSystem makes a second file system with an MDS and a data pool more, and an
// identity that may use it, whose secret is in the test's namespace.
func (s *scene) addFileSystem(ceph *cephCluster) (id string) {
	s.t.Helper()
	for _, args := range [][]string{
		{"fs", "flag", "set", "enable_multiple", "true"},
		{"osd", "pool", "create", "second.meta"}, {"osd", "pool", "create", "second.data"}, {"osd", "pool", "create", "second.more"},
		{"fs", "new", secondFileSystem, "second.meta", "second.data"}, {"fs", "add_data_pool", secondFileSystem, "second.more"},
		{"auth", "get-or-create", "mds.second", "mon", "allow profile mds", "mgr", "allow profile mds", "osd", "allow rwx", "mds", "allow *"},
	} {
		ceph.run(s.t, "ceph", args...)
	}
	keyring := filepath.Join(s.t.TempDir(), "keyring")
	ceph.run(s.t, "ceph", "auth", "get", "mds.second", "-o", keyring)
	mds := child(ceph.Env(), "ceph-mds", "-f", "-i", "second", "--keyring="+keyring)
	if err := mds.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = mds.Process.Kill(); _ = mds.Wait() })

	id = "admin-of-" + s.namespace
	vol := func(command string) string {
		return `allow command "` + command + `" with vol_name=` + secondFileSystem
	}
	ceph.run(s.t, "ceph", "auth", "get-or-create", "client."+id,
		"mon", `allow r, allow command "auth get", allow command "auth rm", allow command "auth get-or-create"`,
		"mds", "allow rwp fsname="+secondFileSystem,
		"mgr", vol("fs subvolumegroup create")+", "+vol("fs subvolume create")+", "+vol("fs subvolume info")+", "+
			vol("fs subvolume metadata set")+", "+vol("fs subvolume rm"))
	key, err := ceph.key(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	s.secret(id, map[string]string{"key": key})
	return id
}

// removeFileSystem undoes addFileSystem, also if the file system is gone already.
func (c *cephCluster) removeFileSystem(t testing.TB, id string) {
	t.Helper()
	var fileSystems []struct{ Name string }
	if err := c.read(context.Background(), &fileSystems, "ceph", "fs", "ls"); err != nil {
		t.Error(err)
	}
	if len(fileSystems) > 1 {
		c.runAtEnd(t, "ceph", "fs", "fail", secondFileSystem)
		c.runAtEnd(t, "ceph", "fs", "rm", secondFileSystem, "--yes-i-really-mean-it")
	}
	for _, pool := range []string{"second.meta", "second.data", "second.more"} {
		c.runAtEnd(t, "ceph", "osd", "pool", "rm", pool, pool, "--yes-i-really-really-mean-it")
	}
	c.runAtEnd(t, "ceph", "auth", "rm", "mds.second")
	c.runAtEnd(t, "ceph", "auth", "rm", "client."+id)
	c.restartManager(t)
}

// A volume lies in the file system, data pool and group that its class says, its user
// reaches it there alone, and nodes are told where it is. The group and the root of
// directories are made. Not parallel: classes that name no file system are right no more.
func TestSeveralFileSystems(t *testing.T) {
	ceph := suite.ceph[1]
	s := newScene(t)
	id := s.addFileSystem(ceph)
	t.Cleanup(func() { s.leaveNothing(); ceph.removeFileSystem(t, id) })
	admin := []classChange{with("adminId", id), with("adminSecretName", id), with("adminSecretNamespace", s.namespace)}

	refused := s.claim(s.tenantClass(ceph, admin...), "8Mi")
	s.event(refused, "ProvisioningFailed", "several file systems", "fsName")
	s.deleteClaim(refused)

	for kind, class := range map[string]string{
		"subvolume": s.tenantClass(ceph, append(admin, with("fsName", secondFileSystem), with("dataPool", "second.more"), with("subvolumeGroup", "made"))...),
		"directory": s.directoryClass(ceph, append(admin, with("fsName", secondFileSystem), with("dataPool", "second.more"), with("claimRoot", secondRoot))...),
	} {
		t.Run(kind, func(t *testing.T) {
			part := &scene{t: t, namespace: s.namespace}
			claim, pv := part.made(class, "8Mi")
			if !slices.Contains(pv.Spec.MountOptions, "mds_namespace="+secondFileSystem) {
				t.Errorf("nodes are told %v", pv.Spec.MountOptions)
			}
			caps, err := ceph.caps(t.Context(), ownUser(claim))
			if want := "allow rw fsname=" + secondFileSystem + " path=" + pv.Spec.CephFS.Path; err != nil || caps["mds"] != want || caps["osd"] != "allow rw pool=second.more" {
				t.Errorf("the user has caps %v (%v), want mds %q", caps, err, want)
			}
			if _, err := fill(part.mount(pv), 64); !errors.Is(err, syscall.EDQUOT) {
				t.Errorf("in a volume of 8 MiB: %v, want %v", err, syscall.EDQUOT)
			}
			part.request(claim, "16Mi")
			part.finished(claim, 16<<20)
		})
	}
}
