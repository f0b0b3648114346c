package pvspec

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"ceph.example/ceph-provisioner/cephclient"
)

// userPrefix is what the users of single volumes are called by, followed by the
// claim's UID: caps of the provisioner's identity allow users of this prefix only.
const userPrefix = "kubernetes-dynamic-user-"

// userSecretName is where the key of a single volume's user stands, as
// ceph.com/cephfs called it.
func userSecretName(id string) string { return "ceph-" + id + "-secret" }

// OwnUser returns the user that was made for the volume of a PV alone, and is to be
// removed with it. The names decide: PVs of all volumes with a shared user say
// another one, and what a PV's source says can't be edited.
func OwnUser(pv *corev1.PersistentVolume, volume cephclient.Volume) (user Identity, own bool) {
	source := pv.Spec.CephFS
	uid, named := strings.CutPrefix(volume.Name, namePrefix)
	if source == nil || !named || source.User != userPrefix+uid {
		return Identity{}, false
	}
	user.ID = source.User
	if source.SecretRef != nil && source.SecretRef.Name == userSecretName(user.ID) {
		user.Secret = SecretRef{Namespace: source.SecretRef.Namespace, Name: source.SecretRef.Name}
	}
	return user, true
}
