package goceph

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/ceph/go-ceph/cephfs"

	"ceph.example/ceph-provisioner/cephclient"
)

const (
	ownerAttribute     = "user." + cephclient.OwnerKey
	quotaAttribute     = "ceph.quota.max_bytes"
	filesAttribute     = "ceph.quota.max_files"
	pinAttribute       = "ceph.dir.pin"
	layoutAttribute    = "ceph.dir.layout"
	poolAttribute      = "ceph.dir.layout.pool"
	namespaceAttribute = "ceph.dir.layout.pool_namespace"
	usedAttribute      = "ceph.dir.rbytes"
	entriesAttribute   = "ceph.dir.entries"
	changedAttribute   = "ceph.dir.rctime" // of the directory and all below
	snapshotsAttribute = "ceph.dir.rsnaps" // of the directory and all below; since Octopus

	// namespacePrefix is what the mgr gives the RADOS namespaces of subvolumes.
	namespacePrefix = "fsvolumens_"
)

// attributes are the extended attributes of a directory, below a mount. No call
// follows a symbolic link in its place.
type attributes struct {
	mount     *cephfs.MountInfo
	directory string
	op        operation
}

// get returns "" for an attribute that is absent.
func (a attributes) get(name string) (string, error) {
	value, err := a.mount.LgetXattr(a.directory, name)
	if errnoOf(err) == syscall.ENODATA {
		return "", nil
	}
	return string(value), err
}

// number returns 0 for an attribute that is absent.
func (a attributes) number(name string) (int64, error) {
	text, err := a.get(name)
	if err != nil || text == "" {
		return 0, err
	}
	return strconv.ParseInt(text, 10, 64)
}

func (a attributes) set(name, value string, flags cephfs.XattrFlags) error {
	return a.mount.LsetXattr(a.directory, name, []byte(value), flags)
}

// setVirtual sets what is the MDS's, which takes a cap of its own.
func (a attributes) setVirtual(name, value string) error {
	err := a.set(name, value, cephfs.XattrDefault)
	switch causeOf(err) {
	case cephclient.ErrDenied:
		return cephclient.NewError(cephclient.ErrDenied, a.op.name,
			fmt.Sprintf("setting %s needs rwp, not rw, in its mds caps: %v", name, err), a.op.mutating())
	case cephclient.ErrUnsupported, cephclient.ErrInvalid:
		return fmt.Errorf("setting %s to %q: %w", name, value, err)
	}
	return err
}

func (a attributes) setQuota(quotaBytes int64) error {
	return a.setVirtual(quotaAttribute, strconv.FormatInt(quotaBytes, 10))
}

// claim writes the owner onto a directory that has none. One that came in
// between, after the policy has looked, keeps it.
func (a attributes) claim(owner cephclient.Owner) error {
	err := a.set(ownerAttribute, owner.String(), cephfs.XattrCreate)
	if causeOf(err) != cephclient.ErrExists {
		return err
	}
	text, err := a.get(ownerAttribute)
	if err != nil {
		return err
	}
	if other, marked := cephclient.ParseOwner(text); marked && other.ClaimUID != owner.ClaimUID {
		return cephclient.NewError(cephclient.ErrExists, a.op.name, "it belongs to "+text, false)
	}
	return a.set(ownerAttribute, owner.String(), cephfs.XattrDefault)
}

// layOut says where the data of an empty directory goes. Pool and namespace are set
// one by one: given together, the MDS (16.2) takes no hyphen in either.
func (a attributes) layOut(volume cephclient.Volume, options cephclient.CreateOptions, isNew bool) error {
	if !isNew {
		entries, err := a.number(entriesAttribute)
		if err != nil || entries > 0 {
			return err
		}
	}
	if options.DataPool != "" {
		if err := a.setVirtual(poolAttribute, options.DataPool); err != nil {
			return err
		}
	}
	if options.NamespaceIsolated {
		return a.setVirtual(namespaceAttribute, namespaceOf(volume))
	}
	return nil
}

// namespaceOf is a RADOS namespace for a directory alone, among those of all groups.
func namespaceOf(volume cephclient.Volume) string {
	return namespacePrefix + strings.ReplaceAll(path.Join(volume.Group, volume.Name), "/", ".")
}

// readQuota asks the MDS once about what is complete, like what is built on it below: libcephfs
// has it answer for each attribute of its own anew.
func (a attributes) readQuota() (info cephclient.CephFSInfo, err error) {
	info.QuotaBytes, err = a.number(quotaAttribute) // absent: 0, which is Unlimited
	if err == nil && info.QuotaBytes == cephclient.Unlimited {
		info.UsedBytes, err = a.number(usedAttribute)
	}
	return info, err
}

func (a attributes) read() (cephclient.CephFSInfo, error) {
	info, err := a.readQuota()
	if err == nil {
		info.DataPool, info.Namespace, err = a.layout()
	}
	return info, err
}

// readOwned reads whose it is, too, or how much is in it.
func (a attributes) readOwned() (cephclient.CephFSInfo, error) {
	info, err := a.read()
	if err != nil {
		return info, err
	}
	info.Owner, err = a.get(ownerAttribute)
	if _, marked := cephclient.ParseOwner(info.Owner); err == nil && !marked {
		info.Entries, err = a.number(entriesAttribute)
	}
	return info, err
}

// layoutBytes is what libcephfs has room for. Of a layout that does not fit into it, nothing
// but the length is true (_vxattrcb_layout in Ceph's src/client/Client.cc).
const layoutBytes = 256

// layout is the pool and the namespace of what a directory will hold.
func (a attributes) layout() (pool, namespace string, err error) {
	layout, err := a.get(layoutAttribute)
	if err != nil {
		return "", "", err
	}
	if len(layout) < layoutBytes {
		pool, namespace = parseLayout(layout)
		return pool, namespace, nil
	}
	if pool, err = a.get(poolAttribute); err != nil {
		return "", "", err
	}
	namespace, err = a.get(namespaceAttribute)
	return pool, namespace, err
}

// parseLayout takes the pool and the namespace from the end of a layout, or of none:
// "stripe_unit=… stripe_count=… object_size=… pool=POOL pool_namespace=NAMESPACE", the
// last only where there is one.
func parseLayout(layout string) (pool, namespace string) {
	_, pool, _ = strings.Cut(layout, " pool=")
	pool, namespace, _ = strings.Cut(pool, " pool_namespace=")
	return pool, namespace
}
