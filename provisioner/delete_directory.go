package provisioner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
func (p *Provisioner) mayRemove(ctx context.Context, cluster cephclient.Cluster, backend cephclient.Backend, pv *corev1.PersistentVolume, volume cephclient.Volume) (mark string, gone bool, err error) {
	if !volume.IsDirectory() {
		return "", false, p.alone(ctx, cluster, pv)
	}
	info, err := backend.Stat(ctx, volume)
	if err != nil && !errors.Is(err, cephclient.ErrNotFound) {
		return "", false, err
	}
	owner, marked := cephclient.ParseOwner(info.Owner)
	if !marked {
		return "", false, p.alone(ctx, cluster, pv)
	}
	here, err := p.here.id(ctx)
	if err != nil {
		return "", false, err
	}
	if owner.Installation == here && owner.PersistentVolume == pv.Name {
		return info.Owner, false, p.alone(ctx, cluster, pv)
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
func (p *Provisioner) alone(ctx context.Context, cluster cephclient.Cluster, pv *corev1.PersistentVolume) error {
	volumes, err := p.volumes.List(labels.Everything())
	if err != nil {
		return err
	}
	for _, other := range volumes {
		if other.Name != pv.Name && pvspec.MayHold(pv, other) && p.mayBeIn(ctx, cluster, other) {
			return fmt.Errorf("PersistentVolume %s leads to the same data, so nothing is deleted as long as both are there: to keep the data, delete this PersistentVolume by hand (kubectl delete pv %s)", other.Name, pv.Name)
		}
	}
	return nil
}

// mayBeIn reports whether a PV's monitors, as an old volume has them from its class, may be
// those of a cluster: one that is the same suffices, and not to know is no proof.
func (p *Provisioner) mayBeIn(ctx context.Context, cluster cephclient.Cluster, pv *corev1.PersistentVolume) bool {
	parsed, err := pvspec.ParseMonitors(strings.Join(pvspec.Addresses(pv), ","))
	if err != nil {
		return true
	}
	other, err := p.access.Cluster(ctx, parsed)
	return err != nil || slices.ContainsFunc(other.Monitors, func(monitor string) bool {
		return slices.Contains(cluster.Monitors, monitor)
	})
}
