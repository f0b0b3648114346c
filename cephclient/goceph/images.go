package goceph

import (
	"context"
	"errors"
	"fmt"
	"math/bits"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"ceph.example/ceph-provisioner/cephclient"
)

// images implements [cephclient.ImageStore] with librbd.
type images struct{ session *session }

// Create is similar to: rbd create --size … --image-feature … --data-pool …
func (i images) Create(ctx context.Context, volume cephclient.Volume, sizeBytes int64, options cephclient.CreateOptions) error {
	op := change("create", volume, osd)
	op.creates = true
	_, err := call(ctx, i.session, op, func(conn *rados.Conn) (none, error) {
		if err := poolExists(conn, op, options.DataPool); err != nil {
			return none{}, err
		}
		return none{}, withPool(conn, op, volume.Container, func(ioctx *rados.IOContext) error {
			layout, err := imageOptions(options)
			if err != nil {
				return err
			}
			defer layout.Destroy()
			return rbd.CreateImage(ioctx, volume.Name, uint64(sizeBytes), layout)
		})
	})
	return err
}

// MarkNew is similar to: rbd image-meta set. It does not open the image.
func (i images) MarkNew(ctx context.Context, volume cephclient.Volume, owner cephclient.Owner) error {
	op := change("mark", volume, osd)
	_, err := call(ctx, i.session, op, func(conn *rados.Conn) (none, error) {
		return none{}, withPool(conn, op, volume.Container, func(ioctx *rados.IOContext) error {
			id, err := idInObject(ioctx, volume.Name)
			if err != nil {
				return err
			}
			return setImageMetadata(ioctx, id, cephclient.OwnerKey, owner.String())
		})
	})
	return err
}

// Mark is similar to: rbd image-meta set; rbd info. It opens the image for that, whereby
// librbd makes an object map that a creation which was cut short has not come to.
func (i images) Mark(ctx context.Context, volume cephclient.Volume, owner cephclient.Owner) (sizeBytes int64, err error) {
	op := change("mark", volume, osd)
	return call(ctx, i.session, op, func(conn *rados.Conn) (sizeBytes int64, err error) {
		err = withImage(conn, op, volume, rbd.OpenImage, func(_ *rados.IOContext, image *rbd.Image) error {
			if err := image.SetMetadata(cephclient.OwnerKey, owner.String()); err != nil {
				return err
			}
			sizeBytes, err = sizeOf(image)
			return err
		})
		return sizeBytes, err
	})
}

func sizeOf(image *rbd.Image) (sizeBytes int64, err error) {
	size, err := image.GetSize()
	return int64(size), err
}

// withImage opens an image, and closes it after f.
func withImage(
	conn *rados.Conn, op operation, volume cephclient.Volume,
	open func(*rados.IOContext, string, string) (*rbd.Image, error), f func(*rados.IOContext, *rbd.Image) error,
) error {
	return withPool(conn, op, volume.Container, func(ioctx *rados.IOContext) error {
		image, err := open(ioctx, volume.Name, rbd.NoSnapshot)
		if err != nil {
			return err
		}
		return errors.Join(f(ioctx, image), image.Close())
	})
}

type none struct{}

func imageOptions(options cephclient.CreateOptions) (*rbd.ImageOptions, error) {
	layout := rbd.NewRbdImageOptions()
	var errs []error
	number := func(option rbd.ImageOption, value uint64) { errs = append(errs, layout.SetUint64(option, value)) }
	number(rbd.ImageOptionFormat, 2)
	number(rbd.ImageOptionFeatures, uint64(rbd.FeatureSetFromNames(options.Features)))
	if options.ObjectSizeBytes > 0 {
		number(rbd.ImageOptionOrder, uint64(bits.TrailingZeros64(uint64(options.ObjectSizeBytes))))
	}
	if options.StripeUnitBytes > 0 {
		number(rbd.ImageOptionStripeUnit, uint64(options.StripeUnitBytes))
		number(rbd.ImageOptionStripeCount, uint64(options.StripeCount))
	}
	if options.DataPool != "" {
		errs = append(errs, layout.SetString(rbd.ImageOptionDataPool, options.DataPool))
	}
	if err := errors.Join(errs...); err != nil {
		layout.Destroy()
		return nil, err
	}
	return layout, nil
}

// Image is similar to: rbd info; rbd status; rbd snap ls.
func (i images) Image(ctx context.Context, volume cephclient.Volume) (cephclient.ImageInfo, error) {
	op := operation{name: "open " + volume.String(), asks: osd}
	return call(ctx, i.session, op, func(conn *rados.Conn) (info cephclient.ImageInfo, err error) {
		err = withImage(conn, op, volume, rbd.OpenImageReadOnly, func(ioctx *rados.IOContext, image *rbd.Image) error {
			info, _, err = describe(ioctx, image)
			return err
		})
		return info, err
	})
}

// describe also returns the clients that are lost.
func describe(ioctx *rados.IOContext, image *rbd.Image) (info cephclient.ImageInfo, lost []rbd.Locker, err error) {
	stat, err := image.Stat()
	if err != nil {
		return info, nil, err
	}
	watchers, err := image.ListWatchers()
	if err != nil {
		return info, nil, err
	}
	snapshots, err := image.GetSnapshotNames()
	if err != nil {
		return info, nil, err
	}
	lost, err = lostHolders(ioctx, image)
	if err != nil {
		return info, nil, err
	}
	info = cephclient.ImageInfo{SizeBytes: int64(stat.Size), ObjectSizeBytes: int64(stat.Obj_size)}
	for _, holder := range lost {
		info.LostHolders = append(info.LostHolders, holder.Client+" at "+holder.Addr)
	}
	for _, watcher := range watchers {
		info.Watchers = append(info.Watchers, fmt.Sprintf("client.%d at %s", watcher.Id, watcher.Addr))
	}
	for _, snapshot := range snapshots {
		info.Snapshots = append(info.Snapshots, snapshot.Name)
	}
	return info, lost, nil
}

// Grow is similar to: rbd resize --size …, without --allow-shrink; rbd info.
func (i images) Grow(
	ctx context.Context, volume cephclient.Volume, want func(cephclient.ImageInfo) (sizeBytes int64, err error),
) (sizeBytes int64, err error) {
	op := change("grow", volume, osd)
	return call(ctx, i.session, op, func(conn *rados.Conn) (sizeBytes int64, err error) {
		err = withImage(conn, op, volume, rbd.OpenImage, func(ioctx *rados.IOContext, image *rbd.Image) error {
			info, _, err := describe(ioctx, image)
			if err != nil {
				return err
			}
			wanted, err := want(info)
			if err != nil {
				return err
			}
			if wanted > info.SizeBytes {
				// Resize would shrink where a larger size came first; Resize2 can be told not to.
				progress := func(_, _ uint64, _ any) int { return 0 }
				if err := image.Resize2(uint64(wanted), false, progress, nil); err != nil {
					return err
				}
			}
			sizeBytes, err = sizeOf(image)
			return err
		})
		return sizeBytes, err
	})
}

// Discard is similar to: rbd rm, on what is left of an image. One that is on its way to the
// trash is not discarded.
func (i images) Discard(ctx context.Context, volume cephclient.Volume) error {
	op := change("discard the remains of", volume, osd)
	_, err := call(ctx, i.session, op, func(conn *rados.Conn) (none, error) {
		return none{}, withPool(conn, op, volume.Container, func(ioctx *rados.IOContext) error {
			return discard(ioctx, volume.Name)
		})
	})
	return err
}

func unlessAbsent(err error) error {
	if causeOf(err) == cephclient.ErrNotFound {
		return nil
	}
	return err
}

// withPool opens the pool for f, and says so if it is the pool that is missing.
func withPool(conn *rados.Conn, op operation, pool string, f func(*rados.IOContext) error) error {
	if err := poolExists(conn, op, pool); err != nil {
		return err
	}
	ioctx, err := conn.OpenIOContext(pool)
	if err != nil {
		return err
	}
	defer ioctx.Destroy()
	// A full pool then answers that it is, rather than never, and what needs no
	// space, such as deletion, works.
	if err := ioctx.SetPoolFullTry(); err != nil {
		return err
	}
	return f(ioctx)
}

// poolStillExists also asks for the newest map, as librados may not know yet that a pool
// was removed.
func poolStillExists(conn *rados.Conn, op operation, pool string) error {
	if err := conn.WaitForLatestOSDMap(); err != nil {
		return err
	}
	return poolExists(conn, op, pool)
}

func poolExists(conn *rados.Conn, op operation, pool string) error {
	if pool == "" {
		return nil
	}
	_, err := conn.GetPoolByName(pool)
	if causeOf(err) != cephclient.ErrNotFound {
		return err
	}
	e := cephclient.NewError(cephclient.ErrNoSuchPlace, op.name, fmt.Sprintf("there is no pool %q", pool), false)
	e.Remedy = "bring the pool back, or correct the StorageClass"
	if !op.creates {
		e.Remedy = "bring the pool back under this name, or delete the PersistentVolume by hand if the pool really is gone"
	}
	return e
}
