package goceph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"syscall"

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
	layout := &admin.SubVolumeOptions{
		Size:              admin.ByteCount(quotaBytes),
		Mode:              mode,
		PoolLayout:        options.DataPool,
		NamespaceIsolated: options.NamespaceIsolated,
	}
	create := func() error {
		return s.ask(ctx, "create", "fs subvolume create", volume, func(fs *admin.FSAdmin) error {
			return fs.CreateSubVolume(volume.Container, volume.Group, volume.Name, layout)
		})
	}
	err := create()
	if volume.Group == "" || !errors.Is(err, cephclient.ErrNotFound) {
		return err
	}
	err = s.ask(ctx, "create the group of", "fs subvolumegroup create", volume, func(fs *admin.FSAdmin) error {
		return fs.CreateSubVolumeGroup(volume.Container, volume.Group, nil)
	})
	if err != nil {
		return err
	}
	return create()
}

// ask has the mgr change a volume.
func (s subvolumes) ask(ctx context.Context, verb, command string, volume cephclient.Volume, f func(*admin.FSAdmin) error) error {
	op := change(verb, volume, manager)
	op.needs = needsCommand(command, volume)
	_, err := call(ctx, s.session, op, func(conn *rados.Conn) (none, error) {
		return none{}, metadataOnFullPool(op, f(admin.NewFromConn(conn)))
	})
	return err
}

// metadataOnFullPool understands the mgr when it can't write a subvolume's metadata,
// which lie in its data pool: it says EINVAL then, and the cause in words alone (seen,
// 16.2).
func metadataOnFullPool(op operation, err error) error {
	if causeOf(err) != cephclient.ErrInvalid || err == nil {
		return err
	}
	text := strings.ToLower(err.Error())
	for _, full := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		if strings.Contains(text, full.Error()) {
			return cephclient.NewError(cephclient.ErrNoSpace, op.name, err.Error(), op.mutating())
		}
	}
	return err
}

func needsCommand(command string, volume cephclient.Volume) string {
	return fmt.Sprintf(`mgr 'allow command %q with vol_name=%s'`, command, volume.Container)
}

// Inspect is similar to: ceph fs subvolume info. What that misses (ENODATA, seen in 16.2) in a
// subvolume whose making was cut short in the mgr, `fs subvolume create` adds.
func (s subvolumes) Inspect(ctx context.Context, volume cephclient.Volume) (cephclient.CephFSInfo, error) {
	return s.inspect(ctx, volume, attributes.read)
}

// Quota implements [cephclient.CephFSStore].
func (s subvolumes) Quota(ctx context.Context, volume cephclient.Volume) (cephclient.CephFSInfo, error) {
	return s.inspect(ctx, volume, attributes.readQuota)
}

func (s subvolumes) inspect(ctx context.Context, volume cephclient.Volume, read func(attributes) (cephclient.CephFSInfo, error)) (cephclient.CephFSInfo, error) {
	info, err := direct(s.session, volume, func(d directories) (cephclient.CephFSInfo, error) { return d.inspect(ctx, volume, read) })
	if !errors.Is(err, errIndirect) && !isNumber(info.DataPool) {
		return info, err
	}
	op := operation{name: "read " + volume.String(), asks: manager, needs: needsCommand("fs subvolume info", volume)}
	return call(ctx, s.session, op, func(conn *rados.Conn) (cephclient.CephFSInfo, error) {
		info, err := subvolumeInfo(conn, volume)
		switch {
		case err == nil:
			err = info.wantPath(volume)
		case errnoOf(err) == syscall.ENODATA:
			err = cephclient.NewError(cephclient.ErrHalfMade, op.name, err.Error(), false)
		}
		return cephclient.CephFSInfo{
			QuotaBytes: info.quotaBytes, UsedBytes: int64(info.BytesUsed), Path: info.Path,
			DataPool: info.DataPool, Namespace: info.PoolNamespace,
		}, err
	})
}

// isNumber is what libcephfs calls a pool by that is newer than its map of the cluster.
var isNumber = regexp.MustCompile(`^[0-9]+$`).MatchString

// SetQuota is similar to: ceph fs subvolume resize … --no_shrink, where
// "shrink" means below the bytes in use, not below the quota of before.
func (s subvolumes) SetQuota(ctx context.Context, volume cephclient.Volume, quotaBytes int64) error {
	_, err := direct(s.session, volume, func(d directories) (none, error) { return none{}, d.SetQuota(ctx, volume, quotaBytes) })
	if !errors.Is(err, errIndirect) {
		return err
	}
	at, _ := placeOf(volume)
	op := change("set the quota of", volume, manager)
	op.needs = needsToWrite(at) + " or " + needsCommand("fs subvolume resize", volume)
	_, err = call(ctx, s.session, op, func(conn *rados.Conn) (none, error) {
		_, err := admin.NewFromConn(conn).ResizeSubVolume(volume.Container, volume.Group, volume.Name, admin.ByteCount(quotaBytes), true)
		return none{}, err
	})
	if errors.Is(err, cephclient.ErrDenied) {
		s.session.forgetDenied(s.session.mountKey(at)) // one of both will be granted
	}
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
		return s.unmarkable(volume)
	}
	return otherwise
}

func (s subvolumes) unmarkable(volume cephclient.Volume) error {
	at, _ := placeOf(volume)
	e := cephclient.NewError(cephclient.ErrUnsupported, "mark "+volume.String(), "the mgr knows no `fs subvolume metadata set`", false)
	e.Remedy = "give client." + s.session.credentials.ID + " the cap " + needsToWrite(at) + ", so that the mark can be an attribute, or upgrade Ceph to 16.2.8 or later"
	return e
}

func (s subvolumes) setMetadata(ctx context.Context, volume cephclient.Volume, key, value string) error {
	op := change("mark", volume, manager)
	op.needs = needsCommand("fs subvolume metadata set", volume)
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
	return s.ask(ctx, "delete", "fs subvolume rm", volume, func(fs *admin.FSAdmin) error {
		defer s.session.writeJournal(volume)()
		return fs.RemoveSubVolume(volume.Container, volume.Group, volume.Name)
	})
}

// errIndirect says that a subvolume is reached through the mgr only.
var errIndirect = errors.New("the path is not known, or the identity may not mount it, or the releases differ")

// direct reaches a subvolume's directory past the mgr, which is slower.
func direct[T any](s *session, volume cephclient.Volume, f func(directories) (T, error)) (T, error) {
	var none T
	at, known := placeOf(volume)
	if !known || s.isDenied(s.mountKey(at)) {
		return none, errIndirect
	}
	result, err := f(directories{s})
	switch {
	case errors.Is(err, cephclient.ErrDenied):
		s.noteDenied(s.mountKey(at))
		return none, errIndirect
	case errors.Is(err, cephclient.ErrUnsupported): // errno 95
		return none, errIndirect
	}
	return result, err
}
