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
func (i images) Remove(ctx context.Context, volume cephclient.Volume) error {
	op := change("delete", volume)
	_, err := call(ctx, i.session, op, func(conn *rados.Conn) (none, error) {
		return none{}, withPool(conn, op, volume.Container, func(ioctx *rados.IOContext) error {
			id, err := moveToTrash(ioctx, volume.Name)
			if err == nil {
				return purge(conn, ioctx, volume.Container, id)
			}
			if causeOf(err) != cephclient.ErrNotFound {
				return err
			}
			return removeRemains(conn, ioctx, volume)
		})
	})
	return err
}

func moveToTrash(ioctx *rados.IOContext, name string) (string, error) {
	image, err := rbd.OpenImageReadOnly(ioctx, name, rbd.NoSnapshot)
	if err != nil {
		return "", err
	}
	id, err := image.GetId()
	if err := errors.Join(err, image.Close()); err != nil {
		return "", err
	}
	return id, rbd.GetImage(ioctx, name).Trash(0)
}

// removeRemains finishes what an earlier attempt left: images of this name that
// are in the trash without a scheduled removal, or one without a header.
func removeRemains(conn *rados.Conn, ioctx *rados.IOContext, volume cephclient.Volume) error {
	trashed, err := rbd.GetTrashList(ioctx)
	if err != nil {
		return err
	}
	for _, entry := range trashed {
		if entry.Name != volume.Name {
			continue
		}
		if err := purge(conn, ioctx, volume.Container, entry.Id); err != nil {
			return err
		}
	}
	return unlessAbsent(rbd.RemoveImage(ioctx, volume.Name))
}

// purge schedules the removal of a trashed image, or removes it here where the
// cluster has no mgr for that (before Nautilus) or the identity may not ask it.
func purge(conn *rados.Conn, ioctx *rados.IOContext, pool, id string) error {
	_, err := admin.NewFromConn(conn).Task().AddTrashRemove(admin.NewImageSpec(pool, "", id))
	switch causeOf(err) {
	case cephclient.ErrUnsupported, cephclient.ErrDenied:
		err = rbd.TrashRemove(ioctx, id, true)
	}
	return unlessAbsent(err)
}
