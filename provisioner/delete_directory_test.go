package provisioner_test

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"ceph.example/ceph-provisioner/cephclient"
)

// old is a volume of ceph.com/cephfs with deterministicNames.
func old(name string, change func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Annotations: map[string]string{
			"cephShare": "data", "cephFSProvisionerIdentity": "cephfs-provisioner-1", "ceph.example/admin-secret-name": "a",
		}},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			ClaimRef:                      &corev1.ObjectReference{Namespace: "ns", Name: "data", UID: "1-2-3"},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CephFS: &corev1.CephFSPersistentVolumeSource{
				Monitors: []string{"10.0.0.1"}, Path: "/pvc-volumes/ns/data", User: "k8s.ns.data",
				SecretRef: &corev1.SecretReference{Name: "ceph-k8s.ns.data-secret"},
			}},
		},
		Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeReleased},
	}
	if change != nil {
		change(pv)
	}
	return pv
}

func TestDeleteRemovesWhatCephComCephFSMade(t *testing.T) {
	w := newTenants()
	w.backend.Put("data", 1)
	if _, err := w.users.Ensure(t.Context(), "k8s.ns.data", cephclient.Info{Volume: cephclient.Volume{Path: "/pvc-volumes/ns/data"}}); err != nil {
		t.Fatal(err)
	}
	w.secrets.byRef["ns/ceph-k8s.ns.data-secret"] = &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "ceph-k8s.ns.data-secret"},
		Data:       map[string][]byte{"key": []byte("k")},
	}
	for range 2 {
		if err := w.delete(old("pvc-1", nil)); err != nil || len(w.backend.Sizes())+len(w.users.Paths())+len(w.secrets.byRef) > 0 {
			t.Errorf("%v: left %v, %v, %v", err, w.backend.Sizes(), w.users.Paths(), w.secrets.byRef)
		}
	}
}

// A claim that was made again under its name got the directory of the one before.
func TestDeleteKeepsADirectoryThatAnotherVolumeHas(t *testing.T) {
	at := func(path, monitor string) *corev1.PersistentVolume {
		return old("pvc-2", func(pv *corev1.PersistentVolume) {
			pv.Spec.CephFS.Path, pv.Spec.CephFS.Monitors = path, []string{monitor}
		})
	}
	for state, c := range map[string]struct {
		other   *corev1.PersistentVolume
		deletes bool
	}{
		"the same directory":         {other: at("/pvc-volumes/ns/data", "10.0.0.1")},
		"a folder in it":             {other: at("/pvc-volumes/ns/data/folder", "10.0.0.1")},
		"a directory of a like name": {other: at("/pvc-volumes/ns/data2", "10.0.0.1"), deletes: true},
		"another cluster's":          {other: at("/pvc-volumes/ns/data", "10.9.9.9"), deletes: true},
		"another of its monitors":    {other: at("/pvc-volumes/ns/data", "10.0.0.2")},
		"one that does not answer":   {other: at("/pvc-volumes/ns/data", "10.0.0.3")},
		"a monitor with its port":    {other: at("/pvc-volumes/ns/data", "10.0.0.1:6789")},
		"a monitor of another port":  {other: at("/pvc-volumes/ns/data", "10.0.0.1:6790"), deletes: true},
		"an image":                   {other: &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pvc-2", UID: "2"}}, deletes: true},
	} {
		t.Run(state, func(t *testing.T) {
			w := newTenants()
			w.backend.Put("data", 1)
			err := w.delete(old("pvc-1", nil), c.other)
			if deleted := len(w.backend.Sizes()) == 0; deleted != c.deletes || (err == nil) != c.deletes {
				t.Errorf("deleted %t, %v", deleted, err)
			}
		})
	}
}

// Directories whose names are chosen may have become another claim's.
func TestDeleteGoesByTheMarkOfADirectory(t *testing.T) {
	mark := func(installation, volume string) string {
		return cephclient.Owner{Installation: installation, ClaimUID: "7", PersistentVolume: volume}.String()
	}
	elsewhere := old("pvc-elsewhere", func(pv *corev1.PersistentVolume) { pv.Spec.CephFS.Path = "/pvc-volumes/ns/elsewhere" })
	later := old("pvc-later", nil)
	for state, c := range map[string]struct {
		mark          string
		deletes, done bool
		informed      bool // the informer knows the later volume
	}{
		"its own":                            {mark: mark("this-cluster", "pvc-1"), deletes: true, done: true},
		"none":                               {deletes: true, done: true},
		"of a volume that came later":        {mark: mark("this-cluster", "pvc-later"), done: true},
		"of a volume that came later, known": {mark: mark("this-cluster", "pvc-later"), done: true, informed: true},
		"of a volume that is not there":      {mark: mark("this-cluster", "pvc-gone")},
		"of a volume that lies elsewhere":    {mark: mark("this-cluster", "pvc-elsewhere")},
		"of another cluster's":               {mark: mark("another", "pvc-1")},
		"of another cluster's, like named":   {mark: mark("another", "pvc-later")},
		"a text that a tenant has put there": {mark: "mine", deletes: true, done: true},
	} {
		t.Run(state, func(t *testing.T) {
			w := newTenants()
			w.backend.Put("data", 1)
			w.backend.Owner = c.mark
			if _, err := w.users.Ensure(t.Context(), "k8s.ns.data", cephclient.Info{Volume: cephclient.Volume{Path: "/pvc-volumes/ns/data"}}); err != nil {
				t.Fatal(err)
			}
			pv := old("pvc-1", nil)
			p := w.provisioner("keys", pv, elsewhere)
			if c.informed {
				p = w.provisioner("keys", pv, elsewhere, later)
			} else if err := w.api.Tracker().Add(later); err != nil {
				t.Fatal(err)
			}
			err := p.Delete(t.Context(), pv)
			deleted, revoked := len(w.backend.Sizes()) == 0, len(w.users.Paths()) == 0
			if deleted != c.deletes || revoked != c.deletes || (err == nil) != c.done {
				t.Errorf("deleted %t, user gone %t, %v", deleted, revoked, err)
			}
		})
	}
}

// A directory may become another claim's after it has been looked at.
func TestDeleteKeepsADirectoryThatIsGivenAwayMeanwhile(t *testing.T) {
	w := newTenants()
	w.backend.Put("data", 1)
	w.backend.Owner = cephclient.Owner{Installation: "this-cluster", ClaimUID: "1-2-3", PersistentVolume: "pvc-1"}.String()
	w.backend.Fault = func(method string, _ cephclient.Volume) error {
		if method == "Delete" {
			w.backend.Owner = cephclient.Owner{Installation: "this-cluster", ClaimUID: "7", PersistentVolume: "pvc-7"}.String()
		}
		return nil
	}
	if err := w.delete(old("pvc-1", nil)); !errors.Is(err, cephclient.ErrInUse) || len(w.backend.Sizes()) == 0 {
		t.Errorf("%v, left %v", err, w.backend.Sizes())
	}
}

// A look that fails, as on a mount that the MDS has evicted, says nothing of the mark:
// the next call may be answered.
func TestDeleteKeepsADirectoryWhoseMarkIsNotSeen(t *testing.T) {
	w := newTenants()
	w.backend.Put("data", 1)
	w.backend.Fault = func(method string, _ cephclient.Volume) error {
		if method == "Stat" {
			return cephclient.NewError(cephclient.ErrUnreachable, "read", "", false)
		}
		return nil
	}
	if err := w.delete(old("pvc-1", nil)); !errors.Is(err, cephclient.ErrUnreachable) || len(w.backend.Sizes()) == 0 {
		t.Errorf("%v, left %v", err, w.backend.Sizes())
	}
}
