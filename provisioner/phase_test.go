package provisioner

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
)

// The phase of a new volume is written if a claim waits for it, and nobody else has written.
func TestPhases(t *testing.T) {
	now := metav1.Now()
	for state, c := range map[string]struct {
		change func(*corev1.PersistentVolume, *corev1.PersistentVolumeClaim)
		want   corev1.PersistentVolumePhase
	}{
		"a claim waits": {func(*corev1.PersistentVolume, *corev1.PersistentVolumeClaim) {}, corev1.VolumeBound},
		"Available": {func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) {
			pv.Status.Phase = corev1.VolumeAvailable
		}, corev1.VolumeAvailable},
		"Released": {func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) {
			pv.Status.Phase = corev1.VolumeReleased
		}, corev1.VolumeReleased},
		"no claim":               {func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) { pv.Spec.ClaimRef = nil }, corev1.VolumePending},
		"reserved by an admin":   {func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) { pv.Spec.ClaimRef.UID = "" }, corev1.VolumePending},
		"being deleted":          {func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) { pv.DeletionTimestamp = &now }, corev1.VolumePending},
		"somebody else's":        {func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) { pv.Annotations = nil }, corev1.VolumePending},
		"claim is gone":          {func(_ *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) { claim.Name = "other" }, corev1.VolumePending},
		"claim has come anew":    {func(_ *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) { claim.UID = "4-5-6" }, corev1.VolumePending},
		"claim is being deleted": {func(_ *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) { claim.DeletionTimestamp = &now }, corev1.VolumePending},
		"claim is bound": {func(_ *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) {
			claim.Spec.VolumeName = "pvc-4-5-6"
		}, corev1.VolumePending},
	} {
		t.Run(state, func(t *testing.T) {
			pv := &corev1.PersistentVolume{
				ObjectMeta: metav1.ObjectMeta{Name: "pvc-1-2-3", ResourceVersion: "7", Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": "ours"}},
				Spec:       corev1.PersistentVolumeSpec{ClaimRef: &corev1.ObjectReference{Namespace: "ns", Name: "data", UID: "1-2-3"}},
				Status:     corev1.PersistentVolumeStatus{Phase: corev1.VolumePending},
			}
			claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "data", UID: "1-2-3"}}
			c.change(pv, claim)
			client := fake.NewSimpleClientset(pv, claim)
			core := informers.NewSharedInformerFactory(client, 0).Core().V1()
			if err := errors.Join(core.PersistentVolumes().Informer().GetStore().Add(pv), core.PersistentVolumeClaims().Informer().GetStore().Add(claim)); err != nil {
				t.Fatal(err)
			}
			p := NewPhases([]string{"ours"}, time.Millisecond, client, core.PersistentVolumeClaims().Lister(), core.PersistentVolumes().Lister())
			p.write(t.Context(), pv.Name)
			if is, err := client.CoreV1().PersistentVolumes().Get(t.Context(), pv.Name, metav1.GetOptions{}); err != nil || is.Status.Phase != c.want {
				t.Errorf("it is %s (%v), want %s", is.Status.Phase, err, c.want)
			}
			if c.want != corev1.VolumeBound {
				return
			}

			if err := client.Tracker().Update(corev1.SchemeGroupVersion.WithResource("persistentvolumes"), pv, ""); err != nil {
				t.Fatal(err)
			}
			ctx, end := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { p.Run(ctx); close(ended) }()
			p.Saw(pv)
			err := wait.PollUntilContextTimeout(ctx, time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
				is, err := client.CoreV1().PersistentVolumes().Get(ctx, pv.Name, metav1.GetOptions{})
				return err == nil && is.Status.Phase == corev1.VolumeBound, err
			})
			if err != nil {
				t.Errorf("it was seen, and is not Bound: %v", err)
			}
			end()
			<-ended
		})
	}
}
