package resizer

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// annotationPreResizeCapacity tells the kubelet from which size the file system
// grows (k8s.io/kubernetes pkg/volume/util/resize_util.go).
const annotationPreResizeCapacity = "volume.alpha.kubernetes.io/pre-resize-capacity"

func capacity(list corev1.ResourceList) resource.Quantity { return list[corev1.ResourceStorage] }

// The mark functions change one state of a claim each. They are given a copy.
// With the feature gate RecoverVolumeExpansionFailure off, the API server drops
// the allocated resources and their statuses, so writing them is always safe.

func markInProgress(claim *corev1.PersistentVolumeClaim) {
	dropCondition(claim, corev1.PersistentVolumeClaimFileSystemResizePending) // of an earlier growth
	setCondition(claim, corev1.PersistentVolumeClaimResizing)
	setResourceStatus(claim, corev1.PersistentVolumeClaimControllerResizeInProgress)
	setAllocated(claim)
}

func markFailed(claim *corev1.PersistentVolumeClaim) {
	setResourceStatus(claim, corev1.PersistentVolumeClaimControllerResizeFailed)
}

func markNodePending(claim *corev1.PersistentVolumeClaim) {
	dropCondition(claim, corev1.PersistentVolumeClaimResizing)
	setCondition(claim, corev1.PersistentVolumeClaimFileSystemResizePending)
	setResourceStatus(claim, corev1.PersistentVolumeClaimNodeResizePending)
	setAllocated(claim)
}

func markFinished(claim *corev1.PersistentVolumeClaim, size resource.Quantity) {
	dropCondition(claim, corev1.PersistentVolumeClaimResizing)
	dropCondition(claim, corev1.PersistentVolumeClaimFileSystemResizePending)
	claim.Status.Capacity = with(claim.Status.Capacity, size)
	claim.Status.AllocatedResources = with(claim.Status.AllocatedResources, size)
	delete(claim.Status.AllocatedResourceStatuses, corev1.ResourceStorage)
}

// grow gives a volume its new size, and remembers the old one where the kubelet asks for it.
func grow(pv *corev1.PersistentVolume, size resource.Quantity, before resource.Quantity, needsNode bool) {
	if _, remembered := pv.Annotations[annotationPreResizeCapacity]; needsNode && !remembered {
		metav1.SetMetaDataAnnotation(&pv.ObjectMeta, annotationPreResizeCapacity, before.String())
	}
	pv.Spec.Capacity = with(pv.Spec.Capacity, size)
}

func with(list corev1.ResourceList, size resource.Quantity) corev1.ResourceList {
	list = maps.Clone(list)
	if list == nil {
		list = corev1.ResourceList{}
	}
	list[corev1.ResourceStorage] = size
	return list
}

func setAllocated(claim *corev1.PersistentVolumeClaim) {
	claim.Status.AllocatedResources = with(claim.Status.AllocatedResources, capacity(claim.Spec.Resources.Requests))
}

func setResourceStatus(claim *corev1.PersistentVolumeClaim, status corev1.ClaimResourceStatus) {
	if claim.Status.AllocatedResourceStatuses == nil {
		claim.Status.AllocatedResourceStatuses = map[corev1.ResourceName]corev1.ClaimResourceStatus{}
	}
	claim.Status.AllocatedResourceStatuses[corev1.ResourceStorage] = status
}

func setCondition(claim *corev1.PersistentVolumeClaim, kind corev1.PersistentVolumeClaimConditionType) {
	for i := range claim.Status.Conditions {
		if condition := &claim.Status.Conditions[i]; condition.Type == kind {
			condition.Status = corev1.ConditionTrue
			return
		}
	}
	claim.Status.Conditions = append(claim.Status.Conditions, corev1.PersistentVolumeClaimCondition{
		Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now(),
	})
}

func dropCondition(claim *corev1.PersistentVolumeClaim, kind corev1.PersistentVolumeClaimConditionType) {
	claim.Status.Conditions = slices.DeleteFunc(claim.Status.Conditions, func(c corev1.PersistentVolumeClaimCondition) bool {
		return c.Type == kind
	})
}
