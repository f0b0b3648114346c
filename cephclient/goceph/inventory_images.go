package goceph

import (
	"context"
	"errors"
	"time"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"ceph.example/ceph-provisioner/cephclient"
)

// List is similar to: rbd ls.
func (i images) List(ctx context.Context, where cephclient.Place, _ func(string) bool) ([]cephclient.Volume, error) {
	op := operation{name: "list " + where.String(), asks: osd}
	return call(ctx, i.session, op, func(conn *rados.Conn) ([]cephclient.Volume, error) {
		var volumes []cephclient.Volume
		err := withPool(conn, op, where.Container, func(ioctx *rados.IOContext) error {
			names, err := rbd.GetImageNames(ioctx)
			for _, name := range names {
				volumes = append(volumes, cephclient.Volume{Kind: cephclient.RBD, Container: where.Container, Name: name})
			}
			return err
		})
		return volumes, err
	})
}

// Look is similar to: rbd info; rbd status; rbd snap ls; rbd image-meta get.
func (i images) Look(ctx context.Context, volume cephclient.Volume) (cephclient.Found, error) {
	op := operation{name: "look at " + volume.String(), asks: osd}
	return call(ctx, i.session, op, func(conn *rados.Conn) (cephclient.Found, error) {
		found := cephclient.Found{Volume: volume}
		err := withPool(conn, op, volume.Container, func(ioctx *rados.IOContext) error {
			image, err := rbd.OpenImageReadOnly(ioctx, volume.Name, rbd.NoSnapshot)
			if causeOf(err) == cephclient.ErrNotFound {
				_, err = ioctx.Stat("rbd_id." + volume.Name)
				found.Headless = err == nil
				return err
			}
			if err != nil {
				return err
			}
			return errors.Join(lookInto(image, &found), image.Close())
		})
		return found, err
	})
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
