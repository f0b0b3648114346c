package main

import (
	"context"
	"path"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/controller"

	"ceph.example/ceph-provisioner/cephclient"
)

// provisioner makes volumes of which only Kubernetes knows, but for what the steps do.
type provisioner struct {
	kind  kind
	steps steps
}

// Provision implements [controller.Provisioner].
func (p provisioner) Provision(ctx context.Context, options controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	size := options.PVC.Spec.Resources.Requests[corev1.ResourceStorage]
	if err := p.steps.create(ctx, volumeName(options.PVName), size.Value()); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: options.PVName},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *options.StorageClass.ReclaimPolicy,
			AccessModes:                   options.PVC.Spec.AccessModes,
			VolumeMode:                    options.PVC.Spec.VolumeMode,
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: size},
			PersistentVolumeSource:        p.source(options),
		},
	}, controller.ProvisioningFinished, nil
}

// volumeName is called as the controller's volumes are. The library calls a
// PersistentVolume pvc-<UID of the claim>.
func volumeName(pv string) string { return "kubernetes-dynamic-" + pv }

// source says what a kubelet would mount. None does.
func (p provisioner) source(options controller.ProvisionOptions) corev1.PersistentVolumeSource {
	name, class := volumeName(options.PVName), options.StorageClass.Parameters
	monitors := []string{class["monitors"]}
	user := &corev1.SecretReference{Name: class["userSecretName"], Namespace: class["userSecretNamespace"]}
	if p.kind == rbdImage {
		return corev1.PersistentVolumeSource{RBD: &corev1.RBDPersistentVolumeSource{
			CephMonitors: monitors, RBDPool: pool, RBDImage: name, RadosUser: class["userId"], SecretRef: user,
		}}
	}
	return corev1.PersistentVolumeSource{CephFS: &corev1.CephFSPersistentVolumeSource{
		Monitors: monitors, Path: path.Join(p.kind.root(), name), User: class["userId"], SecretRef: user,
	}}
}

// Delete implements [controller.Provisioner].
func (p provisioner) Delete(ctx context.Context, pv *corev1.PersistentVolume) error {
	return p.steps.remove(ctx, volumeName(pv.Name))
}

// access leads the resizer to the steps.
type access struct{ steps steps }

// Open implements [resizer.Access].
func (a access) Open(_ context.Context, pv *corev1.PersistentVolume) (cephclient.Backend, cephclient.Volume, error) {
	return grower{steps: a.steps}, cephclient.Volume{Name: volumeName(pv.Name)}, nil
}

// grower is the part of a backend that the resizer uses.
type grower struct {
	cephclient.Backend
	steps steps
}

// Grow implements [cephclient.Backend].
func (g grower) Grow(ctx context.Context, volume cephclient.Volume, sizeBytes int64) (cephclient.Info, error) {
	err := g.steps.grow(ctx, volume.Name, sizeBytes)
	return cephclient.Info{Volume: volume, SizeBytes: sizeBytes}, err
}
