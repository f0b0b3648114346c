package e2e

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/cephclient/goceph"
)

// adapter reaches Ceph as the controller does, without Kubernetes, and as an administrator:
// for moments between two calls that no claim can be brought to.
func (c *cephCluster) adapter(t *testing.T) (*goceph.Pool, cephclient.Cluster, cephclient.Credentials) {
	t.Helper()
	key, err := c.key(t.Context(), "admin")
	if err != nil {
		t.Fatal(err)
	}
	pool := goceph.NewPool(goceph.Options{Timeout: patience, CallsPerService: 2})
	t.Cleanup(func() { pool.Close(context.Background()) })
	return pool, cephclient.Cluster{Monitors: strings.Split(c.Monitors, ",")}, cephclient.Credentials{ID: "admin", Key: cephclient.NewSecret(key)}
}

func (c *cephCluster) cephfsBackend(t *testing.T) cephclient.Backend {
	t.Helper()
	pool, cluster, credentials := c.adapter(t)
	backend, err := pool.Backend(t.Context(), cephclient.CephFS, cluster, credentials)
	if err != nil {
		t.Fatal(err)
	}
	return backend
}

// ownRoot makes a root of the test's, with a directory in it.
func (s *scene) ownRoot(ceph *cephCluster, directory string) (root string) {
	s.t.Helper()
	root = "/" + s.namespace
	if err := os.MkdirAll(ceph.path(root, directory), 0o755); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = os.RemoveAll(ceph.path(root)) })
	return root
}

// Names that are chosen come again: a directory that says another owner than was seen, or says
// one where none was seen, is not the one that is to be removed.
func TestDirectoryOfAnotherOwnerStays(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	backend := ceph.cephfsBackend(t)
	root := s.ownRoot(ceph, "ns/data")
	before := cephclient.Owner{Installation: "here", ClaimUID: "1"}.String()
	now := cephclient.Owner{Installation: "here", ClaimUID: "2"}.String()
	if err := syscall.Setxattr(ceph.path(root, "ns/data"), "user."+ownerKey, []byte(now), 0); err != nil {
		t.Fatal(err)
	}
	volume := cephclient.Volume{Kind: cephclient.CephFS, Container: ceph.FileSystem, Root: root, Group: "ns", Name: "data"}
	for _, seen := range []string{"", before} {
		volume.Mark = seen
		if err := backend.Delete(t.Context(), volume); !errors.Is(err, cephclient.ErrInUse) {
			t.Errorf("seen as %q: %v", seen, err)
		}
		if _, err := os.Stat(ceph.path(root, "ns/data")); err != nil {
			t.Fatal(err)
		}
	}
	volume.Mark = now
	if err := backend.Delete(t.Context(), volume); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(ceph.path(root, "ns/data")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is left: %v", err)
	}
}

// An audit that looks at a root first, and purges nothing, does not keep what a crash has
// left there from being purged by what comes next.
func TestAuditDoesNotKeepAPurge(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	pool, cluster, credentials := ceph.adapter(t)
	root := s.ownRoot(ceph, ".deleting/left")
	inventory, err := pool.Inventory(t.Context(), cluster, credentials)
	if err != nil {
		t.Fatal(err)
	}
	backend, err := pool.Backend(t.Context(), cephclient.CephFS, cluster, credentials)
	if err != nil {
		t.Fatal(err)
	}
	place := cephclient.Place{Kind: cephclient.CephFS, Container: ceph.FileSystem, Root: root}
	if _, err := inventory.List(t.Context(), place, func(string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(ceph.path(root, ".deleting/left")); err != nil {
		t.Fatalf("the audit has purged it: %v", err)
	}
	volume := cephclient.Volume{Kind: cephclient.CephFS, Container: ceph.FileSystem, Root: root, Name: "absent"}
	if _, err := backend.Stat(t.Context(), volume); !errors.Is(err, cephclient.ErrNotFound) {
		t.Fatal(err)
	}
	s.eventually("what was left is purged", func(context.Context) error {
		_, err := os.Stat(ceph.path(root, ".deleting/left"))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return errors.Join(err, errors.New("it is there"))
	})
}

const aUUID = "01234567-89ab-cdef-0123-456789abcdef"

// What a mgr that was cut short has left of a subvolume is made whole, or told.
func TestSubvolumeThatTheManagerLeftHalfMade(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	s.made(s.cephfsClass(ceph), "64Mi") // so that there is a group
	backend := ceph.cephfsBackend(t)
	for left, folder := range map[string]string{"its folder": "", "its folders": "data", "what it had not written down": aUUID} {
		volume := cephclient.Volume{Kind: cephclient.CephFS, Container: ceph.FileSystem, Group: filepath.Base(groupPath), Name: "half-made-" + folder + s.namespace}
		if err := os.MkdirAll(ceph.path(groupPath, volume.Name, folder), 0o755); err != nil {
			t.Fatal(err)
		}
		if folder == aUUID { // and had given a quota already
			meta, quota := ceph.path(groupPath, volume.Name, ".meta"), []byte(strconv.Itoa(64<<20))
			if err := errors.Join(os.WriteFile(meta, nil, 0o600), syscall.Setxattr(ceph.path(groupPath, volume.Name, folder), "ceph.quota.max_bytes", quota, 0)); err != nil {
				t.Fatal(err)
			}
		}
		owner := cephclient.Owner{Installation: "here", ClaimUID: "1", PersistentVolume: "pvc-1"}
		info, err := backend.Ensure(t.Context(), volume, 64<<20, cephclient.CreateOptions{Owner: owner})
		if err != nil || info.SizeBytes != 64<<20 {
			t.Errorf("%s: %+v, %v", left, info, err)
		}
		if told := ceph.subvolume(t, volume.Group, volume.Name); told.Path != info.Volume.Path || told.QuotaBytes != 64<<20 {
			t.Errorf("%s: made %+v, and the mgr tells %+v", left, info, told)
		}
		if err := backend.Delete(t.Context(), volume); err != nil {
			t.Errorf("%s: %v", left, err)
		}
		if _, err := os.Stat(ceph.path(groupPath, volume.Name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: it is there after its deletion (%v)", left, err)
		}
	}
}

// The folder of a namespace goes with its last volume, but not with what an administrator has
// set on it.
func TestFolderWithAQuotaStays(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	backend := ceph.cephfsBackend(t)
	root := s.ownRoot(ceph, "")
	for setting, value := range map[string]string{
		"": "", "ceph.quota.max_bytes": "1073741824", "ceph.quota.max_files": "1000", "ceph.dir.pin": "0", "ceph.dir.layout.stripe_count": "2",
	} {
		folder := "of" + setting
		if err := os.MkdirAll(ceph.path(root, folder, "data"), 0o755); err != nil {
			t.Fatal(err)
		}
		if setting != "" {
			if err := syscall.Setxattr(ceph.path(root, folder), setting, []byte(value), 0); err != nil {
				t.Fatalf("%s: %v", setting, err)
			}
		}
		volume := cephclient.Volume{Kind: cephclient.CephFS, Container: ceph.FileSystem, Root: root, Group: folder, Name: "data"}
		if err := backend.Delete(t.Context(), volume); err != nil {
			t.Errorf("%s: %v", setting, err)
		}
		if _, err := os.Stat(ceph.path(root, folder)); errors.Is(err, fs.ErrNotExist) != (setting == "") {
			t.Errorf("with %q: %v", setting, err)
		}
	}
}
