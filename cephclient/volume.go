package cephclient

import "path"

// Kind says what a volume is made of.
type Kind string

// The kinds of volume. The text of each is part of annotations and metrics.
const (
	RBD    Kind = "rbd"
	CephFS Kind = "cephfs"
)

// Volume names one RBD image, CephFS subvolume or CephFS directory within a
// cluster. It can be rebuilt from a PersistentVolume alone.
type Volume struct {
	Kind      Kind
	Container string // pool, or file system; an empty file system means the only one
	Root      string // of a directory: the absolute path that lies above group and name; empty for all else
	Group     string // subvolume group, or what lies between a directory's root and name; empty for RBD
	Name      string
	Path      string // CephFS: what nodes mount; empty until the volume is made
	// Mark is what a directory has been seen to say of its owner, if it says any. Delete leaves
	// one alone that says another by then: names that are chosen come again.
	Mark string
}

// IsDirectory tells a plain directory of CephFS from a subvolume.
func (v Volume) IsDirectory() bool { return v.Root != "" }

// String is how messages name the volume, as the ceph and rbd tools write it.
func (v Volume) String() string {
	switch {
	case v.Kind == RBD:
		return "RBD image " + path.Join(v.Container, v.Name)
	case v.IsDirectory():
		return "CephFS directory " + v.Container + ":" + path.Join(v.Root, v.Group, v.Name)
	case v.Container == "":
		return "CephFS subvolume " + path.Join(v.Group, v.Name)
	default:
		return "CephFS subvolume " + v.Container + ":" + path.Join(v.Group, v.Name)
	}
}
