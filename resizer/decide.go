package resizer

import (
	corev1 "k8s.io/api/core/v1"

	"ceph.example/ceph-provisioner/pvspec"
)

// step is the next thing to do for a claim.
type step string

const (
	stepNothing     step = "nothing"
	stepGrow        step = "grow"         // the volume is smaller than the claim asks for
	stepNodePending step = "node pending" // the volume has grown; the kubelet must grow the file system on it
	stepFinish      step = "finish"       // the volume has grown, and nobody else takes part
)

// decide says what a claim and its volume, as read from the API server, call
// for. provisioners are the names whose volumes are ours.
func decide(claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume, provisioners []string) step {
	switch requested := claim.Spec.Resources.Requests[corev1.ResourceStorage]; {
	case !belong(claim, pv) || !pvspec.ProvisionedBy(pv, provisioners):
		return stepNothing
	case requested.Cmp(capacity(claim.Status.Capacity)) <= 0:
		return stepNothing
	case requested.Cmp(capacity(pv.Spec.Capacity)) > 0:
		return stepGrow
	case !needsNode(claim, pv):
		return stepFinish
	case !isNodePending(claim):
		return stepNodePending
	}
	return stepNothing
}

// belong compares UIDs too: a claim that was deleted and made again under the
// same name must not grow the volume of the old one.
func belong(claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) bool {
	ref := pv.Spec.ClaimRef
	return claim.DeletionTimestamp == nil && pv.DeletionTimestamp == nil &&
		claim.Status.Phase == corev1.ClaimBound && claim.Spec.VolumeName == pv.Name &&
		ref != nil && ref.UID == claim.UID && ref.Namespace == claim.Namespace && ref.Name == claim.Name
}

// needsNode reports whether the growth ends on a node: a file system on an RBD
// image grows where it is mounted, and only the kubelet may say that it has.
func needsNode(claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) bool {
	block := claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode == corev1.PersistentVolumeBlock
	return pv.Spec.RBD != nil && !block
}

func isNodePending(claim *corev1.PersistentVolumeClaim) bool {
	for _, condition := range claim.Status.Conditions {
		if condition.Type == corev1.PersistentVolumeClaimFileSystemResizePending && condition.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}

// wantsGrowth is the cheap look at a claim alone that spares the rest: almost
// all claims of a cluster are as large as they ask to be.
func wantsGrowth(claim *corev1.PersistentVolumeClaim) bool {
	requested := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	return claim.Status.Phase == corev1.ClaimBound && requested.Cmp(capacity(claim.Status.Capacity)) > 0
}
