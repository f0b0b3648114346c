package goceph

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/ceph/go-ceph/cephfs"

	"ceph.example/ceph-provisioner/cephclient"
)

// parentMode is the mode of what lies above a directory that is a volume.
const parentMode = 0o755

// directories implements [cephclient.CephFSStore] with libcephfs, for plain
// directories, and but for Create and Remove for subvolumes whose path is known.
type directories struct{ session *session }

// Create is similar to: mkdir -p; setfattr for the owner, the layout and the
// quota, in this order: what has an owner was begun, what has a quota is done.
// What exists keeps its layout unless it is empty.
func (d directories) Create(ctx context.Context, volume cephclient.Volume, quotaBytes int64, options cephclient.CreateOptions) error {
	err := d.create(ctx, volume, quotaBytes, options)
	if !errors.Is(err, cephclient.ErrNotFound) {
		return err
	}
	if err := d.createRoot(ctx, volume); err != nil {
		return err
	}
	return d.create(ctx, volume, quotaBytes, options)
}

func (d directories) create(ctx context.Context, volume cephclient.Volume, quotaBytes int64, options cephclient.CreateOptions) error {
	op := change("create", volume, metadata)
	_, err := callMount(ctx, d.session, op, volume, func(mount *cephfs.MountInfo, at place) (none, error) {
		isNew, err := makeDirectory(mount, at)
		if err != nil {
			return none{}, err
		}
		directory := attributes{mount, at.directory, op}
		if err := directory.claim(options.Owner); err != nil {
			return none{}, begun(op, err)
		}
		if err := directory.layOut(volume, options, isNew); err != nil {
			return none{}, begun(op, err)
		}
		return none{}, begun(op, directory.setQuota(quotaBytes))
	})
	return err
}

// begun says of whatever went wrong that something had been made before.
func begun(op operation, err error) error {
	var e *cephclient.Error
	if !errors.As(typed(op.name, true, err), &e) {
		return nil
	}
	marked := *e
	marked.Wrote = true
	return &marked
}

// makeDirectory starts again where a parent vanishes: the removal of another
// volume takes the directories away that it leaves empty.
func makeDirectory(mount *cephfs.MountInfo, at place) (isNew bool, err error) {
	for range 3 {
		if isNew, err = makeAll(mount, at); causeOf(err) != cephclient.ErrNotFound {
			break
		}
	}
	return isNew, err
}

// makeAll needs no chmod: libcephfs heeds no umask.
func makeAll(mount *cephfs.MountInfo, at place) (isNew bool, err error) {
	for _, parent := range at.parents() {
		if err := unlessPresent(mount.MakeDir(parent, parentMode)); err != nil {
			return false, err
		}
	}
	err = mount.MakeDir(at.directory, mode)
	if err := unlessPresent(err); err != nil {
		return false, err
	}
	isNew = err == nil
	_, err = lookUp(mount, at)
	return isNew, err
}

func unlessPresent(err error) error {
	if causeOf(err) == cephclient.ErrExists {
		return nil
	}
	return err
}

// lookUp finds the directory. What leads elsewhere, or is no directory, is refused.
func lookUp(mount *cephfs.MountInfo, at place) (*cephfs.CephStatx, error) {
	var found *cephfs.CephStatx
	for _, each := range append(at.parents(), at.directory) {
		var err error
		// Its mode is known here, while another client changes what is in it.
		if found, err = mount.Statx(each, cephfs.StatxMode|cephfs.StatxIno, cephfs.AtSymlinkNofollow); err != nil {
			return nil, err
		}
		if !isDirectory(found) {
			e := cephclient.NewError(cephclient.ErrExists, "look for the directory "+at.path(),
				path.Join(at.root, each)+" is a file or a symbolic link", false)
			e.Remedy = "move it away"
			return nil, e
		}
	}
	return found, nil
}

func isDirectory(found *cephfs.CephStatx) bool {
	const format, directory = 0o170000, 0o040000
	return found.Mode&format == directory
}

// createRoot makes the root of a volume's directory, which takes an identity
// that may mount all of the file system.
func (d directories) createRoot(ctx context.Context, volume cephclient.Volume) error {
	at, _ := placeOf(volume)
	op := change("create the root of", volume, metadataOf(at))
	top := place{fileSystem: at.fileSystem, root: "/", directory: strings.TrimPrefix(at.root, "/")}
	_, err := callOn(ctx, d.session, op, d.session.mountOf(top), func(mount *cephfs.MountInfo) (none, error) {
		for _, each := range append(top.parents(), top.directory) {
			if err := unlessPresent(mount.MakeDir(each, parentMode)); err != nil {
				return none{}, err
			}
		}
		_, err := lookUp(mount, top)
		return none{}, err
	})
	if errors.Is(err, cephclient.ErrDenied) || errors.Is(err, cephclient.ErrNotFound) {
		e := cephclient.NewError(cephclient.ErrNoSuchPlace, op.name, fmt.Sprintf("file system %q has no directory %s", at.fileSystem, at.root), false)
		e.Remedy = "make the directory " + at.root + " as an administrator, or give the identity caps for /"
		return e
	}
	d.session.pool.mounts.forget(d.session.mountKey(at)) // a mount of a root that was removed
	return err
}

// Inspect is similar to: getfattr.
func (d directories) Inspect(ctx context.Context, volume cephclient.Volume) (cephclient.CephFSInfo, error) {
	return d.inspect(ctx, volume, attributes.readOwned)
}

// Quota implements [cephclient.CephFSStore].
func (d directories) Quota(ctx context.Context, volume cephclient.Volume) (cephclient.CephFSInfo, error) {
	return d.inspect(ctx, volume, attributes.readQuota)
}

func (d directories) inspect(ctx context.Context, volume cephclient.Volume, read func(attributes) (cephclient.CephFSInfo, error)) (cephclient.CephFSInfo, error) {
	op := operation{name: "read " + volume.String(), asks: metadata}
	return callMount(ctx, d.session, op, volume, func(mount *cephfs.MountInfo, at place) (cephclient.CephFSInfo, error) {
		if _, err := lookUp(mount, at); err != nil {
			return cephclient.CephFSInfo{}, err
		}
		info, err := read(attributes{mount, at.directory, op})
		info.Path = at.path()
		return info, err
	})
}

// SetQuota is similar to: setfattr -n ceph.quota.max_bytes.
func (d directories) SetQuota(ctx context.Context, volume cephclient.Volume, quotaBytes int64) error {
	op := change("set the quota of", volume, metadata)
	return d.onExisting(ctx, op, volume, func(directory attributes) error {
		return directory.setQuota(quotaBytes)
	})
}

// Mark is similar to: setfattr -n user.ceph.example/owner.
func (d directories) Mark(ctx context.Context, volume cephclient.Volume, owner cephclient.Owner) error {
	op := change("mark", volume, metadata)
	return d.onExisting(ctx, op, volume, func(directory attributes) error {
		return directory.set(ownerAttribute, owner.String(), cephfs.XattrDefault)
	})
}

func (d directories) onExisting(ctx context.Context, op operation, volume cephclient.Volume, f func(attributes) error) error {
	_, err := callMount(ctx, d.session, op, volume, func(mount *cephfs.MountInfo, at place) (none, error) {
		if _, err := lookUp(mount, at); err != nil {
			return none{}, err
		}
		return none{}, f(attributes{mount, at.directory, op})
	})
	return err
}
