package provisioner

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
)

// The library adds a PersistentVolume to the informer's store when it has made it. By then
// the watch may have told that it is Released, and must be deleted.
func TestWhatTheWatchHasToldStays(t *testing.T) {
	informer := informers.NewSharedInformerFactory(fake.NewSimpleClientset(), 0).Core().V1().PersistentVolumes().Informer()
	r := Watched(informer)
	made := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pvc-1"}}
	told := made.DeepCopy()
	told.Status.Phase = corev1.VolumeReleased
	if err := informer.GetStore().Add(told); err != nil {
		t.Fatal(err)
	}
	if err := r.GetStore().Add(made); err != nil {
		t.Fatal(err)
	}
	if now, _, err := r.GetStore().GetByKey("pvc-1"); err != nil || now != any(told) {
		t.Errorf("the library finds %+v, %v", now, err)
	}
}
