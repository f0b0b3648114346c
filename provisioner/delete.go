package provisioner

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/controller"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// ShouldDelete implements [controller.DeletionGuard] on what the informer has. The
// library itself looks at phase and policy only. A volume without a claimRef has been
// made available to the next claim; kube-controller-manager writes its new phase a
// moment later.
func (p *Provisioner) ShouldDelete(_ context.Context, pv *corev1.PersistentVolume) bool {
	return pv.Spec.ClaimRef != nil && !pvspec.Migrated(pv) // else CSI migration answers for it
}

// Delete implements [controller.Provisioner], from what the volume and its
// secret say. Deleting what is absent succeeds.
func (p *Provisioner) Delete(ctx context.Context, pv *corev1.PersistentVolume) error {
	if err := p.stillReleased(ctx, pv); err != nil {
		return err
	}
	cluster, source, err := p.access.Locate(ctx, pv)
	if err != nil {
		return err
	}
	backend, err := p.access.Backend(ctx, source.Volume.Kind, cluster, source.Admin)
	if err != nil {
		return err
	}
	if gone, err := p.mayRemove(ctx, cluster, backend, pv, source.Volume); err != nil || gone {
		return err
	}
	if err := backend.Delete(ctx, source.Volume); err != nil {
		return err
	}
	return p.revoke(ctx, cluster, source, pv)
}

// stillReleased asks the API server whether the volume is to be deleted, because data
// that somebody wants to keep after all must not depend on how old a cache is. It
// returns a [controller.IgnoredError] where the next event of the volume will tell.
func (p *Provisioner) stillReleased(ctx context.Context, pv *corev1.PersistentVolume) error {
	now, err := p.client.CoreV1().PersistentVolumes().Get(ctx, pv.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) || err == nil && now.UID != pv.UID:
		return &controller.IgnoredError{Reason: "PersistentVolume " + pv.Name + " is gone"}
	case err != nil:
		return fmt.Errorf("read PersistentVolume %s before it is deleted: %w", pv.Name, err)
	case now.Status.Phase != corev1.VolumeReleased, now.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete,
		!p.ShouldDelete(ctx, now):
		return &controller.IgnoredError{Reason: "PersistentVolume " + pv.Name + " is not to be deleted any more"}
	}
	ref := now.Spec.ClaimRef
	claim, err := p.client.CoreV1().PersistentVolumeClaims(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) || err == nil && claim.UID != ref.UID:
		return nil
	case err != nil:
		return fmt.Errorf("look whether claim %s/%s is gone: %w", ref.Namespace, ref.Name, err)
	}
	return fmt.Errorf("PersistentVolume %s is Released, but its claim %s/%s is there: nothing is deleted as long as it is", pv.Name, ref.Namespace, ref.Name)
}

// mayRemove refuses to delete a directory that somebody else needs: names that are
// chosen come again, and ceph.com/cephfs gave a claim that was made again the data of
// the one before. gone says that our own directory is gone, and that what is there now
// is that of a claim which came later, with its user and secret.
func (p *Provisioner) mayRemove(ctx context.Context, cluster cephclient.Cluster, backend cephclient.Backend, pv *corev1.PersistentVolume, volume cephclient.Volume) (gone bool, err error) {
	if !volume.IsDirectory() {
		return false, nil
	}
	if err := p.alone(ctx, cluster, pv); err != nil {
		return false, err
	}
	info, err := backend.Stat(ctx, volume)
	owner, marked := cephclient.ParseOwner(info.Owner)
	if err != nil || !marked {
		return false, nil // Delete itself will say what is wrong
	}
	here, err := p.here.id(ctx)
	if err != nil || owner.Installation == here && owner.PersistentVolume == pv.Name {
		return false, err
	}
	if owner.Installation == here && p.liesAt(ctx, owner.PersistentVolume, volume.Path) {
		return true, nil
	}
	return false, fmt.Errorf("%s is marked as that of PersistentVolume %s of installation %s, so it is not deleted: if nobody needs it, remove the mark in a mount of the file system (setfattr -x user.%s %s); to keep it, delete this PersistentVolume by hand (kubectl delete pv)",
		volume, owner.PersistentVolume, owner.Installation, cephclient.OwnerKey, volume.Path)
}

// liesAt holds a mark, which pods can write, against what they can't.
func (p *Provisioner) liesAt(ctx context.Context, volume, path string) bool {
	pv, err := p.client.CoreV1().PersistentVolumes().Get(ctx, volume, metav1.GetOptions{})
	return err == nil && pv.Spec.CephFS != nil && pv.Spec.CephFS.Path == path
}

// alone refuses a directory that another PersistentVolume lies in as well.
func (p *Provisioner) alone(ctx context.Context, cluster cephclient.Cluster, pv *corev1.PersistentVolume) error {
	volumes, err := p.volumes.List(labels.Everything())
	if err != nil {
		return err
	}
	home := pv.Spec.CephFS.Path + "/"
	for _, other := range volumes {
		source := other.Spec.CephFS
		if other.UID != pv.UID && source != nil && strings.HasPrefix(source.Path+"/", home) && p.mayBeIn(ctx, cluster, source.Monitors) {
			return fmt.Errorf("PersistentVolume %s lies in the same directory %s, so nothing is deleted as long as both are there: to keep the data, delete this PersistentVolume by hand (kubectl delete pv %s)", other.Name, pv.Spec.CephFS.Path, pv.Name)
		}
	}
	return nil
}

// mayBeIn reports whether monitors, as an old volume has them from its class, may be
// those of a cluster: one that is the same suffices, and not to know is no proof.
func (p *Provisioner) mayBeIn(ctx context.Context, cluster cephclient.Cluster, monitors []string) bool {
	parsed, err := pvspec.ParseMonitors(strings.Join(monitors, ","))
	if err != nil {
		return true
	}
	other, err := p.access.Cluster(ctx, parsed)
	return err != nil || slices.ContainsFunc(other.Monitors, func(monitor string) bool {
		return slices.Contains(cluster.Monitors, monitor)
	})
}
