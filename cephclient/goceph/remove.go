package goceph

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/ceph/go-ceph/cephfs"

	"ceph.example/ceph-provisioner/cephclient"
)

const (
	// snapshots is libcephfs's name for the folder of a directory's snapshots.
	snapshots = ".snap"
	// deletingMode keeps pods that mount the root out of what is being deleted.
	deletingMode    = 0o700
	longestFileName = 255
	// longestName leaves room for an inode number in a name of 255 bytes.
	longestName = 230
)

// Remove is similar to: mv DIRECTORY ROOT/.deleting/, and an rm -r of that in the
// background. A directory with snapshots can't be removed: it is refused.
func (d directories) Remove(ctx context.Context, volume cephclient.Volume) error {
	op := change("delete", volume, metadata)
	mounted := false
	_, err := callMount(ctx, d.session, op, volume, func(mount *cephfs.MountInfo, at place) (none, error) {
		mounted = true
		err := remove(mount, op, at, volume.Mark)
		if err == nil {
			d.session.startPurge(at) // here, because the caller may have given up by now
		}
		if err == nil || causeOf(err) == cephclient.ErrNotFound {
			err = errors.Join(removeLegacyMeta(mount, volume), err)
			removeEmpty(mount, op, at.parents())
		}
		return none{}, err
	})
	if errors.Is(err, cephclient.ErrNotFound) && !mounted {
		return absentRoot(op, volume)
	}
	return err
}

// absentRoot says that nothing is known of a directory whose root is not there: it was
// perhaps only renamed.
func absentRoot(op operation, volume cephclient.Volume) error {
	e := cephclient.NewError(cephclient.ErrNoSuchPlace, op.name, "there is no directory "+volume.Root, false)
	e.Remedy = "bring it back, or delete the PersistentVolume by hand if it really is gone"
	return e
}

func remove(mount *cephfs.MountInfo, op operation, at place, mark string) error {
	found, err := lookUp(mount, at)
	if err != nil {
		return err
	}
	if err := wantMark(mount, op, at, mark); err != nil {
		return err
	}
	if err := wantNoSnapshots(mount, op, at); err != nil {
		return err
	}
	return moveAside(mount, at, found.Inode)
}

// removeLegacyMeta removes a file that ceph.com/cephfs, by way of Ceph's
// ceph_volume_client, made for each volume beside its group.
func removeLegacyMeta(mount *cephfs.MountInfo, volume cephclient.Volume) error {
	name := "_" + volume.Group + ":" + volume.Name + ".meta"
	if volume.Group == "" || len(name) > longestFileName {
		return nil
	}
	return unlessAbsent(mount.Unlink(name))
}

// wantMark refuses a directory that says another owner than was seen.
func wantMark(mount *cephfs.MountInfo, op operation, at place, mark string) error {
	now, err := attributes{mount: mount, directory: at.directory}.get(ownerAttribute)
	if _, marked := cephclient.ParseOwner(now); err != nil || !marked || now == mark {
		return err
	}
	e := cephclient.NewError(cephclient.ErrInUse, op.name, "it says by now that it belongs to "+now, false)
	e.Remedy = "it is looked at again by itself"
	return e
}

// wantNoSnapshots does not count those of directories above, which are called
// _NAME_INODE. The MDS gives no other snapshot a name like that.
func wantNoSnapshots(mount *cephfs.MountInfo, op operation, at place) error {
	var own []string
	err := eachEntry(mount, path.Join(at.directory, snapshots), func(entry *cephfs.DirEntry) error {
		if !strings.HasPrefix(entry.Name(), "_") {
			own = append(own, entry.Name())
		}
		return nil
	})
	if err != nil {
		return err
	}
	below, err := attributes{mount: mount, directory: at.directory}.number(snapshotsAttribute)
	if err != nil || len(own) == 0 && below == 0 {
		return err
	}
	if len(own) == 0 {
		own = []string{fmt.Sprint(below, " further down")}
	}
	return cephclient.NewError(cephclient.ErrInUse, op.name, "it has snapshots: "+strings.Join(own, ", "), false)
}

// moveAside gives the directory a name that no other has: that of its inode.
func moveAside(mount *cephfs.MountInfo, at place, inode cephfs.Inode) error {
	if err := unlessPresent(mount.MakeDir(deleting, deletingMode)); err != nil {
		return err
	}
	aside := place{root: at.root, directory: deleting}
	if _, err := lookUp(mount, aside); err != nil {
		return err
	}
	name := path.Base(at.directory)
	name = fmt.Sprintf("%s-%x", name[:min(len(name), longestName)], uint64(inode))
	return mount.Rename(at.directory, path.Join(deleting, name))
}

// removeEmpty removes the innermost of these directories, and those above it that
// get empty so. One on which an administrator has set something stays.
func removeEmpty(mount *cephfs.MountInfo, op operation, parents []string) {
	for i := len(parents) - 1; i >= 0; i-- {
		if isSet(attributes{mount, parents[i], op}) || mount.RemoveDir(parents[i]) != nil {
			return // most often, because another volume is in it
		}
	}
}

// isSet reports whether a directory has a quota, a layout or a pin of its own.
func isSet(a attributes) bool {
	for name, unset := range map[string]string{quotaAttribute: "0", filesAttribute: "0", layoutAttribute: "", pinAttribute: "-1"} {
		if value, err := a.get(name); err != nil || value != "" && value != unset {
			return true
		}
	}
	return false
}

// eachEntry calls f for what is in a directory, until f fails.
func eachEntry(mount *cephfs.MountInfo, directory string, f func(*cephfs.DirEntry) error) error {
	opened, err := mount.OpenDir(directory)
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	for {
		entry, err := opened.ReadDir()
		if err != nil || entry == nil {
			return err
		}
		if entry.Name() == "." || entry.Name() == ".." {
			continue
		}
		if err := f(entry); err != nil {
			return err
		}
	}
}
