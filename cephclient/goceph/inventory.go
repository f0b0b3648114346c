package goceph

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ceph/go-ceph/cephfs"
	"github.com/ceph/go-ceph/rados"

	"ceph.example/ceph-provisioner/cephclient"
)

// Inventory implements [cephclient.Connector].
func (p *Pool) Inventory(ctx context.Context, cluster cephclient.Cluster, credentials cephclient.Credentials) (cephclient.Inventory, error) {
	s, err := p.connected(ctx, cluster, credentials)
	if err != nil {
		return nil, err
	}
	return cephclient.NewInventory(s, fileSystems{s}, images{s}, subvolumes{s}, directories{s}), nil
}

// Cluster is similar to: ceph fsid.
func (s *session) Cluster(ctx context.Context) (string, error) {
	op := operation{name: "read the fsid of " + s.cluster.String(), asks: monitor}
	return call(ctx, s, op, func(conn *rados.Conn) (string, error) { return conn.GetFSID() })
}

// List is similar to: ls ROOT ROOT/*.
func (d directories) List(ctx context.Context, where cephclient.Place, isVolume func(string) bool) ([]cephclient.Volume, error) {
	at := place{fileSystem: where.Container, root: where.Root}
	op := operation{name: "list " + where.String(), asks: metadataOf(at), needs: needsToWrite(at)}
	return callOn(ctx, d.session, op, d.session.mountOf(at), func(mount *cephfs.MountInfo) ([]cephclient.Volume, error) {
		var volumes []cephclient.Volume
		add := func(group, name string) {
			volumes = append(volumes, cephclient.Volume{
				Kind: cephclient.CephFS, Container: where.Container, Root: where.Root, Group: group, Name: name,
			})
		}
		folders, err := directoriesIn(mount, top)
		for _, each := range folders {
			if isVolume(each) {
				add("", each)
				continue
			}
			inside, err := directoriesIn(mount, top+each)
			if err := unlessAbsent(err); err != nil {
				return nil, err
			}
			for _, name := range inside {
				add(each, name)
			}
		}
		return volumes, err
	})
}

// directoriesIn leaves out what the mgr keeps beside groups, and what waits for its purge.
func directoriesIn(mount *cephfs.MountInfo, directory string) (names []string, err error) {
	err = eachEntry(mount, directory, func(entry *cephfs.DirEntry) error {
		name := entry.Name()
		if entry.DType() == cephfs.DTypeDir && name != deleting && !strings.HasPrefix(name, "_") {
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

// Look is similar to: stat, getfattr.
func (d directories) Look(ctx context.Context, volume cephclient.Volume) (cephclient.Found, error) {
	op := operation{name: "look at " + volume.String(), asks: metadata}
	return lookAt(ctx, d.session, op, volume, func(mount *cephfs.MountInfo, at place) (cephclient.Found, error) {
		if isSubvolume, err := hasMeta(mount, at); err != nil || isSubvolume {
			return cephclient.Found{}, errors.Join(err, cephclient.NewError(cephclient.ErrNotFound, op.name, "it is a subvolume", false))
		}
		return describeDirectory(mount, op, at, volume)
	})
}

// lookAt is callMount for calls that must not begin to purge what others have removed.
func lookAt[T any](ctx context.Context, s *session, op operation, volume cephclient.Volume, f func(*cephfs.MountInfo, place) (T, error)) (found T, err error) {
	at, ok := placeOf(volume)
	if !ok {
		return found, cephclient.NewError(cephclient.ErrInvalid, op.name, "its names make up no path below its root", false)
	}
	at.ours, op.asks, op.needs = false, metadataOf(at), needsToWrite(at)
	return callOn(ctx, s, op, s.mountOf(at), func(mount *cephfs.MountInfo) (T, error) { return f(mount, at) })
}

func describeDirectory(mount *cephfs.MountInfo, op operation, at place, volume cephclient.Volume) (cephclient.Found, error) {
	if _, err := lookUp(mount, at); err != nil {
		return cephclient.Found{}, err
	}
	directory := attributes{mount, at.directory, op}
	info, err := directory.readOwned()
	if err != nil {
		return cephclient.Found{}, err
	}
	volume.Path = at.path()
	found := cephclient.Found{Volume: volume, SizeBytes: info.QuotaBytes, Owner: info.Owner}
	err = directory.date(&found)
	return found, err
}

// date tells when a directory was made, and when anything below it was last changed.
func (a attributes) date(found *cephclient.Found) error {
	stat, err := a.mount.Statx(a.directory, cephfs.StatxBtime|cephfs.StatxIno, cephfs.AtSymlinkNofollow)
	if err != nil {
		return err
	}
	changed, err := a.get(changedAttribute)
	if err != nil {
		return err
	}
	found.ID = fmt.Sprintf("%x", uint64(stat.Inode))
	found.CreatedAt = time.Unix(stat.Btime.Sec, stat.Btime.Nsec).UTC()
	found.ModifiedAt = parseSeconds(changed)
	found.Slack = 0
	return nil
}

// parseSeconds reads a time as libcephfs writes it, SECONDS.NANOSECONDS. Some releases
// write 09 before the nanoseconds, instead of making them nine digits: then they are
// left out.
func parseSeconds(text string) time.Time {
	whole, fraction, _ := strings.Cut(text, ".")
	seconds, err := strconv.ParseUint(whole, 10, 32) // as the MDS keeps them
	if err != nil {
		return time.Time{}
	}
	nanoseconds, err := strconv.ParseUint(fraction, 10, 64)
	if err != nil || len(fraction) != len("000000000") {
		nanoseconds = 0
	}
	return time.Unix(int64(seconds), int64(nanoseconds)).UTC()
}

// hasMeta tells subvolumes from directories beside them, such as ceph.com/cephfs made.
func hasMeta(mount *cephfs.MountInfo, at place) (bool, error) {
	const meta = "/.meta"
	_, err := mount.Statx(at.directory+meta, cephfs.StatxIno, cephfs.AtSymlinkNofollow)
	return err == nil, unlessAbsent(err)
}
