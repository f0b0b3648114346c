package main

import (
	"context"
	"fmt"
	"os/exec"
	"path"
	"strconv"
	"strings"
)

// forks runs a command for each step, as the retired provisioners and
// kube-controller-manager did. Cluster and identity are those of CEPH_CONF.
type forks struct{ options options }

func newForks(o options) steps {
	if o.kind.isDirectory() {
		return scripts{o}
	}
	return forks{o}
}

func (f forks) create(ctx context.Context, name string, sizeBytes int64) error {
	if f.options.kind == rbdImage {
		return fork(ctx, "rbd", "create", path.Join(pool, name), "--size="+mebibytes(sizeBytes), "--image-feature=layering")
	}
	if err := fork(ctx, "ceph", f.subvolume("create", name, strconv.FormatInt(sizeBytes, 10))...); err != nil {
		return err
	}
	if err := fork(ctx, "ceph", f.subvolume("getpath", name)...); err != nil || !f.options.kind.hasUsers() {
		return err
	}
	caps := userCaps(path.Join(groupRoot, name), f.options.fileSystem)
	return fork(ctx, "ceph", append([]string{"auth", "get-or-create", "client." + userOf(name)}, caps...)...)
}

func (f forks) grow(ctx context.Context, name string, sizeBytes int64) error {
	if f.options.kind == rbdImage {
		return fork(ctx, "rbd", "resize", path.Join(pool, name), "--size="+mebibytes(sizeBytes), "--no-progress")
	}
	return fork(ctx, "ceph", f.subvolume("resize", name, strconv.FormatInt(sizeBytes, 10))...)
}

func (f forks) remove(ctx context.Context, name string) error {
	if f.options.kind == rbdImage {
		return fork(ctx, "rbd", "rm", path.Join(pool, name), "--no-progress")
	}
	err := fork(ctx, "ceph", f.subvolume("rm", name)...)
	if err != nil || !f.options.kind.hasUsers() {
		return err
	}
	return fork(ctx, "ceph", "auth", "rm", "client."+userOf(name))
}

func (f forks) subvolume(verb, name string, more ...string) []string {
	return append(append([]string{"fs", "subvolume", verb, f.options.fileSystem, name}, more...), "--group_name="+group)
}

func mebibytes(bytes int64) string { return strconv.FormatInt(bytes>>20, 10) }

func fork(ctx context.Context, name string, args ...string) error {
	if said, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, said)
	}
	return nil
}
