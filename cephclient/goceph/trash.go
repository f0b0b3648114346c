package goceph

import (
	"context"
	"errors"
	"fmt"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"
	"github.com/ceph/go-ceph/rbd/admin"

	"ceph.example/ceph-provisioner/cephclient"
)

// objectsAtOnce is how many objects of an image are removed while the caller waits: 4 GB of
// them at their default size of 4 MiB, which librbd removes ten at a time.
const objectsAtOnce = 1000

// released is an image that is to be removed. It is in the trash, unless it is of format 1,
// of which librbd moves none there.
type released struct {
	id      string
	small   bool // it has objectsAtOnce at most, and no removal of it was begun
	format1 bool
}

// Remove is similar to: rbd trash mv; rbd trash rm. Removing the objects of a large image
// takes long, also of an empty one (31 s for 1 TiB without object map), so that is left to
// the mgr, as by: ceph rbd task add trash remove. The mgr removes one image after the other.
func (i images) Remove(ctx context.Context, volume cephclient.Volume, check func(cephclient.ImageInfo) error) error {
	moved, err := i.moveToTrash(ctx, volume, check)
	if err != nil {
		return err
	}
	for _, image := range moved {
		if err := i.purge(ctx, volume, image); err != nil {
			return err
		}
	}
	return nil
}

// moveToTrash returns the trash entries of the image: the new one, or those that
// an earlier attempt left. What is left of an image without header is removed.
func (i images) moveToTrash(ctx context.Context, volume cephclient.Volume, check func(cephclient.ImageInfo) error) ([]released, error) {
	op := change("delete", volume, osd)
	return call(ctx, i.session, op, func(conn *rados.Conn) (moved []released, err error) {
		err = withPool(conn, op, volume.Container, func(ioctx *rados.IOContext) error {
			image, err := trash(ioctx, volume.Name, check)
			if causeOf(err) == cephclient.ErrNotFound {
				moved, err = resumeTrash(conn, ioctx, op, volume)
				return err
			}
			moved = []released{image}
			return err
		})
		return moved, err
	})
}

// resumeTrash is for an image that can't be opened by its name. A move that was cut short is
// carried on by the next; until then the entry can't be removed: "image is pending moving to
// the trash".
func resumeTrash(conn *rados.Conn, ioctx *rados.IOContext, op operation, volume cephclient.Volume) (moved []released, err error) {
	if err := unlessAbsent(rbd.GetImage(ioctx, volume.Name).Trash(0)); err != nil {
		return nil, err
	}
	if moved, err = inTrash(ioctx, volume.Name); err != nil {
		return nil, err
	}
	for _, image := range moved {
		if forgotten, err := timeForgottenWatches(ioctx, image.id); forgotten { // the mgr would try in vain
			return nil, usedByNobody(op, err)
		}
	}
	err = discard(ioctx, volume.Name)
	if errors.Is(err, errHasHeader) { // librbd 16.2 says "not found" of the entry that it could not make
		err = cephclient.NewError(cephclient.ErrNoSpace, op.name, "the pool takes no entry of the trash", true)
	}
	if err == nil && len(moved) == 0 {
		err = poolStillExists(conn, op, volume.Container)
	}
	return moved, err
}

// usedByNobody is told until the watch of a client that is gone has ended.
func usedByNobody(op operation, failed error) error {
	e := &cephclient.Error{Cause: cephclient.ErrInUse, Op: op.name, Detail: "by a client that is gone", Remedy: "deletion is tried again by itself"}
	if failed != nil {
		e.Detail += ", whose watch does not end: " + failed.Error()
	}
	return e
}

func trash(ioctx *rados.IOContext, name string, check func(cephclient.ImageInfo) error) (moved released, err error) {
	image, err := rbd.OpenImageReadOnly(ioctx, name, rbd.NoSnapshot)
	if err != nil {
		return moved, err
	}
	moved, err = releaseUnused(ioctx, image, check)
	if err := errors.Join(err, image.Close()); err != nil || moved.format1 {
		return moved, err
	}
	return moved, rbd.GetImage(ioctx, name).Trash(0)
}

// releaseUnused frees an image that may go of locks, and returns what it will be in the trash.
func releaseUnused(ioctx *rados.IOContext, image *rbd.Image, check func(cephclient.ImageInfo) error) (unused released, err error) {
	info, lost, err := describe(ioctx, image)
	if err != nil {
		return unused, err
	}
	if old, err := image.IsOldFormat(); err != nil || old {
		return released{format1: old}, errors.Join(err, check(info))
	}
	if unused.id, err = image.GetId(); err != nil {
		return unused, err
	}
	if err := check(info); err != nil {
		_, _ = timeForgottenWatches(ioctx, unused.id) // for the next attempt: this one says what keeps the image
		return unused, err
	}
	unused.small = info.SizeBytes <= objectsAtOnce*info.ObjectSizeBytes
	return unused, release(ioctx, unused.id, lost)
}

// inTrash finds what an earlier attempt has moved there. Perhaps its removal was begun, and
// the client that did it may still have it open: the mgr tries until it succeeds.
func inTrash(ioctx *rados.IOContext, name string) (found []released, err error) {
	entries, err := rbd.GetTrashList(ioctx)
	for _, entry := range entries {
		if entry.Name == name {
			found = append(found, released{id: entry.Id})
		}
	}
	return found, err
}

// purge removes a small image from the trash, and has the mgr remove others. Each does the
// other's work where the identity may not: the image's data may be in a pool of their own,
// and before Nautilus the mgr knows no such task.
func (i images) purge(ctx context.Context, volume cephclient.Volume, image released) error {
	if image.format1 {
		return i.remove(ctx, "remove", volume, func(ioctx *rados.IOContext) error { return rbd.RemoveImage(ioctx, volume.Name) })
	}
	if removing := fmt.Sprintf("%x remove images of %q", i.session.identity, volume.Container); image.small && !i.session.isDenied(removing) {
		err := i.purgeDirectly(ctx, volume, image.id)
		if !errors.Is(err, cephclient.ErrDenied) {
			return err
		}
		i.session.noteDenied(removing)
	}
	op := change("schedule the removal of", volume, manager)
	_, err := call(ctx, i.session, op, func(conn *rados.Conn) (none, error) {
		_, err := admin.NewFromConn(conn).Task().AddTrashRemove(admin.NewImageSpec(volume.Container, "", image.id))
		return none{}, unlessAbsent(err)
	})
	if errors.Is(err, cephclient.ErrUnsupported) || errors.Is(err, cephclient.ErrDenied) {
		return i.purgeDirectly(ctx, volume, image.id)
	}
	return err
}

func (i images) purgeDirectly(ctx context.Context, volume cephclient.Volume, id string) error {
	return i.remove(ctx, "remove from the trash", volume, func(ioctx *rados.IOContext) error { return rbd.TrashRemove(ioctx, id, true) })
}

func (i images) remove(ctx context.Context, verb string, volume cephclient.Volume, f func(*rados.IOContext) error) error {
	op := change(verb, volume, removal)
	op.slow = true
	_, err := call(ctx, i.session, op, func(conn *rados.Conn) (none, error) {
		return none{}, withPool(conn, op, volume.Container, func(ioctx *rados.IOContext) error { return unlessAbsent(f(ioctx)) })
	})
	return err
}
