package main

import (
	"context"
	_ "embed"
	"path"
	"strconv"
)

// scripts are the forks of directories: ceph.com/cephfs ran a Python script for each step.
type scripts struct{ options options }

//go:embed directory.py
var directoryScript string

// debianPython is the one that Ceph's modules belong to.
const debianPython = "/usr/bin/python3"

func (s scripts) create(ctx context.Context, name string, sizeBytes int64) error {
	return s.run(ctx, "create", name, sizeBytes)
}

func (s scripts) grow(ctx context.Context, name string, sizeBytes int64) error {
	return s.run(ctx, "grow", name, sizeBytes)
}

func (s scripts) remove(ctx context.Context, name string) error { return s.run(ctx, "remove", name, 0) }

func (s scripts) run(ctx context.Context, action, name string, sizeBytes int64) error {
	args := []string{"-c", directoryScript, action, claimRoot, name, strconv.FormatInt(sizeBytes, 10)}
	if s.options.kind.hasUsers() {
		args = append(args, userCaps(path.Join(claimRoot, name), s.options.fileSystem)...)
	}
	return fork(ctx, debianPython, args...)
}
