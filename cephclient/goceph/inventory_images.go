package goceph

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"
	"github.com/ceph/go-ceph/rbd/admin"

	"ceph.example/ceph-provisioner/cephclient"
)

// List is similar to: rbd ls; rbd trash ls; rbd task list. Volumes in the trash are listed
// unless the mgr is about to remove them.
func (i images) List(ctx context.Context, where cephclient.Place, isVolume func(string) bool) ([]cephclient.Volume, error) {
	op := operation{name: "list " + where.String(), asks: osd}
	type listing struct {
		names   []string
		trashed []rbd.TrashInfo
	}
	listed, err := call(ctx, i.session, op, func(conn *rados.Conn) (all listing, err error) {
		err = withPool(conn, op, where.Container, func(ioctx *rados.IOContext) (err error) {
			if all.names, err = rbd.GetImageNames(ioctx); err != nil {
				return err
			}
			trash, err := rbd.GetTrashList(ioctx)
			all.trashed = slices.DeleteFunc(trash, func(entry rbd.TrashInfo) bool { return !isVolume(entry.Name) })
			return err
		})
		return all, err
	})
	if err != nil {
		return nil, err
	}
	left, err := i.unscheduled(ctx, where, listed.trashed)
	if err != nil {
		return nil, err
	}
	names := append(listed.names, left...)
	slices.Sort(names)
	var volumes []cephclient.Volume
	for _, name := range slices.Compact(names) {
		volumes = append(volumes, cephclient.Volume{Kind: cephclient.RBD, Container: where.Container, Name: name})
	}
	return volumes, nil
}

// unscheduled names the images in the trash that the mgr has no order to remove. An identity
// that may not ask it had none removed by it, nor had any before Nautilus.
func (i images) unscheduled(ctx context.Context, where cephclient.Place, trashed []rbd.TrashInfo) (names []string, err error) {
	if len(trashed) == 0 {
		return nil, nil
	}
	op := operation{name: "list what the mgr removes from " + where.String(), asks: manager}
	tasks, err := call(ctx, i.session, op, func(conn *rados.Conn) ([]admin.TaskResponse, error) {
		return admin.NewFromConn(conn).Task().List()
	})
	if err != nil && !errors.Is(err, cephclient.ErrDenied) && !errors.Is(err, cephclient.ErrUnsupported) {
		return nil, err
	}
	for _, entry := range trashed {
		if !slices.ContainsFunc(tasks, func(task admin.TaskResponse) bool {
			return task.Refs.PoolName == where.Container && task.Refs.ImageID == entry.Id
		}) {
			names = append(names, entry.Name)
		}
	}
	return names, nil
}

// Look is similar to: rbd info; rbd status; rbd snap ls; rbd image-meta get.
func (i images) Look(ctx context.Context, volume cephclient.Volume) (cephclient.Found, error) {
	op := operation{name: "look at " + volume.String(), asks: osd}
	return call(ctx, i.session, op, func(conn *rados.Conn) (cephclient.Found, error) {
		found := cephclient.Found{Volume: volume}
		err := withPool(conn, op, volume.Container, func(ioctx *rados.IOContext) error {
			image, err := rbd.OpenImageReadOnly(ioctx, volume.Name, rbd.NoSnapshot)
			if causeOf(err) == cephclient.ErrNotFound {
				return lookForRemains(ioctx, &found)
			}
			if err != nil {
				return err
			}
			return errors.Join(lookInto(image, &found), image.Close())
		})
		return found, err
	})
}

// lookForRemains is for an image that can't be opened by its name.
func lookForRemains(ioctx *rados.IOContext, found *cephclient.Found) error {
	_, absent := ioctx.Stat("rbd_id." + found.Name)
	if absent == nil {
		found.Headless = true
		return nil
	}
	entries, err := inTrash(ioctx, found.Name)
	switch {
	case err != nil:
		return err
	case len(entries) == 0:
		return absent
	case len(entries) > 1:
		return fmt.Errorf("the trash has %d images of that name: remove or restore them by hand", len(entries))
	}
	found.Trashed, found.ID = true, entries[0].id
	image, err := rbd.OpenImageByIdReadOnly(ioctx, found.ID, rbd.NoSnapshot)
	if causeOf(err) == cephclient.ErrNotFound {
		found.Headless = true
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(lookInto(image, found), image.Close())
}

// lookInto finds no more than the size of an image of format 1.
func lookInto(image *rbd.Image, found *cephclient.Found) error {
	size, err := image.GetSize()
	if err != nil {
		return err
	}
	found.SizeBytes = int64(size)
	if old, err := image.IsOldFormat(); err != nil || old {
		return err
	}
	if found.ID, err = image.GetId(); err != nil {
		return err
	}
	if found.Owner, err = image.GetMetadata(cephclient.OwnerKey); unlessAbsent(err) != nil {
		return err
	}
	watchers, err := image.ListWatchers()
	if err != nil {
		return err
	}
	snapshots, err := image.GetSnapshotNames()
	if err != nil {
		return err
	}
	found.Watchers, found.Snapshots = len(watchers), len(snapshots)
	created, err := image.GetCreateTimestamp()
	if err != nil {
		return err
	}
	modified, err := image.GetModifyTimestamp()
	found.CreatedAt, found.ModifiedAt = time.Unix(created.Sec, created.Nsec).UTC(), time.Unix(modified.Sec, modified.Nsec).UTC()
	return err
}
