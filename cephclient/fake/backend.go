// Package fake is a Ceph in memory, for unit tests of the Kubernetes side and
// for faults that can't be made on a real cluster.
package fake

import (
	"context"
	"sync"

	"ceph.example/ceph-provisioner/cephclient"
)

// Backend keeps volumes in memory. The zero value is ready; it is safe for
// concurrent use.
type Backend struct {
	// Fault, if set, is asked before each call of a method and fails it with
	// what it returns.
	Fault func(method string, volume cephclient.Volume) error

	// Owner is what all volumes are marked with.
	Owner string

	mu    sync.Mutex
	sizes map[string]int64
}

var _ cephclient.Backend = (*Backend)(nil)

// Sizes returns the size in bytes of each volume by its name.
func (b *Backend) Sizes() map[string]int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	sizes := map[string]int64{}
	for name, size := range b.sizes {
		sizes[name] = size
	}
	return sizes
}

// Put makes a volume of any size, as somebody else would.
func (b *Backend) Put(name string, sizeBytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sizes == nil {
		b.sizes = map[string]int64{}
	}
	b.sizes[name] = sizeBytes
}

// Ensure implements [cephclient.Backend].
func (b *Backend) Ensure(_ context.Context, volume cephclient.Volume, sizeBytes int64, _ cephclient.CreateOptions) (cephclient.Info, error) {
	return b.do("Ensure", volume, func(size int64, found bool) (int64, error) {
		if found {
			return size, nil
		}
		return sizeBytes, nil
	})
}

// Grow implements [cephclient.Backend].
func (b *Backend) Grow(_ context.Context, volume cephclient.Volume, sizeBytes int64) (cephclient.Info, error) {
	return b.do("Grow", volume, func(size int64, found bool) (int64, error) {
		if !found {
			return 0, absent(volume)
		}
		return max(size, sizeBytes), nil
	})
}

// Delete implements [cephclient.Backend].
func (b *Backend) Delete(ctx context.Context, volume cephclient.Volume) error {
	_, err := b.do("Delete", volume, func(int64, bool) (int64, error) {
		if _, marked := cephclient.ParseOwner(b.Owner); volume.IsDirectory() && marked && volume.Mark != b.Owner {
			return 0, cephclient.NewError(cephclient.ErrInUse, "delete "+volume.String(), "it belongs to another", false)
		}
		if err := cephclient.AskGuard(ctx); err != nil {
			return 0, cephclient.NewError(cephclient.ErrUnknown, "delete "+volume.String(), err.Error(), false)
		}
		return gone, nil
	})
	return err
}

// Stat implements [cephclient.Backend].
func (b *Backend) Stat(_ context.Context, volume cephclient.Volume) (cephclient.Info, error) {
	return b.do("Stat", volume, func(size int64, found bool) (int64, error) {
		if !found {
			return 0, absent(volume)
		}
		return size, nil
	})
}

// gone is the size of a volume that is to be removed.
const gone = -1

func absent(volume cephclient.Volume) error {
	return cephclient.NewError(cephclient.ErrNotFound, "open "+volume.String(), "", false)
}

func (b *Backend) do(method string, volume cephclient.Volume, effect func(size int64, found bool) (int64, error)) (cephclient.Info, error) {
	if b.Fault != nil {
		if err := b.Fault(method, volume); err != nil {
			return cephclient.Info{}, err
		}
	}
	return b.apply(volume, effect)
}

func (b *Backend) apply(volume cephclient.Volume, effect func(size int64, found bool) (int64, error)) (cephclient.Info, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	size, found := b.sizes[volume.Name]
	size, err := effect(size, found)
	if err != nil {
		return cephclient.Info{}, err
	}
	if size == gone {
		delete(b.sizes, volume.Name)
		return cephclient.Info{}, nil
	}
	if b.sizes == nil {
		b.sizes = map[string]int64{}
	}
	b.sizes[volume.Name] = size
	info := cephclient.Info{Volume: volume, SizeBytes: size, Owner: b.Owner}
	if volume.Kind == cephclient.CephFS {
		info.Volume.Path = volume.Home()
	}
	return info, nil
}
