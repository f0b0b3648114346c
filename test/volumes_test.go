package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

const (
	defaultPool  = "rbd"
	defaultGroup = "kubernetes"
)

// volumeName is how the image or subvolume of a claim is called.
func volumeName(claim *corev1.PersistentVolumeClaim) string {
	return "kubernetes-dynamic-pvc-" + string(claim.UID)
}

func imageSpec(claim *corev1.PersistentVolumeClaim) string {
	return defaultPool + "/" + volumeName(claim)
}

// image is what `rbd info` says.
type image struct {
	ID          string   `json:"id"`
	SizeBytes   int64    `json:"size"`
	ObjectSize  int64    `json:"object_size"`
	DataPool    string   `json:"data_pool"`
	Features    []string `json:"features"`
	StripeUnit  int64    `json:"stripe_unit"`
	StripeCount int64    `json:"stripe_count"`
}

func (c *cephCluster) image(t testing.TB, spec string) image {
	t.Helper()
	var found image
	if err := c.read(t.Context(), &found, "rbd", "info", spec); err != nil {
		t.Fatal(err)
	}
	return found
}

// subvolume is what `ceph fs subvolume info` says.
type subvolume struct {
	Path       string `json:"path"`
	QuotaBytes quota  `json:"bytes_quota"`
	Mode       uint32 `json:"mode"`
	DataPool   string `json:"data_pool"`
	Namespace  string `json:"pool_namespace"`
}

// quota is a number of bytes; 0 where the mgr says "infinite".
type quota int64

// UnmarshalJSON implements [json.Unmarshaler].
func (q *quota) UnmarshalJSON(text []byte) error {
	if string(text) == `"infinite"` {
		*q = 0
		return nil
	}
	return json.Unmarshal(text, (*int64)(q))
}

func (c *cephCluster) subvolume(t testing.TB, group, name string) subvolume {
	t.Helper()
	var found subvolume
	if err := c.read(t.Context(), &found, "ceph", "fs", "subvolume", "info", c.FileSystem, name, "--group_name="+group); err != nil {
		t.Fatal(err)
	}
	return found
}

// images lists the names of the images of a pool.
func (c *cephCluster) images(ctx context.Context, pool string) (names []string, err error) {
	err = c.read(ctx, &names, "rbd", "ls", pool)
	return names, err
}

// trash lists the names of the images in the trash of a pool.
func (c *cephCluster) trash(ctx context.Context, pool string) (names []string, err error) {
	var entries []struct{ Name string }
	err = c.read(ctx, &entries, "rbd", "trash", "ls", "--all", pool)
	for _, entry := range entries {
		names = append(names, entry.Name)
	}
	return names, err
}

// subvolumes lists the names of the subvolumes of a group, as they lie in the
// file system; there are none in a group that does not exist.
func (c *cephCluster) subvolumes(group string) (names []string, err error) {
	return c.entries("volumes", group)
}

// entries lists the names in a folder of the file system; there are none in one that
// does not exist.
func (c *cephCluster) entries(path ...string) (names []string, err error) {
	entries, err := os.ReadDir(c.path(path...))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, err
}

// inRoots lists what is at a path of claimRoot, and of each root that a test has below it.
func (c *cephCluster) inRoots(path ...string) (all []string, err error) {
	roots, err := c.entries(claimRoot)
	roots = slices.DeleteFunc(roots, func(name string) bool { return !strings.HasPrefix(name, ownRootPrefix) })
	for _, root := range append(roots, "") {
		more, moreErr := c.entries(append([]string{claimRoot, root}, path...)...)
		all, err = append(all, more...), errors.Join(err, moreErr)
	}
	return all, err
}

// traces lists what a cluster has of a volume: image, trash entry, subvolume, directory.
func (c *cephCluster) traces(ctx context.Context, name string) ([]string, error) {
	all, err := c.allTraces(ctx)
	return all[name], err
}

// allTraces lists it for all volumes, by their names.
func (c *cephCluster) allTraces(ctx context.Context) (map[string][]string, error) {
	all := map[string][]string{}
	for what, list := range map[string]func() ([]string, error){
		"image":       func() ([]string, error) { return c.images(ctx, defaultPool) },
		"trash entry": func() ([]string, error) { return c.trash(ctx, defaultPool) },
		"subvolume":   func() ([]string, error) { return c.subvolumes(defaultGroup) },
		"directory":   func() ([]string, error) { return c.inRoots() },
	} {
		names, err := list()
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			all[name] = append(all[name], what+" "+name)
		}
	}
	return all, nil
}

// wantNoTrace fails if anything has been made for a claim.
func (c *cephCluster) wantNoTrace(t testing.TB, claim *corev1.PersistentVolumeClaim) {
	t.Helper()
	traces, err := c.traces(t.Context(), volumeName(claim))
	if err != nil {
		t.Fatal(err)
	}
	if len(traces) > 0 {
		t.Errorf("Ceph has %v for claim %s, want nothing", traces, claim.Name)
	}
}
