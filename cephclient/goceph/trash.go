package goceph

import (
	"context"
	"errors"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"
	"github.com/ceph/go-ceph/rbd/admin"

	"ceph.example/ceph-provisioner/cephclient"
)

// Remove is similar to: rbd trash mv; ceph rbd task add trash remove. Removing
// the objects of a large image takes long, also of an empty one (31 s for 1 TiB
// without object map), so that is left to the mgr.
func (i images) Remove(ctx context.Context, volume cephclient.Volume, check func(cephclient.ImageInfo) error) error {
	ids, err := i.moveToTrash(ctx, volume, check)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := i.purge(ctx, volume, id); err != nil {
			return err
		}
	}
	return nil
}

// moveToTrash returns the trash entries of the image: the new one, or those that
// an earlier attempt left. What is left of an image without header is removed.
func (i images) moveToTrash(ctx context.Context, volume cephclient.Volume, check func(cephclient.ImageInfo) error) ([]string, error) {
	op := change("delete", volume, osd)
	return call(ctx, i.session, op, func(conn *rados.Conn) (ids []string, err error) {
		err = withPool(conn, op, volume.Container, func(ioctx *rados.IOContext) error {
			id, err := trash(ioctx, volume.Name, check)
			if causeOf(err) == cephclient.ErrNotFound {
				ids, err = resumeTrash(conn, ioctx, op, volume)
				return err
			}
			ids = []string{id}
			return err
		})
		return ids, err
	})
}

// resumeTrash is for an image that can't be opened by its name. A move that was cut short is
// carried on by the next; until then the entry can't be removed: "image is pending moving to
// the trash".
func resumeTrash(conn *rados.Conn, ioctx *rados.IOContext, op operation, volume cephclient.Volume) (ids []string, err error) {
	if err := unlessAbsent(rbd.GetImage(ioctx, volume.Name).Trash(0)); err != nil {
		return nil, err
	}
	if ids, err = inTrash(ioctx, volume.Name); err != nil {
		return nil, err
	}
	for _, id := range ids {
		_ = timeForgottenWatches(ioctx, id) // the removal says what is wrong
	}
	err = discard(ioctx, volume.Name)
	if errors.Is(err, errHasHeader) { // librbd 16.2 says "not found" of the entry that it could not make
		err = cephclient.NewError(cephclient.ErrNoSpace, op.name, "the pool takes no entry of the trash", true)
	}
	if err == nil && len(ids) == 0 {
		err = poolStillExists(conn, op, volume.Container)
	}
	return ids, err
}

func trash(ioctx *rados.IOContext, name string, check func(cephclient.ImageInfo) error) (id string, err error) {
	image, err := rbd.OpenImageReadOnly(ioctx, name, rbd.NoSnapshot)
	if err != nil {
		return "", err
	}
	id, err = releaseUnused(ioctx, image, check)
	if err := errors.Join(err, image.Close()); err != nil {
		return "", err
	}
	return id, rbd.GetImage(ioctx, name).Trash(0)
}

// releaseUnused frees an image that may go of locks, and returns its ID.
func releaseUnused(ioctx *rados.IOContext, image *rbd.Image, check func(cephclient.ImageInfo) error) (id string, err error) {
	info, lost, err := describe(ioctx, image)
	if err != nil {
		return "", err
	}
	if id, err = image.GetId(); err != nil {
		return "", err
	}
	if err := check(info); err != nil {
		_ = timeForgottenWatches(ioctx, id) // for the next attempt: this one says what keeps the image
		return "", err
	}
	return id, release(ioctx, id, lost)
}

func inTrash(ioctx *rados.IOContext, name string) (ids []string, err error) {
	trashed, err := rbd.GetTrashList(ioctx)
	for _, entry := range trashed {
		if entry.Name == name {
			ids = append(ids, entry.Id)
		}
	}
	return ids, err
}

// purge has the mgr remove a trashed image, or removes it itself where the
// cluster has no mgr for that (before Nautilus) or the identity may not ask it.
func (i images) purge(ctx context.Context, volume cephclient.Volume, id string) error {
	op := change("schedule the removal of", volume, manager)
	_, err := call(ctx, i.session, op, func(conn *rados.Conn) (none, error) {
		_, err := admin.NewFromConn(conn).Task().AddTrashRemove(admin.NewImageSpec(volume.Container, "", id))
		return none{}, unlessAbsent(err)
	})
	if errors.Is(err, cephclient.ErrUnsupported) || errors.Is(err, cephclient.ErrDenied) {
		return i.purgeDirectly(ctx, volume, id)
	}
	return err
}

func (i images) purgeDirectly(ctx context.Context, volume cephclient.Volume, id string) error {
	op := change("remove from the trash", volume, osd)
	op.slow = true
	_, err := call(ctx, i.session, op, func(conn *rados.Conn) (none, error) {
		return none{}, withPool(conn, op, volume.Container, func(ioctx *rados.IOContext) error {
			return unlessAbsent(rbd.TrashRemove(ioctx, id, true))
		})
	})
	return err
}
