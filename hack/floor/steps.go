package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// steps are what is done in Ceph for a volume that a name stands for.
type steps interface {
	create(ctx context.Context, name string, sizeBytes int64) error
	grow(ctx context.Context, name string, sizeBytes int64) error
	remove(ctx context.Context, name string) error
}

// nothing is what Ceph would have to do if it took no time.
type nothing struct{}

func (nothing) create(context.Context, string, int64) error { return nil }
func (nothing) grow(context.Context, string, int64) error   { return nil }
func (nothing) remove(context.Context, string) error        { return nil }

// kind of volume. Of a kind with users each volume has a cephx user of its own.
type kind string

const (
	rbdImage       kind = "rbd"
	subvolume      kind = "subvolume"
	subvolumeUsers kind = "subvolume-users"
	directory      kind = "directory"
	directoryUsers kind = "directory-users"
)

var kinds = []kind{rbdImage, subvolume, subvolumeUsers, directory, directoryUsers}

func (k kind) hasUsers() bool { return k == subvolumeUsers || k == directoryUsers }

func (k kind) isDirectory() bool { return k == directory || k == directoryUsers }

func (k *kind) set(text string) error {
	if !slices.Contains(kinds, kind(text)) {
		return fmt.Errorf("it is none of %s", kindNames())
	}
	*k = kind(text)
	return nil
}

func kindNames() string {
	var names []string
	for _, each := range kinds {
		names = append(names, string(each))
	}
	return strings.Join(names, ", ")
}

// Where volumes lie, as in the classes that the benchmarks make.
const (
	pool      = "rbd"
	group     = "kubernetes"
	groupRoot = "/volumes/" + group
	claimRoot = "/pvc-volumes"
)

// root is what lies above all CephFS volumes of a kind.
func (k kind) root() string {
	if k.isDirectory() {
		return claimRoot
	}
	return groupRoot
}
