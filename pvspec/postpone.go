package pvspec

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// annotationPostponedCapacity is on a CephFS volume that has grown while pods use
// it: the spec.capacity that it gets when none does any more.
const annotationPostponedCapacity = "ceph.example/postponed-capacity"

// Postpone notes on a PV which capacity it is to have later.
func Postpone(pv *corev1.PersistentVolume, size resource.Quantity) {
	metav1.SetMetaDataAnnotation(&pv.ObjectMeta, annotationPostponedCapacity, size.String())
}

// IsPostponed reports whether a PV carries such a note.
func IsPostponed(pv *corev1.PersistentVolume) bool {
	return metav1.HasAnnotation(pv.ObjectMeta, annotationPostponedCapacity)
}

// IsPostponedTo reports whether it says size.
func IsPostponedTo(pv *corev1.PersistentVolume, size resource.Quantity) bool {
	noted, err := Postponed(pv)
	return err == nil && noted.Cmp(size) == 0
}

// Postponed returns what the note says.
func Postponed(pv *corev1.PersistentVolume) (resource.Quantity, error) {
	size, err := resource.ParseQuantity(pv.Annotations[annotationPostponedCapacity])
	if err != nil || size.Sign() <= 0 {
		return resource.Quantity{}, fmt.Errorf("PersistentVolume %s: annotation %s is no size (%q): correct or remove it",
			pv.Name, annotationPostponedCapacity, pv.Annotations[annotationPostponedCapacity])
	}
	return size, nil
}

// DropPostponed removes the note.
func DropPostponed(pv *corev1.PersistentVolume) { delete(pv.Annotations, annotationPostponedCapacity) }
