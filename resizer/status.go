package resizer

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ceph.example/ceph-provisioner/pvspec"
)

// annotationPreResizeCapacity tells the kubelet from which size the file system
// grows (k8s.io/kubernetes pkg/volume/util/resize_util.go).
const annotationPreResizeCapacity = "volume.alpha.kubernetes.io/pre-resize-capacity"

func capacity(list corev1.ResourceList) resource.Quantity { return list[corev1.ResourceStorage] }

// The mark functions change one state of a claim each, and the others one of a
// volume. They are given a copy. With the feature gate
// RecoverVolumeExpansionFailure off, the API server drops the allocated resources
// and their statuses, so writing them is always safe.

func markBegun(claim *corev1.PersistentVolumeClaim, size resource.Quantity) {
	dropCondition(claim, corev1.PersistentVolumeClaimFileSystemResizePending) // of an earlier growth
	condition(claim, corev1.PersistentVolumeClaimResizing)
	setResourceStatus(claim, corev1.PersistentVolumeClaimControllerResizeInProgress)
	claim.Status.AllocatedResources = with(claim.Status.AllocatedResources, size)
}

// markFailed says why. Only where it is certain that the growth has not happened
// the user may ask for less again (k8s.io/api core/v1 ClaimResourceStatus).
func markFailed(claim *corev1.PersistentVolumeClaim, cause string, certain bool) {
	resizing := condition(claim, corev1.PersistentVolumeClaimResizing)
	resizing.Reason, resizing.Message = reasonFailed, cause
	if certain {
		setResourceStatus(claim, corev1.PersistentVolumeClaimControllerResizeFailed)
	}
}

func markNodePending(claim *corev1.PersistentVolumeClaim) {
	dropCondition(claim, corev1.PersistentVolumeClaimResizing)
	condition(claim, corev1.PersistentVolumeClaimFileSystemResizePending)
	setResourceStatus(claim, corev1.PersistentVolumeClaimNodeResizePending)
	claim.Status.AllocatedResources = with(claim.Status.AllocatedResources, capacity(claim.Spec.Resources.Requests))
}

// markFinished is given the capacity that the claim has from now on.
func markFinished(claim *corev1.PersistentVolumeClaim, size resource.Quantity) {
	dropCondition(claim, corev1.PersistentVolumeClaimResizing)
	dropCondition(claim, corev1.PersistentVolumeClaimFileSystemResizePending)
	claim.Status.Capacity = with(claim.Status.Capacity, size)
	claim.Status.AllocatedResources = with(claim.Status.AllocatedResources, size)
	delete(claim.Status.AllocatedResourceStatuses, corev1.ResourceStorage)
}

// setCapacity gives a volume its size. If the kubelet has to grow a file system,
// the size that this has is remembered where the kubelet asks for it.
func setCapacity(pv *corev1.PersistentVolume, size, before resource.Quantity, needsNode bool) {
	if _, remembered := pv.Annotations[annotationPreResizeCapacity]; needsNode && before.Cmp(size) < 0 && !remembered {
		metav1.SetMetaDataAnnotation(&pv.ObjectMeta, annotationPreResizeCapacity, before.String())
	}
	pv.Spec.Capacity = with(pv.Spec.Capacity, size)
	pvspec.DropPostponed(pv)
}

// isMarked reports whether a growth is under way, or was when somebody stopped.
func isMarked(claim *corev1.PersistentVolumeClaim) bool {
	_, status := claim.Status.AllocatedResourceStatuses[corev1.ResourceStorage]
	return status || hasCondition(claim, corev1.PersistentVolumeClaimFileSystemResizePending) ||
		hasCondition(claim, corev1.PersistentVolumeClaimResizing)
}

// isNodePending reports whether the kubelet is waited for, and nobody else.
func isNodePending(claim *corev1.PersistentVolumeClaim) bool {
	return hasCondition(claim, corev1.PersistentVolumeClaimFileSystemResizePending) &&
		!hasCondition(claim, corev1.PersistentVolumeClaimResizing)
}

func hasCondition(claim *corev1.PersistentVolumeClaim, kind corev1.PersistentVolumeClaimConditionType) bool {
	return slices.ContainsFunc(claim.Status.Conditions, func(c corev1.PersistentVolumeClaimCondition) bool {
		return c.Type == kind && c.Status == corev1.ConditionTrue
	})
}

func with(list corev1.ResourceList, size resource.Quantity) corev1.ResourceList {
	list = maps.Clone(list)
	if list == nil {
		list = corev1.ResourceList{}
	}
	list[corev1.ResourceStorage] = size
	return list
}

func setResourceStatus(claim *corev1.PersistentVolumeClaim, status corev1.ClaimResourceStatus) {
	if claim.Status.AllocatedResourceStatuses == nil {
		claim.Status.AllocatedResourceStatuses = map[corev1.ResourceName]corev1.ClaimResourceStatus{}
	}
	claim.Status.AllocatedResourceStatuses[corev1.ResourceStorage] = status
}

// condition makes a condition true, and returns it.
func condition(claim *corev1.PersistentVolumeClaim, kind corev1.PersistentVolumeClaimConditionType) *corev1.PersistentVolumeClaimCondition {
	all := &claim.Status.Conditions
	at := slices.IndexFunc(*all, func(c corev1.PersistentVolumeClaimCondition) bool { return c.Type == kind })
	if at < 0 {
		at = len(*all)
		*all = append(*all, corev1.PersistentVolumeClaimCondition{Type: kind, LastTransitionTime: metav1.Now()})
	}
	(*all)[at].Status = corev1.ConditionTrue
	return &(*all)[at]
}

func dropCondition(claim *corev1.PersistentVolumeClaim, kind corev1.PersistentVolumeClaimConditionType) {
	claim.Status.Conditions = slices.DeleteFunc(claim.Status.Conditions, func(c corev1.PersistentVolumeClaimCondition) bool {
		return c.Type == kind
	})
}
