package cephclient

import "context"

// Backend is what Kubernetes needs of Ceph. Every method is idempotent and ends
// by its context's deadline; sizes are in bytes. Errors are of type [*Error].
type Backend interface {
	// Ensure creates the volume, or adopts the one that an earlier attempt made
	// under the same name. It never resizes: the caller compares
	// Info.SizeBytes, which may be smaller for an adopted volume.
	Ensure(ctx context.Context, volume Volume, sizeBytes int64, options CreateOptions) (Info, error)
	// Grow makes the volume at least sizeBytes large and returns what Ceph says
	// afterwards. It never shrinks: a volume that is larger stays so.
	Grow(ctx context.Context, volume Volume, sizeBytes int64) (Info, error)
	// Delete removes the volume. An absent one is success; one that has snapshots,
	// or an image that a client has open or mapped, is refused with ErrInUse.
	Delete(ctx context.Context, volume Volume) error
	// Stat describes the volume, or returns ErrNotFound.
	Stat(ctx context.Context, volume Volume) (Info, error)
}

// CreateOptions say how a new volume is laid out. An adopted volume keeps its
// own layout.
type CreateOptions struct {
	DataPool string // RBD: pool of the data objects; CephFS: layout; empty means the default

	// RBD only.
	Features        []string // names as in `rbd create --image-feature`
	ObjectSizeBytes int64    // 0 means librbd's default, 4 MiB
	StripeUnitBytes int64    // 0 means no striping
	StripeCount     int64

	// CephFS only.
	NamespaceIsolated bool // a RADOS namespace for this volume alone

	Owner Owner // written onto a new volume, and onto an adopted one
}

// Info is what Ceph says about a volume.
type Info struct {
	Volume    Volume // with the file system's name and the path filled in
	SizeBytes int64  // image size, or quota; [Unlimited] for a CephFS volume without a quota

	// CephFS only: where the volume's data is in RADOS.
	DataPool  string
	Namespace string // empty unless the volume has one for itself
	Owner     string // as it stands on a directory; empty for all else
	// OtherFileSystems says that the cluster has more than this volume's, and
	// NotDefaultFileSystem that nodes which name none mount another one.
	OtherFileSystems     bool
	NotDefaultFileSystem bool
}

// Unlimited is the size of a CephFS subvolume that has no quota.
const Unlimited int64 = 0
