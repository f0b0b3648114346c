package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// attribute reads what the file system says of a path, "" if it says nothing.
func (c *cephCluster) attribute(path, name string) string {
	value := make([]byte, 4096)
	n, err := syscall.Getxattr(c.path(path), name, value)
	if err != nil {
		return ""
	}
	return string(value[:n])
}

func TestProvisionDirectory(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	ceph.addDataPool(t)
	chosenPath := func(claim *corev1.PersistentVolumeClaim) string { return claim.Namespace + "/" + claim.Name }
	chosenUser := func(claim *corev1.PersistentVolumeClaim) string { return "k8s." + claim.Namespace + "." + claim.Name }
	tests := map[string]struct {
		class []classChange
		name  string                                           // of the claim
		path  func(claim *corev1.PersistentVolumeClaim) string // below claimRoot; default its UID's
		user  func(claim *corev1.PersistentVolumeClaim) string
		pool  string
		ns    bool
	}{
		"a class with the least parameters": {},
		"a root that makes it one":          {class: []classChange{without("backend")}},
		"a data pool":                       {class: []classChange{with("dataPool", extraDataPool)}, pool: extraDataPool},
		"a RADOS namespace":                 {class: []classChange{with("namespaceIsolated", "true")}, ns: true},
		"names of one's choice": {
			class: []classChange{with("deterministicNames", "true"), with("namespaceIsolated", "true")}, ns: true,
			path: chosenPath, user: chosenUser,
		},
		"a long name of one's choice": { // with a layout that libcephfs has no room for
			class: []classChange{with("deterministicNames", "true"), with("namespaceIsolated", "true")}, ns: true,
			name: strings.Repeat("long-", 40) + "name", path: chosenPath, user: chosenUser,
		},
	}
	for state, test := range tests {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			class := s.directoryClass(ceph, test.class...)
			changes := []claimChange{modes(corev1.ReadWriteMany)}
			if test.name != "" {
				changes = append(changes, named(test.name))
			}
			claim, pv := s.made(class, "12345678", changes...)
			path, user := claimRoot+"/"+volumeName(claim), ownUser(claim)
			if test.path != nil {
				path, user = claimRoot+"/"+test.path(claim), test.user(claim)
			}
			if pv.Spec.CephFS.Path != path || pv.Spec.CephFS.User != user {
				t.Errorf("the volume is %s, mounted as %s; want %s, %s", pv.Spec.CephFS.Path, pv.Spec.CephFS.User, path, user)
			}
			wantPV(t, pv, claim, class, 12345678)
			if quota := ceph.attribute(path, "ceph.quota.max_bytes"); quota != "12345678" {
				t.Errorf("the quota is %q", quota)
			}
			info, err := os.Stat(ceph.path(path))
			if err != nil || info.Mode().Perm() != 0o777 {
				t.Errorf("the directory has mode %v (%v)", info.Mode(), err)
			}
			pool := test.pool
			if pool == "" {
				pool = ceph.subvolumeDataPool(t)
			}
			namespace := ceph.attribute(path, "ceph.dir.layout.pool_namespace")
			if got := ceph.attribute(path, "ceph.dir.layout.pool"); got != pool || (namespace != "") != test.ns {
				t.Errorf("the data goes to pool %q, namespace %q", got, namespace)
			}
			wantOwner(t, ceph.attribute(path, "user."+ownerKey), claim)

			mounted := s.mount(pv)
			if err := writeMiB(filepath.Join(mounted, "own")); err != nil {
				t.Error(err)
			}
			if _, err := fill(mounted, 64); !errors.Is(err, syscall.EDQUOT) {
				t.Errorf("the quota does not hold: %v", err)
			}
			for _, elsewhere := range []string{"/", claimRoot} {
				if out, err := s.asTenant(pv, "list", elsewhere); err == nil {
					t.Errorf("the user lists %s: %q", elsewhere, out)
				}
			}
			s.request(claim, "64Mi")
			s.finished(claim, 64<<20)
			if err := os.Remove(filepath.Join(mounted, "own")); err != nil {
				t.Error(err)
			}
			s.eventually("the mount takes more data", func(context.Context) error { return writeMiB(filepath.Join(mounted, "after")) })
		})
	}
}

// Whatever is in it, a deleted directory goes: what it was at once, what was in it in
// the background, and nothing that its links point to.
func TestDeleteDirectory(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	class := s.directoryClass(ceph, with("deterministicNames", "true"))
	claim, pv := s.made(class, "64Mi")
	_, neighbour := s.made(class, "64Mi")
	inside, outside := ceph.path(pv.Spec.CephFS.Path), ceph.path(neighbour.Spec.CephFS.Path)
	kept := filepath.Join(outside, "kept")
	if err := errors.Join(
		os.WriteFile(kept, []byte("kept"), 0o600),
		os.Symlink(outside, filepath.Join(inside, "absolute")),
		os.Symlink(claimRoot+"/"+claim.Namespace+"/"+filepath.Base(outside), filepath.Join(inside, "in-the-file-system")),
		os.Symlink("../"+filepath.Base(outside), filepath.Join(inside, "relative")),
		os.Symlink("../"+filepath.Base(outside)+"/kept", filepath.Join(inside, "file")),
		os.MkdirAll(filepath.Join(inside, strings.Repeat("deep/", 100)), 0o755),
		os.Mkdir(filepath.Join(inside, "closed"), 0o000),
		os.WriteFile(filepath.Join(inside, "odd \n name"), nil, 0o000),
	); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := os.WriteFile(filepath.Join(inside, "deep", strconv.Itoa(i)), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	s.deleteClaim(claim)
	s.gone(pv.Name)
	if _, err := os.Lstat(inside); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is there when its volume is gone: %v", err)
	}
	s.eventually("the directory is purged", func(ctx context.Context) error {
		left, err := ceph.directories(ctx)
		for _, each := range left {
			if strings.Contains(each, filepath.Base(inside)) {
				err = errors.Join(err, fmt.Errorf("%s is left", each))
			}
		}
		return err
	})
	if text, err := os.ReadFile(kept); err != nil || string(text) != "kept" {
		t.Errorf("what a link pointed to has %q (%v)", text, err)
	}
}

// A directory with the claim's name that is there already is somebody's.
func TestDirectoryIsTaken(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	for state, mark := range map[string]string{"and says nothing": "", "and says what nobody can read": "bob"} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			class := s.directoryClass(ceph, with("deterministicNames", "true"))
			taken := ceph.path(claimRoot, s.namespace, "data")
			if err := errors.Join(os.MkdirAll(taken, 0o755), os.WriteFile(filepath.Join(taken, "theirs"), []byte("x"), 0o600)); err != nil {
				t.Fatal(err)
			}
			if mark != "" {
				if err := syscall.Setxattr(taken, "user."+ownerKey, []byte(mark), 0); err != nil {
					t.Fatal(err)
				}
			}
			claim := s.claim(class, "64Mi", named("data"))
			s.event(claim, "ProvisioningFailed", "already exists", "setfattr")
			s.wantPending(claim)
			if err := os.Remove(filepath.Join(taken, "theirs")); err != nil {
				t.Fatal(err)
			}
			s.bound(claim) // what is empty is nobody's
		})
	}
}

// directories lists what is below claimRoot, and what has yet to be purged.
func (c *cephCluster) directories(context.Context) ([]string, error) {
	var found []string
	entries, err := os.ReadDir(c.path(claimRoot))
	for _, entry := range entries {
		below, err := os.ReadDir(c.path(claimRoot, entry.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if len(below) == 0 && !strings.HasPrefix(entry.Name(), "kubernetes-dynamic-pvc-") {
			continue // the folder of a namespace, or of what was purged
		}
		found = append(found, "directory "+entry.Name())
		for _, each := range below {
			found = append(found, "directory "+entry.Name()+"/"+each.Name())
		}
	}
	return found, err
}
