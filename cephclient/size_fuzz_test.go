package cephclient_test

import (
	"errors"
	"math"
	"testing"

	"ceph.example/ceph-provisioner/cephclient"
)

// FuzzImageSize makes images of any size, and lets them grow.
func FuzzImageSize(f *testing.F) {
	const mib = 1 << 20
	for _, size := range []int64{1, mib - 1, mib, mib + 1, gib, 0, -1, math.MaxInt64, math.MinInt64, 256_000_000 * 4 * mib, 256_000_000*4*mib - 1} {
		f.Add(size, int64(mib), uint8(0))
		f.Add(size, size+1, uint8(12))
		f.Add(size, int64(math.MaxInt64), uint8(25))
	}
	f.Fuzz(func(t *testing.T, size, larger int64, order uint8) {
		var options cephclient.CreateOptions
		if order >= 12 && order <= 25 {
			options.ObjectSizeBytes = 1 << order
		}
		store := newImageStore()
		backend := cephclient.NewRBD(store, store)
		info, err := backend.Ensure(t.Context(), image, size, options)
		if err != nil {
			if !errors.Is(err, cephclient.ErrInvalid) || len(store.calls) > 0 {
				t.Errorf("%d bytes: %v after %q", size, err, store.calls)
			}
			return
		}
		if got := info.SizeBytes; size <= 0 || got < size || got-size >= mib || got%mib != 0 || store.images[image.Name].SizeBytes != got {
			t.Errorf("%d bytes became %d", size, got)
		}
		grown, err := backend.Grow(t.Context(), image, larger)
		if left := store.images[image.Name].SizeBytes; left < info.SizeBytes || err == nil && (grown.SizeBytes < larger || grown.SizeBytes != left) {
			t.Errorf("%d bytes, grown to %d, became %d, %v", info.SizeBytes, larger, left, err)
		}
	})
}
