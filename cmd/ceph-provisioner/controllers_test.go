package main

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
)

// sig-storage-lib puts a volume that it has stored into the informer's cache, which makes
// an update of the event that tells of it.
func TestStoredVolumesAreToldHoweverTheyAreSeen(t *testing.T) {
	client := fake.NewSimpleClientset()
	factory := informers.NewSharedInformerFactory(client, 0)
	volumes := factory.Core().V1().PersistentVolumes().Informer()
	told := make(chan string, 10)
	if err := tellOf(volumes, func(pv *corev1.PersistentVolume) { told <- pv.Name }); err != nil {
		t.Fatal(err)
	}
	factory.Start(t.Context().Done())
	factory.WaitForCacheSync(t.Context().Done())
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pvc-1"}}
	if err := volumes.GetStore().Add(pv); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().PersistentVolumes().Create(t.Context(), pv, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if name := <-told; name != "pvc-1" {
		t.Errorf("told of %q", name)
	}
}

// Informers keep nothing that nobody reads. Claims that are not bound and volumes are written
// whole by sig-storage-lib, and so keep what the API server would lose then.
func TestInformersKeepLittle(t *testing.T) {
	meta := metav1.ObjectMeta{
		Name: "data", Namespace: "ns",
		Annotations:   map[string]string{corev1.LastAppliedConfigAnnotation: "{}", "other": "read"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
	}
	for name, c := range map[string]struct {
		object metav1.Object
		less   bool
	}{
		"a bound claim":      {&corev1.PersistentVolumeClaim{ObjectMeta: *meta.DeepCopy(), Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "pvc-1"}}, true},
		"a claim that waits": {&corev1.PersistentVolumeClaim{ObjectMeta: *meta.DeepCopy()}, false},
		"a volume":           {&corev1.PersistentVolume{ObjectMeta: *meta.DeepCopy()}, false},
	} {
		want := c.object.(runtime.Object).DeepCopyObject()
		want.(metav1.Object).SetManagedFields(nil)
		if c.less {
			want.(metav1.Object).SetAnnotations(map[string]string{"other": "read"})
		}
		kept, err := slim(c.object)
		if err != nil || !equality.Semantic.DeepEqual(kept, want) {
			t.Errorf("%s: got %+v, %v", name, kept, err)
		}
	}
	if kept, err := slim(cache.DeletedFinalStateUnknown{Key: "ns/data"}); err != nil || kept == nil {
		t.Errorf("the note that a deletion was missed is lost: %v, %v", kept, err)
	}
}
