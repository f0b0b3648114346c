package goceph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ceph/go-ceph/cephfs/admin"
	"github.com/ceph/go-ceph/rados"

	"ceph.example/ceph-provisioner/cephclient"
)

// mode of a new volume's directory: pods run under any user ID, the in-tree
// plugin changes no ownership, and cephx caps decide who gets there at all.
const mode = 0o777

// subvolumes implements [cephclient.CephFSStore] with the mgr's volumes
// module, which speaks CephFS in the cluster's own release: the client's
// release cannot spoil it (errno 95).
type subvolumes struct{ session *session }

// Create is similar to: ceph fs subvolume create …, and ceph fs subvolumegroup
// create … where the group is absent.
func (s subvolumes) Create(ctx context.Context, volume cephclient.Volume, quotaBytes int64, options cephclient.CreateOptions) error {
	op := change("create", volume, manager)
	_, err := call(ctx, s.session, op, func(conn *rados.Conn) (none, error) {
		fs := admin.NewFromConn(conn)
		layout := &admin.SubVolumeOptions{
			Size:              admin.ByteCount(quotaBytes),
			Mode:              mode,
			PoolLayout:        options.DataPool,
			NamespaceIsolated: options.NamespaceIsolated,
		}
		err := fs.CreateSubVolume(volume.Container, volume.Group, volume.Name, layout)
		if volume.Group == "" || causeOf(err) != cephclient.ErrNotFound {
			return none{}, err
		}
		if err := fs.CreateSubVolumeGroup(volume.Container, volume.Group, nil); err != nil {
			return none{}, err
		}
		return none{}, fs.CreateSubVolume(volume.Container, volume.Group, volume.Name, layout)
	})
	return err
}

// Inspect is similar to: ceph fs subvolume info.
func (s subvolumes) Inspect(ctx context.Context, volume cephclient.Volume) (cephclient.CephFSInfo, error) {
	info, err := direct(s.session, volume, func(d directories) (cephclient.CephFSInfo, error) { return d.Inspect(ctx, volume) })
	if !errors.Is(err, errIndirect) {
		return info, err
	}
	op := operation{name: "read " + volume.String(), asks: manager}
	return call(ctx, s.session, op, func(conn *rados.Conn) (cephclient.CephFSInfo, error) {
		info, err := admin.NewFromConn(conn).SubVolumeInfo(volume.Container, volume.Group, volume.Name)
		if err != nil {
			return cephclient.CephFSInfo{}, err
		}
		quota, limited := info.BytesQuota.(admin.ByteCount)
		if !limited {
			quota = admin.ByteCount(cephclient.Unlimited)
		}
		if info.Path == "" {
			return cephclient.CephFSInfo{}, fmt.Errorf("the mgr names no path for it, state %q", info.State)
		}
		return cephclient.CephFSInfo{
			QuotaBytes: int64(quota), UsedBytes: int64(info.BytesUsed), Path: info.Path,
			DataPool: info.DataPool, Namespace: info.PoolNamespace,
		}, nil
	})
}

// SetQuota is similar to: ceph fs subvolume resize … --no_shrink, where
// "shrink" means below the bytes in use, not below the quota of before.
func (s subvolumes) SetQuota(ctx context.Context, volume cephclient.Volume, quotaBytes int64) error {
	_, err := direct(s.session, volume, func(d directories) (none, error) { return none{}, d.SetQuota(ctx, volume, quotaBytes) })
	if !errors.Is(err, errIndirect) {
		return err
	}
	op := change("set the quota of", volume, manager)
	_, err = call(ctx, s.session, op, func(conn *rados.Conn) (none, error) {
		_, err := admin.NewFromConn(conn).ResizeSubVolume(volume.Container, volume.Group, volume.Name, admin.ByteCount(quotaBytes), true)
		return none{}, err
	})
	return err
}

// Mark is similar to: ceph fs subvolume metadata set. Where the mgr does not know
// that yet, before 16.2.8, the mark is an attribute of the directory.
func (s subvolumes) Mark(ctx context.Context, volume cephclient.Volume, owner cephclient.Owner) error {
	err := s.setMetadata(ctx, volume, cephclient.OwnerKey, owner.String())
	if !errors.Is(err, cephclient.ErrInvalid) && !errors.Is(err, cephclient.ErrUnsupported) {
		return err
	}
	_, otherwise := direct(s.session, volume, func(d directories) (none, error) { return none{}, d.Mark(ctx, volume, owner) })
	if errors.Is(otherwise, errIndirect) {
		return err
	}
	return otherwise
}

func (s subvolumes) setMetadata(ctx context.Context, volume cephclient.Volume, key, value string) error {
	op := change("mark", volume, manager)
	_, err := call(ctx, s.session, op, func(conn *rados.Conn) (none, error) {
		// go-ceph has it only when it is built for Quincy.
		command, err := json.Marshal(map[string]string{
			"prefix":   "fs subvolume metadata set",
			"vol_name": volume.Container, "group_name": volume.Group, "sub_name": volume.Name,
			"key_name": key, "value": value,
		})
		if err != nil {
			return none{}, err
		}
		_, _, err = conn.MgrCommand([][]byte{command})
		return none{}, err
	})
	return err
}

// Remove is similar to: ceph fs subvolume rm. The mgr purges the data afterwards.
func (s subvolumes) Remove(ctx context.Context, volume cephclient.Volume) error {
	op := change("delete", volume, manager)
	_, err := call(ctx, s.session, op, func(conn *rados.Conn) (none, error) {
		return none{}, admin.NewFromConn(conn).RemoveSubVolume(volume.Container, volume.Group, volume.Name)
	})
	return err
}

// errIndirect says that a subvolume is reached through the mgr only.
var errIndirect = errors.New("the path is not known, or the identity may not mount it")

// direct reaches a subvolume's directory past the mgr, which is slower.
func direct[T any](s *session, volume cephclient.Volume, f func(directories) (T, error)) (T, error) {
	var none T
	at, known := placeOf(volume)
	if !known || s.isDenied(at) {
		return none, errIndirect
	}
	result, err := f(directories{s})
	if errors.Is(err, cephclient.ErrDenied) {
		s.noteDenied(at)
		return none, errIndirect
	}
	return result, err
}
