package goceph

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/ceph/go-ceph/cephfs"
	"github.com/ceph/go-ceph/cephfs/admin"
	"github.com/ceph/go-ceph/rados"

	"ceph.example/ceph-provisioner/cephclient"
)

// List is similar to: ceph fs subvolume ls.
func (s subvolumes) List(ctx context.Context, where cephclient.Place, _ func(string) bool) ([]cephclient.Volume, error) {
	volume := cephclient.Volume{Kind: cephclient.CephFS, Container: where.Container, Group: where.Group}
	op := operation{name: "list " + where.String(), asks: manager, needs: needsCommand("fs subvolume ls", volume)}
	return call(ctx, s.session, op, func(conn *rados.Conn) ([]cephclient.Volume, error) {
		names, err := admin.NewFromConn(conn).ListSubVolumes(where.Container, where.Group)
		var volumes []cephclient.Volume
		for _, name := range names {
			volume.Name = name
			volumes = append(volumes, volume)
		}
		return volumes, err
	})
}

// Look is similar to: ceph fs subvolume info; ceph fs subvolume metadata get. Where the
// identity may mount the group, plain directories in it are told from subvolumes: the
// mgr would make those into subvolumes of its oldest sort by being asked for them.
func (s subvolumes) Look(ctx context.Context, volume cephclient.Volume) (cephclient.Found, error) {
	volume.Path = volume.Home()
	found, err := direct(s.session, volume, func(d directories) (cephclient.Found, error) { return d.lookAtPlain(ctx, volume) })
	if err == nil && found.Name != "" || err != nil && !errors.Is(err, errIndirect) {
		return found, err
	}
	if found, err = s.lookByMgr(ctx, volume); err != nil {
		return found, err
	}
	found.Owner, err = s.owner(ctx, found.Volume)
	if err != nil {
		return found, err
	}
	_, err = direct(s.session, found.Volume, func(d directories) (none, error) { return none{}, d.date(ctx, &found) })
	if errors.Is(err, errIndirect) {
		err = nil
	}
	return found, err
}

// lookAtPlain finds nothing, which has no name, where there is a subvolume.
func (d directories) lookAtPlain(ctx context.Context, volume cephclient.Volume) (cephclient.Found, error) {
	op := operation{name: "look at " + volume.String(), asks: metadata}
	return lookAt(ctx, d.session, op, volume, func(mount *cephfs.MountInfo, at place) (cephclient.Found, error) {
		if isSubvolume, err := hasMeta(mount, at); err != nil || isSubvolume {
			return cephclient.Found{}, err
		}
		return describeDirectory(mount, op, at, volume)
	})
}

// maxZone is how far behind UTC a clock of the mgr may be: it tells local time.
const maxZone = 12 * time.Hour

func (s subvolumes) lookByMgr(ctx context.Context, volume cephclient.Volume) (cephclient.Found, error) {
	op := operation{name: "look at " + volume.String(), asks: manager, needs: needsCommand("fs subvolume info", volume)}
	return call(ctx, s.session, op, func(conn *rados.Conn) (cephclient.Found, error) {
		info, err := subvolumeInfo(conn, volume)
		if err != nil {
			return cephclient.Found{}, err
		}
		if info.State == admin.StateSnapRetained { // the volume itself is gone
			return cephclient.Found{}, cephclient.NewError(cephclient.ErrNotFound, op.name, "only its snapshots are left", false)
		}
		volume.Path = info.Path
		return cephclient.Found{
			Volume: volume, ID: info.Path, SizeBytes: info.quotaBytes,
			CreatedAt: info.CreatedAt.Time, ModifiedAt: info.Mtime.Time, Slack: maxZone,
		}, nil
	})
}

// owner looks where Mark may have written.
func (s subvolumes) owner(ctx context.Context, volume cephclient.Volume) (string, error) {
	op := operation{name: "read the mark of " + volume.String(), asks: manager, needs: needsCommand("fs subvolume metadata get", volume)}
	text, err := call(ctx, s.session, op, func(conn *rados.Conn) (string, error) {
		command, err := json.Marshal(map[string]string{
			"prefix": "fs subvolume metadata get", "vol_name": volume.Container,
			"group_name": volume.Group, "sub_name": volume.Name, "key_name": cephclient.OwnerKey,
		})
		if err != nil {
			return "", err
		}
		answer, _, err := conn.MgrCommand([][]byte{command})
		return string(answer), err
	})
	if !errors.Is(err, cephclient.ErrNotFound) && !errors.Is(err, cephclient.ErrInvalid) && !errors.Is(err, cephclient.ErrUnsupported) {
		return text, err
	}
	found, err := direct(s.session, volume, func(d directories) (cephclient.CephFSInfo, error) { return d.Inspect(ctx, volume) })
	if errors.Is(err, errIndirect) {
		err = nil
	}
	return found.Owner, err
}

// date keeps the ID, which for subvolumes is their path.
func (d directories) date(ctx context.Context, found *cephclient.Found) error {
	op := operation{name: "look at " + found.Volume.String(), asks: metadata}
	_, err := lookAt(ctx, d.session, op, found.Volume, func(mount *cephfs.MountInfo, at place) (none, error) {
		dated := *found
		err := attributes{mount, at.directory, op}.date(&dated)
		if err == nil {
			dated.ID = found.ID
			*found = dated
		}
		return none{}, err
	})
	return err
}
