package provisioner

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/controller"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// ShouldDelete implements [controller.DeletionGuard] on what the informer has. The
// library itself looks at phase and policy only. A volume without a claimRef, or with one
// that has no UID, has been made available to the next claim, or to one of that name;
// kube-controller-manager writes its new phase a moment later.
func (p *Provisioner) ShouldDelete(_ context.Context, pv *corev1.PersistentVolume) bool {
	ref := pv.Spec.ClaimRef
	return ref != nil && ref.UID != "" && !pvspec.Migrated(pv) // else CSI migration answers for it
}

// Delete implements [controller.Provisioner], from what the volume and its
// secret say. Deleting what is absent succeeds.
func (p *Provisioner) Delete(ctx context.Context, pv *corev1.PersistentVolume) error {
	asked := time.Now()
	if err := p.stillReleased(ctx, pv); err != nil {
		return err
	}
	if err := p.unfinished.settle(ctx, pv.Name); err != nil {
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
	mark, gone, err := p.mayRemove(ctx, cluster, backend, pv, source)
	if err != nil || gone {
		return err
	}
	source.Volume.Mark = mark
	still := &recheck{last: asked, ask: func(ctx context.Context) error { return p.stillReleased(ctx, pv) }}
	if err := backend.Delete(cephclient.WithGuard(ctx, still.check), source.Volume); err != nil {
		return cmp.Or(still.refusal(), err)
	}
	return p.revoke(ctx, cluster, source, pv)
}

// recheckAfter is how old an answer may be on which something is deleted.
const recheckAfter = time.Second

// recheck asks once more where a call has waited, for others or for Ceph, since it was asked.
type recheck struct {
	ask func(context.Context) error

	mu      sync.Mutex
	last    time.Time
	refused error
}

func (r *recheck) check(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.last) < recheckAfter {
		return nil
	}
	r.last, r.refused = time.Now(), r.ask(ctx)
	return r.refused
}

func (r *recheck) refusal() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused
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
	case now.DeletionTimestamp != nil, // whoever deletes it by hand keeps its data
		now.Status.Phase != corev1.VolumeReleased, now.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete,
		!p.ShouldDelete(ctx, now):
		return &controller.IgnoredError{Reason: "PersistentVolume " + pv.Name + " is not to be deleted any more"}
	}
	ref := now.Spec.ClaimRef
	claim, err := claimNow(ctx, p.client, ref.Namespace, ref.Name, ref.UID)
	switch {
	case err != nil:
		return fmt.Errorf("look whether claim %s/%s is gone: %w", ref.Namespace, ref.Name, err)
	case claim == nil:
		return nil
	case claim.Spec.VolumeName != "" && claim.Spec.VolumeName != pv.Name:
		return nil // it has found another volume
	}
	return fmt.Errorf("PersistentVolume %s is Released, but its claim %s/%s is there: nothing is deleted as long as it is", pv.Name, ref.Namespace, ref.Name)
}
