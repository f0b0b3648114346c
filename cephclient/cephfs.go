package cephclient

import (
	"context"
	"errors"
	"fmt"
)

// FileSystem is one CephFS file system of a cluster.
type FileSystem struct {
	Name      string
	DataPools []string
	Default   bool // what clients mount that name none
}

// CephFSInfo is what a file system says about a volume.
type CephFSInfo struct {
	QuotaBytes int64 // Unlimited when there is no quota
	UsedBytes  int64 // of one without quota; others need not tell
	Path       string
	DataPool   string
	Namespace  string // in RADOS; empty unless the volume has its own
	Owner      string // as it stands on a directory; subvolumes do not tell it here
	Entries    int64  // files and folders right below a directory that does not say whose it is; others need not tell
}

// FileSystems lists the file systems of a cluster.
type FileSystems interface {
	FileSystems(ctx context.Context) ([]FileSystem, error)
	// RecentFileSystems may answer what was seen within the last second.
	RecentFileSystems(ctx context.Context) ([]FileSystem, error)
}

// CephFSStore is what the policy for CephFS needs of the mgr's volumes module, for
// subvolumes, or of the file system itself, for directories. Calls end by their
// context's deadline.
type CephFSStore interface {
	// Create makes a volume and its group where they are absent, with a quota. On
	// one that exists it would set the quota anew: ask Inspect first.
	Create(ctx context.Context, volume Volume, quotaBytes int64, options CreateOptions) error
	// Inspect describes a volume, or returns ErrNotFound, also where the group or
	// the file system is absent, or ErrHalfMade for one that lacks what Create gives it.
	Inspect(ctx context.Context, volume Volume) (CephFSInfo, error)
	// Quota is Inspect for nothing but QuotaBytes and UsedBytes.
	Quota(ctx context.Context, volume Volume) (CephFSInfo, error)
	// SetQuota sets the quota, smaller or larger than before.
	SetQuota(ctx context.Context, volume Volume, quotaBytes int64) error
	// Mark writes the owner onto a volume.
	Mark(ctx context.Context, volume Volume, owner Owner) error
	// Remove moves the volume aside and has it purged in the background, or returns
	// ErrNotFound as Inspect does.
	Remove(ctx context.Context, volume Volume) error
}

// NewCephFS returns the backend for CephFS.
func NewCephFS(fileSystems FileSystems, subvolumes, directories CephFSStore) Backend {
	return cephfsBackend{fileSystems, subvolumes, directories}
}

type cephfsBackend struct {
	fileSystems FileSystems
	subvolumes  CephFSStore
	directories CephFSStore
}

func (b cephfsBackend) store(volume Volume) CephFSStore {
	if volume.IsDirectory() {
		return b.directories
	}
	return b.subvolumes
}

func (b cephfsBackend) Ensure(ctx context.Context, volume Volume, sizeBytes int64, options CreateOptions) (Info, error) {
	if err := checkSize(volume, sizeBytes); err != nil {
		return Info{}, err
	}
	home, err := fileSystemOf(ctx, b.fileSystems.RecentFileSystems, "create", volume)
	if err != nil {
		return Info{}, err
	}
	volume, options, err = home.place(volume, options)
	if err != nil {
		return Info{}, err
	}
	found, err := b.store(volume).Inspect(ctx, volume)
	absent := errors.Is(err, ErrNotFound) || errors.Is(err, ErrHalfMade)
	if err != nil && !absent {
		return Info{}, err
	}
	if !absent {
		if err := mayAdopt(volume, found, options.Owner); err != nil {
			return Info{}, err
		}
	}
	info := describe(volume, found)
	if err := mayBeFirstQuota(volume, found, sizeBytes); err != nil {
		return Info{}, err
	}
	if absent || found.QuotaBytes == Unlimited {
		if info, err = b.create(ctx, volume, sizeBytes, options); err != nil && absent {
			return Info{}, b.takeBack(ctx, volume, options.Owner, err)
		} else if err != nil {
			return Info{}, err
		}
	}
	if info.Owner == options.Owner.String() { // a directory has been marked when it was made
		return home.addTo(info), nil
	}
	err = afterWrite(b.store(volume).Mark(ctx, info.Volume, options.Owner))
	if err != nil && absent {
		err = b.takeBack(ctx, volume, options.Owner, err)
	}
	return home.addTo(info), err
}

// mayBeFirstQuota refuses a quota below what a volume without one holds already.
func mayBeFirstQuota(volume Volume, found CephFSInfo, sizeBytes int64) error {
	if found.QuotaBytes != Unlimited || found.UsedBytes <= sizeBytes {
		return nil
	}
	return &Error{
		Cause: ErrWouldShrink, Op: "set the first quota of " + volume.String(),
		Detail: fmt.Sprintf("it has none, and holds %d bytes, more than the %d asked for", found.UsedBytes, sizeBytes),
		Remedy: "ask for at least what it holds",
	}
}

// create makes the volume, or what of it is missing.
func (b cephfsBackend) create(ctx context.Context, volume Volume, sizeBytes int64, options CreateOptions) (Info, error) {
	if err := b.store(volume).Create(ctx, volume, sizeBytes, options); err != nil {
		return Info{}, err
	}
	found, err := b.store(volume).Inspect(ctx, volume)
	if err == nil {
		err = wantQuota(volume, found, sizeBytes)
	}
	return describe(volume, found), afterWrite(err)
}

func (b cephfsBackend) Grow(ctx context.Context, volume Volume, sizeBytes int64) (Info, error) {
	if err := checkSize(volume, sizeBytes); err != nil {
		return Info{}, err
	}
	before, err := b.store(volume).Quota(ctx, volume)
	if err != nil {
		return Info{}, unseen(b.absent(ctx, "grow", volume, err))
	}
	if before.QuotaBytes != Unlimited && before.QuotaBytes >= sizeBytes {
		return Info{Volume: volume, SizeBytes: before.QuotaBytes}, nil
	}
	if err := mayBeFirstQuota(volume, before, sizeBytes); err != nil {
		return Info{}, err
	}
	if err := b.store(volume).SetQuota(ctx, volume, sizeBytes); err != nil {
		return Info{}, err
	}
	after, err := b.store(volume).Quota(ctx, volume)
	if err == nil {
		err = wantQuota(volume, after, sizeBytes)
	}
	return Info{Volume: volume, SizeBytes: after.QuotaBytes}, afterWrite(err)
}

func (b cephfsBackend) Delete(ctx context.Context, volume Volume) error {
	err := b.absent(ctx, "delete", volume, b.store(volume).Remove(ctx, volume))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// absent says so if it is the file system that is not there. It was perhaps only renamed:
// its volumes must not count as deleted.
func (b cephfsBackend) absent(ctx context.Context, verb string, volume Volume, err error) error {
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrNoSuchPlace) {
		if _, gone := fileSystemOf(ctx, b.fileSystems.FileSystems, verb, volume); gone != nil {
			return gone
		}
	}
	return err
}

func (b cephfsBackend) Stat(ctx context.Context, volume Volume) (Info, error) {
	found, err := b.store(volume).Inspect(ctx, volume)
	if err != nil {
		return Info{}, err
	}
	home, err := fileSystemOf(ctx, b.fileSystems.RecentFileSystems, "read", volume)
	return home.addTo(describe(volume, found)), err
}

func describe(volume Volume, found CephFSInfo) Info {
	volume.Path = found.Path
	return Info{
		Volume: volume, SizeBytes: found.QuotaBytes, DataPool: found.DataPool, Namespace: found.Namespace, Owner: found.Owner,
	}
}

// wantQuota holds the promise that the quota is exactly what was asked for.
func wantQuota(volume Volume, found CephFSInfo, quotaBytes int64) error {
	if found.QuotaBytes == quotaBytes {
		return nil
	}
	return &Error{
		Cause: ErrQuotaMismatch, Op: "check the quota of " + volume.String(),
		Detail: fmt.Sprintf("set %d bytes, read %d", quotaBytes, found.QuotaBytes),
		Remedy: "see whether someone else changes it, and whether the cluster's release supports quotas",
		Wrote:  true,
	}
}
