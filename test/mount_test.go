package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"k8s.io/apimachinery/pkg/util/wait"
)

// mount is a ceph-fuse mount below the cluster's directory, where the cluster's
// end unmounts what a killed test leaves.
type mount struct {
	dir  string
	fuse *exec.Cmd
}

// mountCephFS returns when the file system is there.
func mountCephFS(ctx context.Context, dir string, env []string, args ...string) (*mount, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	m := &mount{dir: dir, fuse: child(env, "ceph-fuse", append([]string{"-f", dir}, args...)...)}
	if err := m.fuse.Start(); err != nil {
		return nil, err
	}
	outside, err := device(filepath.Dir(dir))
	if err != nil {
		return nil, err
	}
	err = wait.PollUntilContextTimeout(ctx, pollInterval, patience, true, func(context.Context) (bool, error) {
		inside, err := device(dir)
		return inside != outside, err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%v: %w", m.fuse, err), m.fuse.Process.Kill())
	}
	return m, nil
}

// unmount tries again while the mount is busy: a program that another test starts has
// our open files for an instant, between fork and exec.
func (m *mount) unmount() error {
	err := wait.PollUntilContextTimeout(context.Background(), pollInterval, patience, true, func(context.Context) (bool, error) {
		err := syscall.Unmount(m.dir, 0)
		if errors.Is(err, syscall.EBUSY) {
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return fmt.Errorf("unmount %s: %w", m.dir, err)
	}
	_ = m.fuse.Wait()
	return os.Remove(m.dir)
}

func device(path string) (uint64, error) {
	var stat syscall.Stat_t
	err := syscall.Stat(path, &stat)
	return stat.Dev, err
}
