package localcluster

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// clusterDir is a cluster's directory with a file in it. Its lock is held until
// the returned file is closed, as by a supervisor until it dies.
func clusterDir(t *testing.T, name string) (string, *os.File) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	lock, err := claimDir(dir)
	if err != nil {
		t.Fatalf("claiming a new directory: %v", err)
	}
	t.Cleanup(func() { lock.Close() })
	if err := os.WriteFile(filepath.Join(dir, "data"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, lock
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestSweepAll(t *testing.T) {
	live, _ := clusterDir(t, dirPrefix+"live")
	base := filepath.Dir(live)
	dead := filepath.Join(base, dirPrefix+"dead")
	lock, err := claimDir(dead)
	if err != nil {
		t.Fatal(err)
	}
	lock.Close()
	foreign := filepath.Join(base, dirPrefix+"foreign") // no lock: not a cluster's
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}

	swept, err := sweepAll(base)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(swept, []string{dead}) || exists(dead) {
		t.Errorf("swept %v, want the dead one alone", swept)
	}
	if !exists(filepath.Join(live, "data")) || !exists(foreign) {
		t.Error("swept what was not a dead cluster's")
	}
}

func TestClaimDir(t *testing.T) {
	t.Run("in use", func(t *testing.T) {
		dir, _ := clusterDir(t, "c")
		if _, err := claimDir(dir); !errors.Is(err, errInUse) {
			t.Errorf("claiming a live cluster's directory: %v", err)
		}
	})
	t.Run("supervisor died", func(t *testing.T) {
		dir, lock := clusterDir(t, "c")
		lock.Close()
		again, err := claimDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if exists(filepath.Join(dir, "data")) {
			t.Error("the dead cluster's data is still there")
		}
	})
	t.Run("somebody else's files", func(t *testing.T) {
		dir := t.TempDir()
		file := filepath.Join(dir, "thesis")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := claimDir(dir); err == nil || !exists(file) {
			t.Errorf("claimed a directory with files: %v", err)
		}
	})
}

func TestSweepDirWithoutLock(t *testing.T) {
	if err := sweepDir(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

func TestMountPointsBelow(t *testing.T) {
	const mountinfo = `22 1 253:0 / / rw - ext4 /dev/vda rw
40 22 0:40 / /tmp/c/a rw - fuse.ceph-fuse ceph-fuse rw
41 22 0:41 / /tmp/c/with\040blank rw - fuse.ceph-fuse ceph-fuse rw
42 22 0:42 / /tmp/cc/other rw - fuse.ceph-fuse ceph-fuse rw
43 22 0:43 / /tmp/c rw - tmpfs tmpfs rw
`
	got := mountPointsBelow(mountinfo, "/tmp/c")
	if want := []string{"/tmp/c/a", "/tmp/c/with blank"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
