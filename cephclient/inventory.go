package cephclient

import (
	"context"
	"errors"
	"path"
	"time"
)

// Place is where volumes of one sort are.
type Place struct {
	Kind      Kind
	Container string // pool, or file system; an empty file system means the only one
	Root      string // of directories; empty for all else
	Group     string // of subvolumes; empty for all else
}

// Place is where the volume is. Groups of directories belong to their root.
func (v Volume) Place() Place {
	if v.IsDirectory() {
		return Place{Kind: v.Kind, Container: v.Container, Root: v.Root}
	}
	return Place{Kind: v.Kind, Container: v.Container, Group: v.Group}
}

// String is how messages name the place.
func (p Place) String() string {
	switch {
	case p.Kind == RBD:
		return "pool " + p.Container
	case p.Root != "":
		return "root " + p.Container + ":" + p.Root
	}
	return "subvolume group " + p.Container + ":" + p.Group
}

// Path is the directory that volumes of CephFS lie in.
func (p Place) Path() string { return Volume{Kind: p.Kind, Root: p.Root, Group: p.Group}.Home() }

// Home is what no other volume of the pool or file system has: the image's name, or
// the path of the directory that a subvolume or directory is.
func (v Volume) Home() string {
	switch {
	case v.Kind == RBD:
		return v.Name
	case v.IsDirectory():
		return path.Join(v.Root, v.Group, v.Name)
	}
	return path.Join("/volumes", v.Group, v.Name)
}

// Found is a volume as it is in Ceph: whose it says it is, and whether it is in use.
type Found struct {
	Volume
	ID        string // tells it from one that is made later under the same name
	SizeBytes int64  // Unlimited for a CephFS volume without a quota
	Owner     string // the text of its mark; empty if it has none
	CreatedAt time.Time
	// ModifiedAt is when its data was last changed, as far as Ceph tells: kernels do
	// not say when they write to an image. It is the zero time if Ceph does not tell.
	ModifiedAt time.Time
	// Slack is how much later these times may be: the mgr tells them in its own time
	// zone, which is not known here.
	Slack     time.Duration
	Watchers  int  // clients that have the image open or mapped; CephFS does not tell
	Snapshots int  // of an image; those of CephFS volumes are found when they are deleted
	Headless  bool // an image whose creation or removal was cut short: a name without anything behind it
	Trashed   bool // an image in the trash
}

// Lister tells what is in places of one sort. Calls end by their context's deadline.
type Lister interface {
	// List names all there is in a place, whoever made it. A place that nothing was
	// made in yet is empty; a pool that is not there is ErrNoSuchPlace. Directories lie
	// in the root, or in a folder there: isVolume tells the one's names from the other's.
	// Images in the trash are named only if it knows their names.
	List(ctx context.Context, place Place, isVolume func(name string) bool) ([]Volume, error)
	// Look describes a volume, or returns ErrNotFound.
	Look(ctx context.Context, volume Volume) (Found, error)
}

// Inventory tells what is in a cluster, as one identity sees it. It changes nothing.
type Inventory interface {
	Lister
	// Cluster returns the cluster's fsid, which is the same by whichever of its
	// monitors it is reached.
	Cluster(ctx context.Context) (fsid string, err error)
	// Resolve names the file system of a place that names none.
	Resolve(ctx context.Context, place Place) (Place, error)
}

// Identified is a cluster that has a name for itself.
type Identified interface {
	Cluster(ctx context.Context) (fsid string, err error)
}

// NewInventory returns the inventory of a cluster.
func NewInventory(cluster Identified, fileSystems FileSystems, images, subvolumes, directories Lister) Inventory {
	return inventory{cluster, fileSystems, images, subvolumes, directories}
}

type inventory struct {
	Identified
	fileSystems                     FileSystems
	images, subvolumes, directories Lister
}

func (i inventory) Resolve(ctx context.Context, place Place) (Place, error) {
	if place.Kind == RBD {
		return place, nil
	}
	all, err := i.fileSystems.FileSystems(ctx)
	if err != nil {
		return place, err
	}
	fileSystem, err := choose("list", all, Volume{Kind: CephFS, Container: place.Container, Root: place.Root, Group: place.Group})
	place.Container = fileSystem.Name
	return place, err
}

func (i inventory) List(ctx context.Context, place Place, isVolume func(name string) bool) ([]Volume, error) {
	volumes, err := i.lister(place).List(ctx, place, isVolume)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return volumes, err
}

func (i inventory) Look(ctx context.Context, volume Volume) (Found, error) {
	return i.lister(volume.Place()).Look(ctx, volume)
}

func (i inventory) lister(place Place) Lister {
	switch {
	case place.Kind == RBD:
		return i.images
	case place.Root != "":
		return i.directories
	}
	return i.subvolumes
}
