package localcluster

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

const (
	dirPrefix = "localcluster-"
	lockFile  = "lock"
	tmpfs     = 0x01021994
)

// ownPrograms are what may be killed when it names a dead cluster's directory in
// its arguments or environment. The list keeps editors and shells alive.
var ownPrograms = []string{
	"ceph-mon", "ceph-mgr", "ceph-osd", "ceph-mds", "ceph-fuse",
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler",
}

// errInUse says that a live supervisor owns a directory.
var errInUse = errors.New("in use by a running cluster")

// baseDir is where clusters live unless told otherwise. BlueStore needs O_DIRECT,
// which tmpfs lacks on most kernels.
func baseDir() string {
	dir := os.TempDir()
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err == nil && stat.Type == tmpfs {
		return "/var/tmp"
	}
	return dir
}

func newDir() (string, error) {
	return os.MkdirTemp(baseDir(), dirPrefix)
}

// claimDir makes dir ours until the returned lock is closed, which the kernel does
// for us however the supervisor ends. What a dead supervisor left in dir is
// swept; a directory that holds anything else is refused.
func claimDir(dir string) (*os.File, error) {
	if err := sweepDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty, and not a cluster's", dir)
	}
	return createLock(dir)
}

// createLock shows the lock under its name only when it is held: a sweeper in
// between would take the directory for a dead one's.
func createLock(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockFile)
	lock, err := os.OpenFile(path+".new", os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", dir, err), lock.Close())
	}
	if err := os.Rename(path+".new", path); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// sweepAll clears what dead supervisors left in the default place. It returns the
// directories that it removed.
func sweepAll(base string) ([]string, error) {
	dirs, err := filepath.Glob(filepath.Join(base, dirPrefix+"*"))
	if err != nil {
		return nil, err
	}
	var swept []string
	var failures []error
	for _, dir := range dirs {
		switch err := sweepDir(dir); {
		case err == nil:
			swept = append(swept, dir)
		case !errors.Is(err, errInUse) && !errors.Is(err, fs.ErrNotExist):
			failures = append(failures, fmt.Errorf("sweeping %s: %w", dir, err))
		}
	}
	return swept, errors.Join(failures...)
}

// sweepDir removes a directory whose lock nobody holds. Without a lock file
// (fs.ErrNotExist) it is not known to be a cluster's, and stays.
func sweepDir(dir string) error {
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return errInUse
		}
		return err
	}
	return clearDir(dir)
}

// clearDir ends what still uses dir and removes it. If something below stays
// mounted, nothing is removed: it might be somebody's data.
func clearDir(dir string) error {
	if err := unmountBelow(dir); err != nil {
		return err
	}
	if err := killProcessesOf(dir); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

func killProcessesOf(dir string) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err == nil && belongsTo(pid, dir) {
			// It may have ended by itself since.
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	return nil
}

func belongsTo(pid int, dir string) bool {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	arguments, err := os.ReadFile(filepath.Join(proc, "cmdline"))
	if err != nil {
		return false
	}
	program, _, _ := strings.Cut(string(arguments), "\x00")
	if !slices.Contains(ownPrograms, filepath.Base(program)) {
		return false
	}
	environment, _ := os.ReadFile(filepath.Join(proc, "environ"))
	below := []byte(dir + "/")
	return bytes.Contains(arguments, below) || bytes.Contains(environment, below)
}
