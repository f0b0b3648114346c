package goceph

import (
	"cmp"
	"io/fs"
	"path"
	"strings"

	"ceph.example/ceph-provisioner/cephclient"
)

// place is a directory as libcephfs reaches it.
type place struct {
	fileSystem string // empty means the cluster's default
	root       string // absolute: what is mounted, and what the identity's caps must allow
	directory  string // below the root
	ours       bool   // what is in ROOT/.deleting was put there by Remove
}

const (
	// subvolumeRoot is where the mgr keeps subvolumes, and noGroup the group of
	// those that have none.
	subvolumeRoot = "/volumes"
	noGroup       = "_nogroup"
	// deleting is where directories wait for their purge, below the root.
	deleting = ".deleting"
)

// placeOf tells where the volume's directory is, if its names make up a path
// below the root. Of a subvolume only the mgr knows the path, until volume.Path
// holds it.
func placeOf(volume cephclient.Volume) (at place, ok bool) {
	at.fileSystem = volume.Container
	if volume.IsDirectory() {
		at.root, at.ours = path.Clean(volume.Root), true
		if at.directory = volume.Name; volume.Group != "" {
			at.directory = volume.Group + "/" + volume.Name
		}
		first, _, _ := strings.Cut(at.directory, "/")
		return at, path.IsAbs(at.root) && volume.Name != "" && isBelow(at.directory) && first != deleting
	}
	at.root, at.directory, ok = inGroup(volume, volume.Path)
	// Of several file systems the default one may hold another volume of this path.
	return at, ok && at.fileSystem != ""
}

// inGroup takes the path of a subvolume apart, if it lies in its group.
func inGroup(volume cephclient.Volume, home string) (group, below string, ok bool) {
	name := cmp.Or(volume.Group, noGroup)
	group = path.Join(subvolumeRoot, name)
	below, ok = strings.CutPrefix(home, group+"/")
	return group, below, ok && isBelow(name) && isBelow(below) && !strings.Contains(name, "/")
}

// isBelow refuses what would lead upwards: libcephfs does not stop at the root
// of a mount.
func isBelow(directory string) bool { return directory != "." && fs.ValidPath(directory) }

// path is the absolute path of the directory.
func (p place) path() string { return path.Join(p.root, p.directory) }

// parents are the directories between the root and the directory, topmost first.
func (p place) parents() (parents []string) {
	for i, r := range p.directory {
		if r == '/' {
			parents = append(parents, p.directory[:i])
		}
	}
	return parents
}
