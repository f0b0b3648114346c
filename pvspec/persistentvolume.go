package pvspec

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ceph.example/ceph-provisioner/cephclient"
)

// PersistentVolume describes a volume that has been made. Claim reference, class
// name and provisioner annotation are added by the library. The monitors are
// those of cluster, which nodes need as IP addresses: they may not resolve the
// names that pods do.
func (r Request) PersistentVolume(
	name string, class *storagev1.StorageClass, claim *corev1.PersistentVolumeClaim,
	cluster cephclient.Cluster, info cephclient.Info,
) *corev1.PersistentVolume {
	policy := corev1.PersistentVolumeReclaimDelete
	if class.ReclaimPolicy != nil {
		policy = *class.ReclaimPolicy
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: r.annotations(info)},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: policy,
			AccessModes:                   claim.Spec.AccessModes,
			VolumeMode:                    claim.Spec.VolumeMode,
			MountOptions:                  mountOptions(class.MountOptions, info),
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: Quantity(info.SizeBytes)},
			PersistentVolumeSource:        r.source(claim, cluster, info),
		},
	}
}

// Complete adds what the library adds to a PersistentVolume before it stores it.
func Complete(pv *corev1.PersistentVolume, class *storagev1.StorageClass, claim *corev1.PersistentVolumeClaim) {
	pv.Spec.StorageClassName = class.Name
	pv.Spec.ClaimRef = &corev1.ObjectReference{
		APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
	}
	metav1.SetMetaDataAnnotation(&pv.ObjectMeta, annotationProvisionedBy, class.Provisioner)
}

// fileSystemOptions are those that name a file system: to kernels (mds_namespace, and fs
// since 5.7), and to ceph-fuse.
var fileSystemOptions = []string{"mds_namespace=", "fs=", "client_fs=", "client_mds_namespace="}

// mountOptions are the class's. An in-tree volume has no field for its file system, so
// nodes mount the cluster's default one unless an option names another. mds_namespace
// is what every kernel understands.
func mountOptions(options []string, info cephclient.Info) []string {
	named := slices.ContainsFunc(options, func(option string) bool {
		return slices.ContainsFunc(fileSystemOptions, func(name string) bool { return strings.HasPrefix(option, name) })
	})
	if !info.NotDefaultFileSystem || named {
		return options
	}
	return append(slices.Clone(options), "mds_namespace="+info.Volume.Container)
}

// Quantity writes a number of bytes the way kubectl shows sizes.
func Quantity(bytes int64) resource.Quantity {
	return *resource.NewQuantity(bytes, resource.BinarySI)
}

func (r Request) annotations(info cephclient.Info) map[string]string {
	annotations := map[string]string{
		annotationAdminID:              r.Admin.ID,
		annotationAdminSecretName:      r.Admin.Secret.Name,
		annotationAdminSecretNamespace: r.Admin.Secret.Namespace,
		annotationBackend:              backendRBD,
	}
	switch {
	case info.Volume.IsDirectory():
		annotations[annotationBackend] = backendDirectory
		annotations[annotationFileSystem] = info.Volume.Container
		annotations[annotationClaimRoot] = info.Volume.Root
	case r.Kind == cephclient.CephFS:
		annotations[annotationBackend] = backendSubvolume
		annotations[annotationFileSystem] = info.Volume.Container
		annotations[annotationSubvolumeGroup] = info.Volume.Group
		annotations[annotationSubvolume] = info.Volume.Name
	}
	return annotations
}

func (r Request) source(claim *corev1.PersistentVolumeClaim, cluster cephclient.Cluster, info cephclient.Info) corev1.PersistentVolumeSource {
	var secret *corev1.SecretReference
	if r.User.Secret.Name != "" {
		secret = &corev1.SecretReference{Namespace: r.User.Secret.Namespace, Name: r.User.Secret.Name}
	}
	if r.Kind == cephclient.CephFS {
		return corev1.PersistentVolumeSource{CephFS: &corev1.CephFSPersistentVolumeSource{
			Monitors:  cluster.Monitors,
			Path:      info.Volume.Path,
			User:      r.User.ID,
			SecretRef: secret,
		}}
	}
	rbd := &corev1.RBDPersistentVolumeSource{
		CephMonitors: cluster.Monitors,
		RBDPool:      info.Volume.Container,
		RBDImage:     info.Volume.Name,
		RadosUser:    r.User.ID,
		Keyring:      r.Keyring,
		SecretRef:    secret,
	}
	if !isBlock(claim) {
		rbd.FSType = r.FSType
	}
	return corev1.PersistentVolumeSource{RBD: rbd}
}
