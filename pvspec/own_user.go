package pvspec

import (
	"cmp"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"ceph.example/ceph-provisioner/cephclient"
)

// userPrefix is what the users of single volumes are called by, followed by the
// claim's UID: caps of the provisioner's identity allow users of this prefix only.
const userPrefix = "kubernetes-dynamic-user-"

// deterministicUser is what ceph.com/cephfs called the user of a claim's directory. No
// two claims share one: a namespace has no dots.
func deterministicUser(volume cephclient.Volume) string {
	return "k8s." + volume.Group + "." + volume.Name
}

// userSecretName is where the key of a single volume's user stands, as
// ceph.com/cephfs called it.
func userSecretName(id string) string { return "ceph-" + id + "-secret" }

// OwnUser is the user that was made for one volume alone, and is to be removed with it.
type OwnUser struct {
	Identity
	// Unmarked secrets do not say whose they are: ceph.com/cephfs made them.
	Unmarked bool
}

// OwnUserOf returns the user that was made for the volume of a PV alone. The names
// decide, which can't be edited: volumes with a shared user say another one.
func OwnUserOf(pv *corev1.PersistentVolume, volume cephclient.Volume) (user OwnUser, own bool) {
	source := pv.Spec.CephFS
	if source == nil || !isOwnUser(pv, source.User, volume) {
		return OwnUser{}, false
	}
	user.ID, user.Unmarked = source.User, isLegacyShare(pv)
	if ref := source.SecretRef; ref != nil && ref.Name == userSecretName(user.ID) {
		user.Secret = SecretRef{Namespace: ref.Namespace, Name: ref.Name}
		if claim := pv.Spec.ClaimRef; claim != nil { // volumes of 2017 leave the namespace out
			user.Secret.Namespace = cmp.Or(ref.Namespace, claim.Namespace)
		}
	}
	return user, true
}

func isOwnUser(pv *corev1.PersistentVolume, id string, volume cephclient.Volume) bool {
	uid, named := strings.CutPrefix(volume.Name, namePrefix)
	switch {
	case named && id == userPrefix+uid:
		return true
	case volume.IsDirectory() && id == deterministicUser(volume):
		return true
	default: // ceph.com/cephfs drew lots for the user's name
		return isLegacyShare(pv) && strings.HasPrefix(id, userPrefix)
	}
}
