package pvspec

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Annotations of a CephFS volume that has grown while pods use it.
const (
	annotationPostponedCapacity = "ceph.example/postponed-capacity" // the spec.capacity that it gets later
	annotationPostponedSince    = "ceph.example/postponed-since"    // pods that started before are waited for; RFC 3339
)

// Postpone notes on a PV which capacity it is to have when the pods are gone that
// have started until now.
func Postpone(pv *corev1.PersistentVolume, size resource.Quantity, now time.Time) {
	metav1.SetMetaDataAnnotation(&pv.ObjectMeta, annotationPostponedCapacity, size.String())
	metav1.SetMetaDataAnnotation(&pv.ObjectMeta, annotationPostponedSince, now.UTC().Format(time.RFC3339))
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

// PostponedSince returns when it was noted; the zero time if it is not known.
func PostponedSince(pv *corev1.PersistentVolume) time.Time {
	since, err := time.Parse(time.RFC3339, pv.Annotations[annotationPostponedSince])
	if err != nil {
		return time.Time{}
	}
	return since
}

// DropPostponed removes the note.
func DropPostponed(pv *corev1.PersistentVolume) {
	delete(pv.Annotations, annotationPostponedCapacity)
	delete(pv.Annotations, annotationPostponedSince)
}
