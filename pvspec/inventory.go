package pvspec

import (
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"ceph.example/ceph-provisioner/cephclient"
)

// Place is where a class has its volumes made.
func (p Parameters) Place() cephclient.Place {
	return cephclient.Place{Kind: p.Kind, Container: p.Container, Root: p.Root, Group: p.Group}
}

// ClaimUIDIn returns what follows the prefix that volumes are called by: the UID of
// their claim, or something random if kubernetes.io/rbd or ceph.com made them.
func ClaimUIDIn(name string) (uid string, ok bool) { return strings.CutPrefix(name, namePrefix) }

// IsNamedFor reports whether a volume has the name that it was given when it was made
// for its owner. A copy of an image has the mark of the first, but another name.
func IsNamedFor(volume cephclient.Volume, owner cephclient.Owner) bool {
	return volume.Name == namePrefix+owner.ClaimUID ||
		volume.IsDirectory() && volume.Group == owner.Namespace && volume.Name == owner.Claim
}

// OwnUserFor is how the user is called that a CephFS volume has for itself, if it has.
func OwnUserFor(volume cephclient.Volume) string {
	if uid, named := ClaimUIDIn(volume.Name); named {
		return userPrefix + uid
	}
	return deterministicUser(volume)
}

// IsClaimsUser reports whether a user is called after the claim's name, so that the next
// claim of that name gets it.
func IsClaimsUser(id string, owner cephclient.Owner) bool {
	return id == deterministicUser(cephclient.Volume{Group: owner.Namespace, Name: owner.Claim})
}

// UserOfSecret returns whose key stands in a secret that was made for a single volume.
func UserOfSecret(name string) (id string, ok bool) {
	id, prefixed := strings.CutPrefix(name, "ceph-")
	id, ok = strings.CutSuffix(id, "-secret")
	return id, ok && prefixed
}

// IsUserOf reports whether the user of that name was made for the owner of a volume.
func IsUserOf(id string, owner cephclient.Owner) bool {
	return id == userPrefix+owner.ClaimUID || IsClaimsUser(id, owner)
}

// CapacityBytes is the capacity of a PV.
func CapacityBytes(pv *corev1.PersistentVolume) int64 {
	return pv.Spec.Capacity.Storage().Value()
}

// IsGrowing reports whether a claim asks for more than its PV has, or is being grown.
func IsGrowing(claim *corev1.PersistentVolumeClaim, capacityBytes int64) bool {
	return claim.Spec.Resources.Requests.Storage().Value() > capacityBytes ||
		len(claim.Status.AllocatedResourceStatuses) > 0 || len(claim.Status.Conditions) > 0
}

// IsBeingDeleted reports whether parts of a PV's volume may be gone, because somebody is
// at it.
func IsBeingDeleted(pv *corev1.PersistentVolume) bool {
	return pv.DeletionTimestamp != nil ||
		pv.Status.Phase == corev1.VolumeReleased && pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete
}

// Mentions returns what a PV says that may name a volume, user or secret, whoever made
// it: its image or path, or what a CSI driver goes by.
func Mentions(pv *corev1.PersistentVolume) []string {
	var said []string
	secret := func(ref *corev1.SecretReference) {
		if ref != nil {
			said = append(said, ref.Name)
		}
	}
	switch spec := pv.Spec; {
	case spec.RBD != nil:
		said = []string{spec.RBD.RBDImage}
		secret(spec.RBD.SecretRef)
	case spec.CephFS != nil:
		said = []string{CleanPath(spec.CephFS.Path), spec.CephFS.User}
		secret(spec.CephFS.SecretRef)
	case spec.CSI != nil:
		said = []string{spec.CSI.VolumeHandle}
		for _, value := range spec.CSI.VolumeAttributes {
			said = append(said, value)
		}
		secret(spec.CSI.NodeStageSecretRef)
		secret(spec.CSI.NodePublishSecretRef)
	}
	return said
}

// MayHold reports whether another PV, whoever made it, may lead to what the volume of a PV
// holds, if both are in one Ceph cluster.
func MayHold(pv, other *corev1.PersistentVolume) bool {
	here, there := &pv.Spec, &other.Spec
	switch {
	case here.RBD != nil && there.RBD != nil:
		return here.RBD.RBDPool == there.RBD.RBDPool && here.RBD.RBDImage == there.RBD.RBDImage
	case here.CephFS != nil && there.CephFS != nil:
		return isWithin(there.CephFS.Path, here.CephFS.Path)
	case here.CephFS != nil && there.CSI != nil:
		return csiSays(there.CSI, here.CephFS.Path) || isWithin(there.CSI.VolumeAttributes["rootPath"], here.CephFS.Path)
	case here.RBD != nil && there.CSI != nil:
		return csiSays(there.CSI, here.RBD.RBDImage)
	}
	return false
}

// csiSays reports whether a CSI driver may go by the name of a dynamic volume, which is an
// image's, or part of a path.
func csiSays(csi *corev1.CSIPersistentVolumeSource, place string) bool {
	_, uid, _ := strings.Cut(place, namePrefix)
	uid, _, _ = strings.Cut(uid, "/")
	if uid == "" {
		return false
	}
	for _, said := range csi.VolumeAttributes {
		if strings.Contains(said, uid) {
			return true
		}
	}
	return strings.Contains(csi.VolumeHandle, uid)
}

// CleanPath is a path as nodes mount it, which may lack the first slash.
func CleanPath(written string) string { return path.Clean("/" + written) }

func isWithin(inner, outer string) bool {
	return inner != "" && strings.HasPrefix(strings.TrimSuffix(CleanPath(inner), "/")+"/", strings.TrimSuffix(CleanPath(outer), "/")+"/")
}
