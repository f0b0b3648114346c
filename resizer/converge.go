package resizer

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// Reasons of events, as kube-controller-manager and external-resizer name them.
const (
	reasonResizing     = "Resizing"
	reasonSuccess      = "VolumeResizeSuccessful"
	reasonFailed       = "VolumeResizeFailed"
	reasonNodeRequired = "FileSystemResizeRequired"
)

// converge does one step after the other until the claim needs none. Each
// write depends on what was read before it, and fails if that has changed.
func (r *Resizer) converge(ctx context.Context, claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) error {
	var err error
	switch decide(claim, pv, r.options.Provisioners) {
	case stepGrow:
		claim, pv, err = r.growVolume(ctx, claim, pv)
		if err != nil {
			return err
		}
		return r.converge(ctx, claim, pv)
	case stepNodePending:
		if _, err = r.patchClaimStatus(ctx, claim, markNodePending); err != nil {
			return fmt.Errorf("mark the file system's growth as pending: %w", err)
		}
	case stepFinish:
		size := capacity(pv.Spec.Capacity)
		if _, err = r.patchClaimStatus(ctx, claim, func(c *corev1.PersistentVolumeClaim) { markFinished(c, size) }); err != nil {
			return fmt.Errorf("mark the growth as finished: %w", err)
		}
		r.recorder.Eventf(claim, corev1.EventTypeNormal, reasonSuccess, "Volume %s has grown to %s", pv.Name, size.String())
	}
	return nil
}

// growVolume grows the volume in Ceph and then the PersistentVolume. The growth
// is marked before, so that what is half done shows. The objects are returned
// as the API server has them afterwards.
func (r *Resizer) growVolume(ctx context.Context, claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) (*corev1.PersistentVolumeClaim, *corev1.PersistentVolume, error) {
	requested := capacity(claim.Spec.Resources.Requests)
	claim, err := r.patchClaimStatus(ctx, claim, markInProgress)
	if err != nil {
		return nil, nil, fmt.Errorf("mark the growth as begun: %w", err)
	}
	r.recorder.Eventf(claim, corev1.EventTypeNormal, reasonResizing, "Growing volume %s to %s", pv.Name, requested.String())
	info, err := r.growInCeph(ctx, claim, pv)
	if err != nil {
		return nil, nil, r.fail(ctx, claim, err)
	}
	pv, err = r.patchVolume(ctx, pv, func(pv *corev1.PersistentVolume) {
		grow(pv, pvspec.Quantity(info.SizeBytes), capacity(claim.Status.Capacity), needsNode(claim, pv))
	})
	if err != nil {
		return nil, nil, fmt.Errorf("write the new size to PersistentVolume: %w", err)
	}
	if needsNode(claim, pv) {
		// Here and not with the mark, which kube-controller-manager may set before us.
		r.recorder.Event(claim, corev1.EventTypeNormal, reasonNodeRequired,
			"The RBD image has grown; the kubelet grows the file system on it where it is mounted, now or at the next mount")
	}
	return claim, pv, nil
}

func (r *Resizer) growInCeph(ctx context.Context, claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) (cephclient.Info, error) {
	size, err := pvspec.RequestedBytes(claim)
	if err != nil {
		return cephclient.Info{}, err
	}
	backend, volume, err := r.access.Open(ctx, pv)
	if err != nil {
		return cephclient.Info{}, err
	}
	info, err := backend.Grow(ctx, volume, size)
	if err == nil && info.SizeBytes < size {
		err = fmt.Errorf("%s has %d bytes after growing to %d: somebody else changes its size", volume, info.SizeBytes, size)
	}
	return info, err
}

// fail tells the user, and in the claim's status whether trying again can help
// by itself. It returns the error for the queue.
func (r *Resizer) fail(ctx context.Context, claim *corev1.PersistentVolumeClaim, cause error) error {
	r.recorder.Event(claim, corev1.EventTypeWarning, reasonFailed, cause.Error())
	if !cephclient.IsFinal(cause) {
		return cause
	}
	if _, err := r.patchClaimStatus(ctx, claim, markFailed); err != nil && !apierrors.IsConflict(err) {
		return errors.Join(cause, err)
	}
	return cause
}
