package main

import (
	"context"
	"errors"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"
)

// images are the calls to librbd.
type images struct {
	ioctx *rados.IOContext
}

func (i *images) create(_ context.Context, name string, sizeBytes int64) error {
	layout := rbd.NewRbdImageOptions()
	defer layout.Destroy()
	if err := errors.Join(
		layout.SetUint64(rbd.ImageOptionFormat, 2),
		layout.SetUint64(rbd.ImageOptionFeatures, rbd.FeatureLayering),
	); err != nil {
		return err
	}
	return rbd.CreateImage(i.ioctx, name, uint64(sizeBytes), layout)
}

func (i *images) grow(_ context.Context, name string, sizeBytes int64) error {
	image, err := rbd.OpenImage(i.ioctx, name, rbd.NoSnapshot)
	if err != nil {
		return err
	}
	progress := func(_, _ uint64, _ any) int { return 0 }
	return errors.Join(image.Resize2(uint64(sizeBytes), false, progress, nil), image.Close())
}

// remove goes by way of the trash.
func (i *images) remove(_ context.Context, name string) error {
	image, err := rbd.OpenImageReadOnly(i.ioctx, name, rbd.NoSnapshot)
	if err != nil {
		return err
	}
	id, err := image.GetId()
	if err := errors.Join(err, image.Close()); err != nil {
		return err
	}
	if err := rbd.GetImage(i.ioctx, name).Trash(0); err != nil {
		return err
	}
	return rbd.TrashRemove(i.ioctx, id, true)
}

// destroy is the shortest way.
func (i *images) destroy(name string) error { return rbd.RemoveImage(i.ioctx, name) }
