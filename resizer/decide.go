package resizer

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"ceph.example/ceph-provisioner/pvspec"
)

// step is one effect: one call to Ceph or one write to Kubernetes. Between any
// two of them everything may change, and this process may end.
type step string

const (
	stepNothing  step = "nothing"
	stepBegin    step = "begin"    // tell in the claim's status what is about to be done
	stepGrow     step = "grow"     // ask Ceph, which grows the volume if it is smaller than asked for
	stepVolume   step = "volume"   // give the PersistentVolume the size that Ceph says
	stepPending  step = "pending"  // tell in the claim's status that the file system is the kubelet's to grow
	stepFinish   step = "finish"   // tell in the claim's status that it is done
	stepLook     step = "look"     // find out whether pods use the volume
	stepPostpone step = "postpone" // note the size on the PersistentVolume until no pod uses it
)

// observation is what a run has learnt besides the claim and its volume.
type observation struct {
	begun bool
	size  *resource.Quantity // what Ceph says; nil if it was not asked
	use   use
}

// use is whether pods use a claim.
type use int

const (
	useUnknown use = iota
	useNone
	useSome
)

// decide says what comes next for a claim and its volume. It depends on nothing
// but its arguments: it may be asked at any time, about any state, and each step
// leads to a state that needs fewer. class is nil if it is gone.
//
// An RBD volume's capacity rises first, because that ends what
// kube-controller-manager tries (docs/architecture.md). For CephFS the claim's
// comes first: a kubelet compares the volume's with the claim's as it was when
// the volume was mounted (docs/expansion.md).
func decide(claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume, class *storagev1.StorageClass, seen observation, o Options) step {
	asked := wanted(claim, pv)
	switch {
	case !belong(claim, pv) || !pvspec.ProvisionedBy(pv, o.Provisioners) || !mayGrow(class):
		return stepNothing
	case seen.size == nil:
		return beforeCeph(claim, pv, seen, o)
	case asked.Cmp(*seen.size) > 0:
		return stepGrow // edited meanwhile
	case pv.Spec.RBD != nil:
		return rbdAfterCeph(claim, pv, *seen.size)
	}
	return cephfsAfterCeph(claim, pv, seen, o)
}

func beforeCeph(claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume, seen observation, o Options) step {
	status, volume, asked := capacity(claim.Status.Capacity), capacity(pv.Spec.Capacity), wanted(claim, pv)
	switch {
	case needsNode(claim, pv) && isNodePending(claim) && asked.Cmp(volume) <= 0 && status.Cmp(volume) < 0:
		return stepNothing
	case asked.Cmp(status) > 0 && !seen.begun:
		return stepBegin
	case asked.Cmp(status) > 0:
		return stepGrow
	case isMarked(claim):
		return stepGrow
	case status.Cmp(volume) == 0 && !pvspec.IsPostponed(pv):
		return stepNothing
	case status.Cmp(volume) > 0 && pvspec.IsPostponedTo(pv, status) && !o.RaiseMounted:
		return whenUnused(seen.use, stepGrow)
	}
	return stepGrow
}

func rbdAfterCeph(claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume, size resource.Quantity) step {
	status, volume := capacity(claim.Status.Capacity), capacity(pv.Spec.Capacity)
	switch {
	case volume.Cmp(size) != 0:
		return stepVolume
	case needsNode(claim, pv) && status.Cmp(size) < 0:
		if isNodePending(claim) {
			return stepNothing
		}
		return stepPending
	case isMarked(claim), status.Cmp(size) != 0:
		return stepFinish
	}
	return stepNothing
}

func cephfsAfterCeph(claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume, seen observation, o Options) step {
	status, volume := capacity(claim.Status.Capacity), capacity(pv.Spec.Capacity)
	switch {
	case status.Cmp(*seen.size) != 0 || isMarked(claim):
		return stepFinish
	case volume.Cmp(*seen.size) == 0 && !pvspec.IsPostponed(pv):
		return stepNothing
	case volume.Cmp(*seen.size) >= 0 || o.RaiseMounted:
		return stepVolume
	case seen.use == useSome && !pvspec.IsPostponedTo(pv, *seen.size):
		return stepPostpone
	}
	return whenUnused(seen.use, stepVolume)
}

func whenUnused(use use, then step) step {
	switch use {
	case useUnknown:
		return stepLook
	case useSome:
		return stepNothing // see lookAgain
	}
	return then
}

// belong compares UIDs too: a claim that was deleted and made again under the
// same name must not grow the volume of the old one.
func belong(claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) bool {
	ref := pv.Spec.ClaimRef
	return claim.DeletionTimestamp == nil && pv.DeletionTimestamp == nil &&
		claim.Status.Phase == corev1.ClaimBound && claim.Spec.VolumeName == pv.Name &&
		ref != nil && ref.UID == claim.UID && ref.Namespace == claim.Namespace && ref.Name == claim.Name
}

// mayGrow leaves the claims of a class alone that does not allow growth. A class
// that is gone forbids nothing: the API server took the edit before.
func mayGrow(class *storagev1.StorageClass) bool {
	return class == nil || class.AllowVolumeExpansion != nil && *class.AllowVolumeExpansion
}

// wanted is the size that the volume must at least get: what the claim asks for.
// But a growth of CephFS that has begun and of which nobody knows the end goes on
// to its own size, also if the claim asks for less by now: the mgr may still have
// the request. RBD needs no such memory, as an image's size is known for certain
// as soon as it can be opened.
func wanted(claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) resource.Quantity {
	asked := capacity(claim.Spec.Resources.Requests)
	if begun := capacity(claim.Status.AllocatedResources); pv.Spec.CephFS != nil && begun.Cmp(asked) > 0 &&
		claim.Status.AllocatedResourceStatuses[corev1.ResourceStorage] == corev1.PersistentVolumeClaimControllerResizeInProgress {
		return begun
	}
	return asked
}

// needsNode reports whether the growth ends on a node: a file system on an RBD
// image grows where it is mounted, and only the kubelet may say that it has.
func needsNode(claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) bool {
	block := claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode == corev1.PersistentVolumeBlock
	return pv.Spec.RBD != nil && !block
}
