package cephclient

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// mib is the unit that RBD image sizes are rounded up to, as kubernetes.io/rbd
// does: `rbd create --size` counts in it.
const mib int64 = 1 << 20

// ImageInfo is what librbd says about an image.
type ImageInfo struct {
	SizeBytes       int64
	ObjectSizeBytes int64
	Watchers        []string // addresses of the clients that have it mapped or open
	Snapshots       []string
	// LostHolders have the image's exclusive lock, but do not answer: they have
	// crashed, or are cut off and may come back.
	LostHolders []string
}

// ImageStore is what the policy for RBD needs of librbd. Calls end by their
// context's deadline. Each opens the image once, which is most of what it costs, so
// those that depend on what the image is like ask the policy while it is open.
type ImageStore interface {
	// Create makes an image, or returns ErrExists if the name is taken.
	Create(ctx context.Context, volume Volume, sizeBytes int64, options CreateOptions) error
	// Image describes an image, or returns ErrNotFound.
	Image(ctx context.Context, volume Volume) (ImageInfo, error)
	// Grow makes an image as large as want says, if it is smaller, and returns the
	// size that it has then; librbd itself refuses to shrink it (ErrInvalid). If want
	// fails, so does Grow, and nothing is changed.
	Grow(ctx context.Context, volume Volume, want func(ImageInfo) (sizeBytes int64, err error)) (sizeBytes int64, err error)
	// Remove moves the image to the pool's trash, unless check fails, and removes it from
	// there if it is small, or has its removal scheduled; an image that is in the trash
	// already is only scheduled, and remains of a creation that was cut short are
	// discarded. Absent: nil.
	Remove(ctx context.Context, volume Volume, check func(ImageInfo) error) error
	// Discard removes what is left of an image whose creation was cut short:
	// its name is taken, but it has no header, hence no data.
	Discard(ctx context.Context, volume Volume) error
}

// ImageMarker writes the owner onto an image.
type ImageMarker interface {
	// MarkNew is for one that was made a moment ago, which nobody else knows of.
	MarkNew(ctx context.Context, volume Volume, owner Owner) error
	// Mark is for one that was there, and returns its size.
	Mark(ctx context.Context, volume Volume, owner Owner) (sizeBytes int64, err error)
}

// NewRBD returns the backend for RBD images.
func NewRBD(images ImageStore, marker ImageMarker) Backend { return rbdBackend{images, marker} }

type rbdBackend struct {
	images ImageStore
	marker ImageMarker
}

func (b rbdBackend) Ensure(ctx context.Context, volume Volume, sizeBytes int64, options CreateOptions) (Info, error) {
	sizeBytes, err := imageSize(volume, sizeBytes, options.ObjectSizeBytes)
	if err != nil {
		return Info{}, err
	}
	err = b.create(ctx, volume, sizeBytes, options)
	if errors.Is(err, ErrExists) {
		sizeBytes, err = b.adopt(ctx, volume, sizeBytes, options)
		err = afterWrite(err)
	}
	return Info{Volume: volume, SizeBytes: sizeBytes}, err
}

func (b rbdBackend) create(ctx context.Context, volume Volume, sizeBytes int64, options CreateOptions) error {
	if err := b.images.Create(ctx, volume, sizeBytes, options); err != nil {
		return err
	}
	return afterWrite(b.marker.MarkNew(ctx, volume, options.Owner))
}

// adopt marks an image that is there, or replaces what a creation that was cut short has
// left. The size is the image's.
func (b rbdBackend) adopt(ctx context.Context, volume Volume, sizeBytes int64, options CreateOptions) (int64, error) {
	has, err := b.marker.Mark(ctx, volume, options.Owner)
	if !errors.Is(err, ErrNotFound) {
		return has, err
	}
	if err := b.images.Discard(ctx, volume); err != nil {
		return 0, err
	}
	return sizeBytes, b.create(ctx, volume, sizeBytes, options)
}

func (b rbdBackend) Grow(ctx context.Context, volume Volume, sizeBytes int64) (Info, error) {
	has, err := b.images.Grow(ctx, volume, func(image ImageInfo) (int64, error) { return grownSize(volume, image, sizeBytes) })
	if err != nil {
		return Info{}, unseen(err)
	}
	return Info{Volume: volume, SizeBytes: has}, nil
}

// grownSize is the size that an image is to have.
func grownSize(volume Volume, image ImageInfo, sizeBytes int64) (int64, error) {
	sizeBytes, err := imageSize(volume, sizeBytes, image.ObjectSizeBytes)
	if err != nil || image.SizeBytes >= sizeBytes {
		return image.SizeBytes, err
	}
	if len(image.LostHolders) > 0 {
		// Growing would take the lock away, with a late write of theirs still to come.
		return 0, &Error{
			Cause: ErrInUse, Op: "grow " + volume.String(),
			Detail: "locked by " + strings.Join(image.LostHolders, ", ") + ", which does not answer",
			Remedy: "it grows when a pod uses the image again or, if that node was only cut off, when it is back; it is tried again by itself",
		}
	}
	return sizeBytes, nil
}

func (b rbdBackend) Delete(ctx context.Context, volume Volume) error {
	return b.images.Remove(ctx, volume, func(image ImageInfo) error { return wantUnused(volume, image) })
}

func wantUnused(volume Volume, image ImageInfo) error {
	if len(image.Watchers) > 0 {
		return &Error{
			Cause: ErrInUse, Op: "delete " + volume.String(),
			Detail: "watched by " + strings.Join(image.Watchers, ", "),
			Remedy: "unmount or unmap it there; deletion is tried again by itself",
		}
	}
	if len(image.Snapshots) > 0 {
		return &Error{
			Cause: ErrInUse, Op: "delete " + volume.String(),
			Detail: "has snapshots " + strings.Join(image.Snapshots, ", "),
			Remedy: "remove them (rbd snap purge); deletion is tried again by itself",
		}
	}
	return nil
}

func (b rbdBackend) Stat(ctx context.Context, volume Volume) (Info, error) {
	image, err := b.images.Image(ctx, volume)
	if err != nil {
		return Info{}, err
	}
	return Info{Volume: volume, SizeBytes: image.SizeBytes}, nil
}

const (
	defaultObjectSizeBytes int64 = 4 << 20
	// maxObjects is how many objects an image may consist of: as many as librbd
	// keeps an object map for (RBD's rbd_max_object_map_object_count). Removing an
	// image without object map visits each of them, and the mgr removes one image
	// after the other: a claim of exabytes would keep it busy for years.
	maxObjects int64 = 256_000_000
)

// imageSize rounds up to MiB, and refuses sizes that no image can have, so that
// nothing is made for them.
func imageSize(volume Volume, sizeBytes, objectSizeBytes int64) (int64, error) {
	if err := checkSize(volume, sizeBytes); err != nil {
		return 0, err
	}
	if objectSizeBytes == 0 {
		objectSizeBytes = defaultObjectSizeBytes
	}
	if sizeBytes/objectSizeBytes >= maxObjects {
		return 0, sizeError(volume, sizeBytes, fmt.Sprintf("are more than the %d objects of %d bytes that an RBD image may have", maxObjects, objectSizeBytes))
	}
	return (sizeBytes + mib - 1) / mib * mib, nil
}

func checkSize(volume Volume, sizeBytes int64) error {
	if sizeBytes <= 0 {
		return sizeError(volume, sizeBytes, "are not a size")
	}
	return nil
}

func sizeError(volume Volume, sizeBytes int64, problem string) error {
	return &Error{
		Cause: ErrInvalid, Op: "size " + volume.String(),
		Detail: fmt.Sprintf("%d bytes %s", sizeBytes, problem),
		Remedy: "ask for another size",
	}
}
