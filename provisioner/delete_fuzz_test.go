package provisioner_test

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/provisioner"
	"ceph.example/ceph-provisioner/pvspec"
)

// A neighbour's, beside the volume that is deleted.
const (
	neighbour       = "kubernetes-dynamic-user-4-5-6"
	neighboursPath  = "/volumes/kubernetes/kubernetes-dynamic-pvc-4-5-6"
	neighbourSecret = "ceph-" + neighbour + "-secret"
)

// FuzzDelete deletes volumes whose annotations somebody has edited.
func FuzzDelete(f *testing.F) {
	for _, home := range []string{ownPath, neighboursPath, ownPath + "/uuid", "/data/ns/data", "/data", "data", "/volumes/kubernetes/../x", ""} {
		for _, user := range []string{ownUser, neighbour, "k8s.ns.data", "node"} {
			f.Add(home, "-", "kubernetes", name, "", user)
			f.Add(home, "/data", "kubernetes", name, "", user)
			f.Add(home, "-", "kubernetes", "kubernetes-dynamic-pvc-4-5-6", "", user)
			f.Add(home, "/", "..", name, "data", user)
			f.Add(home, "-", "", "", "data", user)
			f.Add(home, "-", "", "", "kubernetes-dynamic-pvc-4-5-6", user)
		}
	}
	f.Fuzz(func(t *testing.T, home, root, group, name, share, user string) {
		pv := &corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: "pvc-1-2-3", UID: "pv-uid", Annotations: map[string]string{
				"ceph.example/admin-id": "kube", "ceph.example/admin-secret-name": "a", "ceph.example/file-system": "a",
				"ceph.example/subvolume-group": group, "ceph.example/subvolume": name, "ceph.example/claim-root": root, "cephShare": share,
			}},
			Spec: corev1.PersistentVolumeSpec{
				PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
				ClaimRef:                      &corev1.ObjectReference{Namespace: "ns", Name: "data", UID: "1-2-3"},
				PersistentVolumeSource: corev1.PersistentVolumeSource{CephFS: &corev1.CephFSPersistentVolumeSource{
					Monitors: []string{"10.0.0.1"}, Path: home, User: user,
					SecretRef: &corev1.SecretReference{Namespace: "keys", Name: "ceph-" + user + "-secret"},
				}},
			},
			Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeReleased},
		}
		if root == "-" {
			delete(pv.Annotations, "ceph.example/claim-root")
		}
		deleteEdited(t, pv)
	})
}

func deleteEdited(t *testing.T, pv *corev1.PersistentVolume) {
	t.Helper()
	w, made := newWitness(), &secrets{byRef: map[string]*corev1.Secret{}}
	_, _ = w.users.Ensure(t.Context(), neighbour, cephclient.Info{Volume: cephclient.Volume{Path: neighboursPath}})
	theirs := foreign(neighbourSecret)
	theirs.Annotations = map[string]string{cephclient.OwnerKey: cephclient.Owner{ClaimUID: "4-5-6", PersistentVolume: "pvc-4-5-6"}.String()}
	made.byRef[ref(theirs)] = theirs
	known := cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil)
	_ = known.Add(pv)
	p := provisioner.New(provisioner.Options{
		Kind: cephclient.CephFS, Access: w, Client: cluster(pv), Volumes: corelisters.NewPersistentVolumeLister(known), Secrets: made,
	})
	err := p.Delete(context.Background(), pv)
	home := pv.Spec.CephFS.Path
	source, wrong := pvspec.FromPersistentVolume(pv, nil)
	if wrong != nil && (err == nil || len(w.identities)+len(w.volumes) > 0) {
		t.Errorf("%v, and asked as %v for %v, though %v", err, w.identities, w.volumes, wrong)
	}
	for _, volume := range w.volumes {
		if volume.Home() != source.Volume.Home() || !strings.HasPrefix(home+"/", volume.Home()+"/") {
			t.Errorf("nodes mount %q, and %v was asked for", home, volume)
		}
	}
	if _, left := w.users.Paths()[neighbour]; !left && (pv.Spec.CephFS.User != neighbour || home != neighboursPath) {
		t.Errorf("%q, mounted as %s, took %s along", home, pv.Spec.CephFS.User, neighbour)
	}
	if len(made.byRef) != 1 {
		t.Error("a neighbour's secret is gone")
	}
}
