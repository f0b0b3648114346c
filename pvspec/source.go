package pvspec

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/util"

	"ceph.example/ceph-provisioner/cephclient"
)

// Source is what a PersistentVolume leads back to: the volume in Ceph, where it
// is, and who may change it.
type Source struct {
	Volume   cephclient.Volume
	Monitors []string // host:port; hosts may be names in PVs of old provisioners
	Admin    Identity
}

// ProvisionedBy reports whether one of the named provisioners made the PV and
// still answers for it: not once CSI migration has taken it over.
func ProvisionedBy(pv *corev1.PersistentVolume, names []string) bool {
	return !Migrated(pv) && slices.Contains(names, pv.Annotations[annotationProvisionedBy])
}

// Migrated reports whether CSI migration has taken the PV over.
func Migrated(pv *corev1.PersistentVolume) bool {
	_, migrated := pv.Annotations[annotationMigratedTo]
	return migrated
}

// NeedsClass reports whether the PV lacks the annotations that name the admin
// identity, as those of kubernetes.io/rbd and ceph.com/rbd do: then its
// StorageClass must tell.
func NeedsClass(pv *corev1.PersistentVolume) bool {
	return pv.Annotations[annotationAdminSecretName] == ""
}

// FromPersistentVolume reads a PV. The class is asked only if [NeedsClass]; nil
// means that it is gone.
func FromPersistentVolume(pv *corev1.PersistentVolume, class *storagev1.StorageClass) (Source, error) {
	volume, err := volumeOf(pv)
	if err != nil {
		return Source{}, fmt.Errorf("PersistentVolume %s: %w", pv.Name, err)
	}
	monitors, err := MonitorsOf(pv)
	if err != nil {
		return Source{}, fmt.Errorf("PersistentVolume %s: monitors: %w", pv.Name, err)
	}
	admin, err := adminOf(pv, class)
	if err != nil {
		return Source{}, fmt.Errorf("PersistentVolume %s: %w", pv.Name, err)
	}
	return Source{Volume: volume, Monitors: monitors, Admin: admin}, nil
}

func volumeOf(pv *corev1.PersistentVolume) (cephclient.Volume, error) {
	switch {
	case pv.Spec.RBD != nil:
		rbd := pv.Spec.RBD
		if rbd.RBDPool == "" || rbd.RBDImage == "" {
			return cephclient.Volume{}, fmt.Errorf("it names no pool or no image")
		}
		return cephclient.Volume{Kind: cephclient.RBD, Container: rbd.RBDPool, Name: rbd.RBDImage}, nil
	case pv.Spec.CephFS != nil:
		return cephfsVolumeOf(pv)
	}
	return cephclient.Volume{}, fmt.Errorf("it is neither an rbd nor a cephfs volume")
}

func cephfsVolumeOf(pv *corev1.PersistentVolume) (cephclient.Volume, error) {
	root, isDirectory := pv.Annotations[annotationClaimRoot]
	switch {
	case isDirectory:
		return directoryOf(pv, root)
	case isLegacyShare(pv):
		return legacyShareOf(pv)
	}
	return subvolumeOf(pv)
}

// subvolumeOf holds the annotations against the path, which can't be edited: a
// PV must never lead to a subvolume other than the one it mounts.
func subvolumeOf(pv *corev1.PersistentVolume) (cephclient.Volume, error) {
	volume := cephclient.Volume{
		Kind:      cephclient.CephFS,
		Container: pv.Annotations[annotationFileSystem],
		Group:     pv.Annotations[annotationSubvolumeGroup],
		Name:      pv.Annotations[annotationSubvolume],
		Path:      pv.Spec.CephFS.Path,
	}
	if volume.Container == "" || volume.Group == "" || volume.Name == "" {
		return volume, fmt.Errorf("it lacks the annotations %s, %s or %s, so its subvolume is not known",
			annotationFileSystem, annotationSubvolumeGroup, annotationSubvolume)
	}
	home := volumesRoot + volume.Group + "/" + volume.Name
	isPart := !strings.Contains(volume.Group, "/") && !strings.Contains(volume.Name, "/")
	if p := volume.Path; !isPart || path.Clean(p) != p || p != home && !strings.HasPrefix(p, home+"/") {
		return volume, fmt.Errorf("its path %s is not below %s, which its annotations name", p, home)
	}
	return volume, nil
}

func adminOf(pv *corev1.PersistentVolume, class *storagev1.StorageClass) (Identity, error) {
	if !NeedsClass(pv) {
		return Identity{
			ID: cmp.Or(pv.Annotations[annotationAdminID], defaultAdminID),
			Secret: SecretRef{
				Namespace: cmp.Or(pv.Annotations[annotationAdminSecretNamespace], defaultAdminSecretNamespace),
				Name:      pv.Annotations[annotationAdminSecretName],
			},
		}, nil
	}
	if class == nil {
		remedy := fmt.Sprintf("set %s, %s and %s on the volume", annotationAdminID, annotationAdminSecretName, annotationAdminSecretNamespace)
		if name := util.GetPersistentVolumeClass(pv); name != "" {
			return Identity{}, fmt.Errorf("it has no annotation %s, and its StorageClass %q is gone: create the class again, or %s", annotationAdminSecretName, name, remedy)
		}
		return Identity{}, fmt.Errorf("it has no annotation %s, and names no StorageClass: %s", annotationAdminSecretName, remedy)
	}
	admin, err := parseAdmin(class)
	if err != nil {
		return Identity{}, fmt.Errorf("StorageClass %q: %w", class.Name, err)
	}
	return admin, nil
}
