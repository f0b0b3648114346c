package provisioner_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/controller"

	"ceph.example/ceph-provisioner/cephclient"
	cephfake "ceph.example/ceph-provisioner/cephclient/fake"
	"ceph.example/ceph-provisioner/provisioner"
)

// released provisions a volume whose claim is gone.
func released(t *testing.T, backend *cephfake.Backend) *corev1.PersistentVolume {
	t.Helper()
	pv, _, err := rbd(access{backend: backend}).Provision(context.Background(), options())
	if err != nil {
		t.Fatal(err)
	}
	pv.UID = "pv-uid"
	pv.Status.Phase = corev1.VolumeReleased
	pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete
	pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "ns", Name: "data", UID: "1-2-3"}
	return pv
}

func TestDelete(t *testing.T) {
	backend := &cephfake.Backend{}
	pv := released(t, backend)
	refusing := rbd(access{backend: backend, fails: "Locate"}, pv)
	if err := refusing.Delete(context.Background(), pv); !errors.Is(err, errAccess) || len(backend.Sizes()) == 0 {
		t.Errorf("deleted without access: %v", err)
	}
	for _, state := range []string{"present", "absent"} {
		if err := rbd(access{backend: backend}, pv).Delete(context.Background(), pv); err != nil || len(backend.Sizes()) > 0 {
			t.Errorf("%s: %v, %v", state, err, backend.Sizes())
		}
	}
}

// The library acts on its cache, and on phase and policy alone. Whoever keeps a volume
// after all must find its data.
func TestDeleteKeepsWhatIsNotReleasedAnyMore(t *testing.T) {
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "data", UID: "1-2-3"}}
	another := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "data", UID: "4-5-6"}}
	for state, c := range map[string]struct {
		change  func(*corev1.PersistentVolume)
		claim   runtime.Object
		fails   string
		deletes bool
		ignored bool
	}{
		"released":                            {deletes: true},
		"claim of the same name":              {claim: another, deletes: true},
		"bound again":                         {change: func(pv *corev1.PersistentVolume) { pv.Status.Phase = corev1.VolumeBound }, ignored: true},
		"claimRef removed, phase not yet":     {change: func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef = nil }, ignored: true},
		"claimRef without UID, phase not yet": {change: func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef.UID = "" }, ignored: true},
		"deleted by hand, held by a finalizer": {change: func(pv *corev1.PersistentVolume) {
			pv.DeletionTimestamp, pv.Finalizers = &metav1.Time{Time: time.Now()}, []string{"example.com/kept"}
		}, ignored: true},
		"to be retained": {change: func(pv *corev1.PersistentVolume) {
			pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
		}, ignored: true},
		"another volume of the name":          {change: func(pv *corev1.PersistentVolume) { pv.UID = "other" }, ignored: true},
		"migrated to CSI":                     {change: func(pv *corev1.PersistentVolume) { pv.Annotations["pv.kubernetes.io/migrated-to"] = "rbd.csi.ceph.com" }, ignored: true},
		"its claim has come back":             {claim: claim},
		"API server does not tell the volume": {fails: "persistentvolumes"},
		"API server does not tell the claim":  {fails: "persistentvolumeclaims"},
	} {
		t.Run(state, func(t *testing.T) {
			backend := &cephfake.Backend{}
			cached := released(t, backend)
			now := cached.DeepCopy()
			if c.change != nil {
				c.change(now)
			}
			objects := []runtime.Object{now}
			if c.claim != nil {
				objects = append(objects, c.claim)
			}
			client := fake.NewSimpleClientset(objects...)
			client.PrependReactor("get", c.fails, func(clienttesting.Action) (bool, runtime.Object, error) {
				return c.fails != "", nil, errAccess
			})
			err := provisioner.New(provisioner.Options{Access: access{backend: backend}, Client: client, Volumes: informed()}).Delete(context.Background(), cached)
			var ignored *controller.IgnoredError
			if deleted := len(backend.Sizes()) == 0; deleted != c.deletes || (err == nil) != c.deletes || errors.As(err, &ignored) != c.ignored {
				t.Errorf("deleted %t, %v; want %t, ignored %t", deleted, err, c.deletes, c.ignored)
			}
		})
	}
}

// A volume that another PersistentVolume leads to, such as a copy of this one in another
// namespace, or that of a CSI driver, keeps its data.
// A deletion may wait for others for a minute: whoever keeps the volume meanwhile finds its
// data.
func TestDeleteLooksAgainAfterItHasWaited(t *testing.T) {
	for state, policy := range map[string]corev1.PersistentVolumeReclaimPolicy{
		"still to be deleted": corev1.PersistentVolumeReclaimDelete, "kept": corev1.PersistentVolumeReclaimRetain,
	} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			backend := &cephfake.Backend{}
			pv := released(t, backend)
			client := cluster(pv.DeepCopy())
			backend.Fault = func(string, cephclient.Volume) error {
				time.Sleep(1100 * time.Millisecond) // longer than an answer counts
				now := pv.DeepCopy()
				now.Spec.PersistentVolumeReclaimPolicy = policy
				if _, err := client.CoreV1().PersistentVolumes().Update(t.Context(), now, metav1.UpdateOptions{}); err != nil {
					t.Error(err)
				}
				return nil
			}
			p := provisioner.New(provisioner.Options{Access: access{backend: backend}, Client: client, Volumes: informed()})
			err := p.Delete(t.Context(), pv)
			var ignored *controller.IgnoredError
			kept := policy == corev1.PersistentVolumeReclaimRetain
			if errors.As(err, &ignored) != kept || (err == nil) == kept || (len(backend.Sizes()) > 0) != kept {
				t.Errorf("%v, volumes %v", err, backend.Sizes())
			}
		})
	}
}

func TestDeleteKeepsWhatAnotherVolumeLeadsTo(t *testing.T) {
	backend := &cephfake.Backend{}
	pv := released(t, backend)
	another := pv.DeepCopy()
	another.Name, another.UID = "another", "another-uid"
	err := provisioner.New(provisioner.Options{Access: access{backend: backend}, Client: cluster(pv), Volumes: informed(pv, another)}).Delete(t.Context(), pv)
	if err == nil || !strings.Contains(err.Error(), "PersistentVolume another leads to the same data") || len(backend.Sizes()) == 0 {
		t.Errorf("%v, left %v", err, backend.Sizes())
	}
}

// An informer may still have the volume that was there before under this name.
func TestDeleteIsNotKeptFromByItsOwnPast(t *testing.T) {
	backend := &cephfake.Backend{}
	pv := released(t, backend)
	before := pv.DeepCopy()
	before.UID = "before"
	err := provisioner.New(provisioner.Options{Access: access{backend: backend}, Client: cluster(pv), Volumes: informed(before)}).Delete(t.Context(), pv)
	if err != nil || len(backend.Sizes()) > 0 {
		t.Errorf("%v, left %v", err, backend.Sizes())
	}
}

func TestShouldDelete(t *testing.T) {
	p := rbd(access{})
	pv := released(t, &cephfake.Backend{})
	migrated, freed, offered := pv.DeepCopy(), pv.DeepCopy(), pv.DeepCopy()
	metav1.SetMetaDataAnnotation(&migrated.ObjectMeta, "pv.kubernetes.io/migrated-to", "rbd.csi.ceph.com")
	freed.Spec.ClaimRef = nil
	offered.Spec.ClaimRef.UID = ""
	ctx := context.Background()
	if !p.ShouldDelete(ctx, pv) || p.ShouldDelete(ctx, migrated) || p.ShouldDelete(ctx, freed) || p.ShouldDelete(ctx, offered) {
		t.Error("deletes what CSI migration has taken over or what nobody claims, or not what is ours")
	}
}
