package cephclient_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"ceph.example/ceph-provisioner/cephclient"
)

// imageStore is a pool in memory. An image without header is one whose creation
// was cut short: its name is taken, and opening it finds nothing.
type imageStore struct {
	images   map[string]cephclient.ImageInfo
	headless map[string]bool
	statErr  error // of an image that is there
	markErr  error
	calls    []string
}

func newImageStore() *imageStore {
	return &imageStore{images: map[string]cephclient.ImageInfo{}, headless: map[string]bool{}}
}

func (s *imageStore) Create(_ context.Context, v cephclient.Volume, sizeBytes int64, _ cephclient.CreateOptions) error {
	s.calls = append(s.calls, "create")
	if _, taken := s.images[v.Name]; taken || s.headless[v.Name] {
		return cephclient.NewError(cephclient.ErrExists, "create", "", true)
	}
	s.images[v.Name] = cephclient.ImageInfo{SizeBytes: sizeBytes}
	return nil
}

func (s *imageStore) Image(_ context.Context, v cephclient.Volume) (cephclient.ImageInfo, error) {
	image, found := s.images[v.Name]
	if !found {
		return image, cephclient.NewError(cephclient.ErrNotFound, "open", "", false)
	}
	return image, s.statErr
}

func (s *imageStore) Grow(ctx context.Context, v cephclient.Volume, want func(cephclient.ImageInfo) (int64, error)) (int64, error) {
	image, err := s.Image(ctx, v)
	if err != nil {
		return 0, err
	}
	wanted, err := want(image)
	if err != nil {
		return 0, err
	}
	if wanted > image.SizeBytes {
		s.calls = append(s.calls, "grow")
		s.images[v.Name] = cephclient.ImageInfo{SizeBytes: wanted}
	}
	return s.images[v.Name].SizeBytes, nil
}

func (s *imageStore) MarkNew(_ context.Context, _ cephclient.Volume, owner cephclient.Owner) error {
	s.calls = append(s.calls, "mark new for "+owner.Claim)
	return s.markErr
}

func (s *imageStore) Mark(_ context.Context, v cephclient.Volume, owner cephclient.Owner) (int64, error) {
	image, found := s.images[v.Name]
	if !found {
		return 0, cephclient.NewError(cephclient.ErrNotFound, "mark", "", true)
	}
	s.calls = append(s.calls, "mark for "+owner.Claim)
	return image.SizeBytes, s.markErr
}

func (s *imageStore) Remove(_ context.Context, v cephclient.Volume, check func(cephclient.ImageInfo) error) error {
	if image, found := s.images[v.Name]; found {
		if err := check(image); err != nil {
			return err
		}
	}
	s.calls = append(s.calls, "remove")
	delete(s.images, v.Name)
	return nil
}

func (s *imageStore) Discard(_ context.Context, v cephclient.Volume) error {
	s.calls = append(s.calls, "discard")
	delete(s.headless, v.Name)
	return nil
}

var image = cephclient.Volume{Kind: cephclient.RBD, Container: "rbd", Name: "x"}

const gib = 1 << 30

func TestRBDEnsure(t *testing.T) {
	for name, c := range map[string]struct {
		setUp     func(*imageStore)
		sizeBytes int64
		want      int64
		calls     string
	}{
		"absent":                    {sizeBytes: gib, want: gib, calls: "[create mark new for data]"},
		"size is not whole MiB":     {sizeBytes: 1500001, want: 2 << 20, calls: "[create mark new for data]"},
		"exists with the same size": {setUp: func(s *imageStore) { s.images["x"] = cephclient.ImageInfo{SizeBytes: gib} }, sizeBytes: gib, want: gib, calls: "[create mark for data]"},
		"exists smaller: no resize": {setUp: func(s *imageStore) { s.images["x"] = cephclient.ImageInfo{SizeBytes: 1 << 20} }, sizeBytes: gib, want: 1 << 20, calls: "[create mark for data]"},
		"creation was cut short":    {setUp: func(s *imageStore) { s.headless["x"] = true }, sizeBytes: gib, want: gib, calls: "[create discard create mark new for data]"},
	} {
		t.Run(name, func(t *testing.T) {
			store := newImageStore()
			if c.setUp != nil {
				c.setUp(store)
			}
			info, err := cephclient.NewRBD(store, store).Ensure(context.Background(), image, c.sizeBytes, cephclient.CreateOptions{Owner: cephclient.Owner{Claim: "data"}})
			if err != nil || info.SizeBytes != c.want {
				t.Errorf("got %d bytes, %v; want %d", info.SizeBytes, err, c.want)
			}
			if got := fmt.Sprint(store.calls); got != c.calls {
				t.Errorf("calls %s, want %s", got, c.calls)
			}
		})
	}
}

func TestRBDEnsureFailsUntilTheImageSaysWhoseItIs(t *testing.T) {
	for state, setUp := range map[string]func(*imageStore){
		"absent":  func(*imageStore) {},
		"there":   func(s *imageStore) { s.images["x"] = cephclient.ImageInfo{SizeBytes: gib} },
		"remains": func(s *imageStore) { s.headless["x"] = true },
	} {
		for _, cause := range []*cephclient.Cause{cephclient.ErrDenied, cephclient.ErrTimeout} {
			store := newImageStore()
			setUp(store)
			store.markErr = cephclient.NewError(cause, "mark", "", false)
			_, err := cephclient.NewRBD(store, store).Ensure(context.Background(), image, gib, cephclient.CreateOptions{})
			if !errors.Is(err, cause) || !cephclient.MayBeHalfDone(err) {
				t.Errorf("%s: an image without mark counts as done, or as nothing: %v", state, err)
			}
		}
	}
}

func TestRBDRefusesImpossibleSizes(t *testing.T) {
	const objects = 256_000_000
	for _, c := range []struct{ sizeBytes, objectSizeBytes int64 }{
		{-1, 0}, {0, 0}, {1<<63 - 1, 0}, {objects << 22, 0}, {objects << 12, 1 << 12},
	} {
		store := newImageStore()
		backend := cephclient.NewRBD(store, store)
		_, err := backend.Ensure(context.Background(), image, c.sizeBytes, cephclient.CreateOptions{ObjectSizeBytes: c.objectSizeBytes})
		if !errors.Is(err, cephclient.ErrInvalid) || len(store.calls) > 0 {
			t.Errorf("%+v: %v, calls %v", c, err, store.calls)
		}
		store.images["x"] = cephclient.ImageInfo{SizeBytes: gib, ObjectSizeBytes: c.objectSizeBytes}
		if _, err := backend.Grow(context.Background(), image, c.sizeBytes); !errors.Is(err, cephclient.ErrInvalid) || len(store.calls) > 0 {
			t.Errorf("growth to %+v: %v, calls %v", c, err, store.calls)
		}
	}
	store := newImageStore()
	if _, err := cephclient.NewRBD(store, store).Ensure(context.Background(), image, objects<<22-1<<20, cephclient.CreateOptions{}); err != nil {
		t.Errorf("the largest size is refused: %v", err)
	}
}

func TestRBDGrow(t *testing.T) {
	for name, c := range map[string]struct{ before, ask, want int64 }{
		"smaller":           {before: gib, ask: 2 * gib, want: 2 * gib},
		"rounds up to MiB":  {before: gib, ask: gib + 1, want: gib + 1<<20},
		"equal":             {before: gib, ask: gib, want: gib},
		"larger stays so":   {before: 3 * gib, ask: 2 * gib, want: 3 * gib},
		"equal when rounds": {before: gib, ask: gib - 1, want: gib},
	} {
		t.Run(name, func(t *testing.T) {
			store := newImageStore()
			store.images["x"] = cephclient.ImageInfo{SizeBytes: c.before}
			info, err := cephclient.NewRBD(store, store).Grow(context.Background(), image, c.ask)
			if err != nil || info.SizeBytes != c.want || store.images["x"].SizeBytes != c.want {
				t.Errorf("got %d, stored %d, %v; want %d", info.SizeBytes, store.images["x"].SizeBytes, err, c.want)
			}
		})
	}
	hung := newImageStore()
	hung.images["x"] = cephclient.ImageInfo{SizeBytes: gib}
	hung.statErr = cephclient.NewError(cephclient.ErrTimeout, "open", "", false)
	if _, err := cephclient.NewRBD(hung, hung).Grow(context.Background(), image, 2*gib); !cephclient.MayBeHalfDone(err) {
		t.Errorf("whether an earlier attempt has grown it was not seen: %v", err)
	}
	lost := newImageStore()
	lost.images["x"] = cephclient.ImageInfo{SizeBytes: gib, LostHolders: []string{"client.7 at 10.0.0.9:0"}}
	if _, err := cephclient.NewRBD(lost, lost).Grow(context.Background(), image, 2*gib); !errors.Is(err, cephclient.ErrInUse) || !strings.Contains(err.Error(), "10.0.0.9") {
		t.Errorf("growing an image whose holder is lost: %v", err)
	}
	if _, err := cephclient.NewRBD(newImageStore(), newImageStore()).Grow(context.Background(), image, gib); !errors.Is(err, cephclient.ErrNotFound) {
		t.Errorf("growing an absent image: %v", err)
	}
}

func TestRBDDelete(t *testing.T) {
	for name, c := range map[string]struct {
		image   *cephclient.ImageInfo
		cause   error
		says    string
		removed bool
	}{
		"unused":        {image: &cephclient.ImageInfo{}, removed: true},
		"absent":        {removed: true}, // the store looks into the trash as well
		"watched":       {image: &cephclient.ImageInfo{Watchers: []string{"client.7 at 10.0.0.9:0"}}, cause: cephclient.ErrInUse, says: "10.0.0.9"},
		"has snapshots": {image: &cephclient.ImageInfo{Snapshots: []string{"daily"}}, cause: cephclient.ErrInUse, says: "daily"},
	} {
		t.Run(name, func(t *testing.T) {
			store := newImageStore()
			if c.image != nil {
				store.images["x"] = *c.image
			}
			err := cephclient.NewRBD(store, store).Delete(context.Background(), image)
			if !errors.Is(err, c.cause) {
				t.Fatalf("got %v, want %v", err, c.cause)
			}
			if (len(store.calls) > 0) != c.removed {
				t.Errorf("calls %v", store.calls)
			}
			mustSay(t, err, c.says)
		})
	}
}
