package provisioner

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/controller"

	"ceph.example/ceph-provisioner/seats"
)

// seated is a provisioner each of whose calls has a seat at its cluster. The time of a
// call begins when it is seated, so the library must set none.
type seated struct {
	guardedProvisioner
	creations, deletions *seats.Seats
	timeout              time.Duration
}

var errEnding = &controller.IgnoredError{Reason: "this process ends"}

// Provision implements [controller.Provisioner].
func (s seated) Provision(ctx context.Context, options controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	leave, err := s.creations.OfClass(ctx, options.StorageClass)
	if err != nil {
		return nil, controller.ProvisioningNoChange, errEnding
	}
	defer leave()
	within, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	pv, state, err := s.guardedProvisioner.Provision(within, options)
	if err != nil && ctx.Err() != nil {
		return nil, state, errEnding // not a failure: the next leader goes on
	}
	return pv, state, err
}

// Delete implements [controller.Provisioner].
func (s seated) Delete(ctx context.Context, pv *corev1.PersistentVolume) error {
	leave, err := s.deletions.OfVolume(ctx, pv)
	if err != nil {
		return errEnding
	}
	defer leave()
	within, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if err := s.guardedProvisioner.Delete(within, pv); err == nil || ctx.Err() == nil {
		return err
	}
	return errEnding
}
