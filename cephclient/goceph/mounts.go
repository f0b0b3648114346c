package goceph

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/ceph/go-ceph/cephfs"

	"ceph.example/ceph-provisioner/cephclient"
)

// mountIdleAfter is short because a client that is killed while it has a
// directory in its cache keeps others from it until the MDS gives it up, a
// minute later. Mounting takes 12 ms.
const mountIdleAfter = time.Second

// firstMount is how long an identity that was never seen to mount a file system may take to,
// where there is another way: that of Ceph 17.2 and later never ends for one without mds caps,
// which older releases refuse at once.
const firstMount = 5 * time.Second

// callMount is call on a mount of the volume's root; f gets the directory
// relative to it. libcephfs takes calls from any number of threads.
func callMount[T any](ctx context.Context, s *session, op operation, volume cephclient.Volume, f func(*cephfs.MountInfo, place) (T, error)) (T, error) {
	at, ok := placeOf(volume)
	if !ok {
		var none T
		return none, cephclient.NewError(cephclient.ErrInvalid, op.name, "its names make up no path below its root", false)
	}
	op.needs = needsToWrite(at)
	op.asks = metadataOf(at)
	return callOn(ctx, s, op, s.mountOf(at), func(mount *cephfs.MountInfo) (T, error) { return f(mount, at) })
}

func metadataOf(at place) service {
	return metadata + " of file system " + service(strconv.Quote(at.fileSystem))
}

func needsToWrite(at place) string { return "mds 'allow rwp path=" + at.root + "'" }

// mountOf is the session's mount of the place's root.
func (s *session) mountOf(at place) line[*cephfs.MountInfo] {
	mounting := line[*cephfs.MountInfo]{among: s.pool.mounts, key: s.mountKey(at), patience: s.pool.options.Timeout}
	mounting.open = func() (*cephfs.MountInfo, error) {
		mount, err := s.mount(at)
		switch {
		case err == nil:
			s.noteAllowed(mounting.key)
		case silent(err) && mounting.overdue != nil:
			return nil, mounting.overdue
		default:
			return nil, err
		}
		if at.ours {
			s.resumePurge(mount, at)
		}
		return mount, nil
	}
	if !at.ours && !s.isAllowed(mounting.key) { // the mgr is the other way
		mounting.patience = min(firstMount, mounting.patience/2)
		mounting.overdue = cephclient.NewError(cephclient.ErrDenied, s.mounting(at), "no answer from the "+string(metadataOf(at)), false)
	}
	return mounting
}

func (s *session) mounting(at place) string {
	return fmt.Sprintf("mount %s of file system %q of %s as client.%s", at.root, at.fileSystem, s.cluster, s.credentials.ID)
}

func (s *session) mountKey(at place) string {
	return fmt.Sprintf("%x %q %q %t", s.identity, at.fileSystem, at.root, at.ours)
}

// mount mounts the place's root by itself, rather than on the session's
// connection: the options of the one then can't disturb the other, and neither
// waits for the other's end. It hangs with a hung MDS, whatever client_mount_timeout.
func (s *session) mount(at place) (*cephfs.MountInfo, error) {
	op := s.mounting(at)
	mount, err := cephfs.CreateMountWithId(s.credentials.ID)
	if err != nil {
		return nil, typed(op, false, err)
	}
	for name, value := range s.mountConfiguration() {
		if err := mount.SetConfigOption(name, value); err != nil {
			_ = mount.Release()
			return nil, cephclient.NewError(cephclient.ErrInvalid, op, "libcephfs does not take the option "+name, false)
		}
	}
	if at.fileSystem != "" {
		err = mount.SelectFilesystem(at.fileSystem)
	}
	if err == nil {
		err = mount.MountWithRoot(at.root)
	}
	if err != nil {
		go func() { _ = mount.Release() }() // of what did not come to be; nobody waits for it
		return nil, typed(op, false, err)
	}
	return mount, nil
}

func (s *session) mountConfiguration() map[string]string {
	options := configuration(s.cluster, s.credentials, s.pool.options.Timeout)
	maps.Copy(options, map[string]string{
		// Whoever this process runs as, directories belong to root, and root may
		// enter those that pods have closed.
		"client_mount_uid": "0",
		"client_mount_gid": "0",
		// With it, libcephfs refuses with EXDEV to move a directory from under one
		// quota to under another. Quotas are read and set without it too.
		"client_quota": "false",
	})
	return options
}

// unmount ends a mount. A hung MDS makes it wait.
func unmount(mount *cephfs.MountInfo) {
	_ = mount.Unmount() // of no interest: nothing is written that could be lost
	_ = mount.Release()
}
