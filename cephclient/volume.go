package cephclient

import "path"

// Kind says what a volume is made of.
type Kind string

// The kinds of volume. The text of each is part of annotations and metrics.
const (
	RBD    Kind = "rbd"
	CephFS Kind = "cephfs"
)

// Volume names one RBD image or one CephFS subvolume within a cluster. It can
// be rebuilt from a PersistentVolume alone.
type Volume struct {
	Kind      Kind
	Container string // pool, or file system; an empty file system means the only one
	Group     string // subvolume group; empty for RBD
	Name      string
}

// String is how messages name the volume, as the ceph and rbd tools write it.
func (v Volume) String() string {
	switch {
	case v.Kind == RBD:
		return "RBD image " + path.Join(v.Container, v.Name)
	case v.Container == "":
		return "CephFS subvolume " + path.Join(v.Group, v.Name)
	default:
		return "CephFS subvolume " + v.Container + ":" + path.Join(v.Group, v.Name)
	}
}
