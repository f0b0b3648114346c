package provisioner

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// mayRemove refuses to delete what somebody else needs. Names of directories that are chosen
// come again, and ceph.com/cephfs gave a claim that was made again the data of the one
// before: mark is what ours says of its owner, if it says anything, and gone says that it
// is gone, and that what is there now is that of a claim which came later, with its user and
// secret.
func (p *Provisioner) mayRemove(ctx context.Context, cluster cephclient.Cluster, backend cephclient.Backend, pv *corev1.PersistentVolume, source pvspec.Source) (mark string, gone bool, err error) {
	volume := source.Volume
	if !volume.IsDirectory() {
		return "", false, p.alone(ctx, cluster, source.Admin, pv)
	}
	info, err := backend.Stat(ctx, volume)
	if err != nil && !errors.Is(err, cephclient.ErrNotFound) {
		return "", false, err
	}
	owner, marked := cephclient.ParseOwner(info.Owner)
	if !marked {
		return "", false, p.alone(ctx, cluster, source.Admin, pv)
	}
	here, err := p.here.id(ctx)
	if err != nil {
		return "", false, err
	}
	if owner.Installation == here && owner.PersistentVolume == pv.Name {
		return info.Owner, false, p.alone(ctx, cluster, source.Admin, pv)
	}
	if owner.Installation == here && p.liesAt(ctx, owner.PersistentVolume, volume.Path) {
		return "", true, nil
	}
	return "", false, fmt.Errorf("%s is marked as that of PersistentVolume %s of installation %s, so it is not deleted: if nobody needs it, remove the mark in a mount of the file system (setfattr -x user.%s %s); to keep it, delete this PersistentVolume by hand (kubectl delete pv)",
		volume, owner.PersistentVolume, owner.Installation, cephclient.OwnerKey, volume.Path)
}

// liesAt holds a mark, which pods can write, against what they can't.
func (p *Provisioner) liesAt(ctx context.Context, volume, path string) bool {
	pv, err := p.client.CoreV1().PersistentVolumes().Get(ctx, volume, metav1.GetOptions{})
	return err == nil && pv.Spec.CephFS != nil && pvspec.CleanPath(pv.Spec.CephFS.Path) == path
}

// alone refuses what another PersistentVolume may lead to, or into, as well.
func (p *Provisioner) alone(ctx context.Context, cluster cephclient.Cluster, admin pvspec.Identity, pv *corev1.PersistentVolume) error {
	volumes, err := p.volumes.List(labels.Everything())
	if err != nil {
		return err
	}
	for _, other := range volumes {
		if other.Name != pv.Name && pvspec.MayHold(pv, other) && p.mayBeIn(ctx, cluster, admin, other) {
			return fmt.Errorf("PersistentVolume %s leads to the same data, so nothing is deleted as long as both are there: to keep the data, delete this PersistentVolume by hand (kubectl delete pv %s)", other.Name, pv.Name)
		}
	}
	return nil
}

// mayBeIn reports whether a PV may be in a cluster. Its monitors may be others of the same
// cluster, or those that it had before: only another fsid is proof, and not to know is none.
func (p *Provisioner) mayBeIn(ctx context.Context, cluster cephclient.Cluster, admin pvspec.Identity, pv *corev1.PersistentVolume) bool {
	there, source, err := p.access.Locate(ctx, pv)
	if err != nil || slices.ContainsFunc(there.Monitors, func(monitor string) bool { return slices.Contains(cluster.Monitors, monitor) }) {
		return true
	}
	other, err := p.access.FSID(ctx, there, source.Admin)
	if err != nil {
		return true
	}
	here, err := p.access.FSID(ctx, cluster, admin)
	return err != nil || here == other
}
