package resizer

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// FuzzGrow grows volumes whose objects somebody has edited: no other volume than the one that
// nodes mount is asked for, none before claim and volume name each other, and none gets smaller.
func FuzzGrow(f *testing.F) {
	for _, requested := range []string{"2Gi", "1", "9Ei", "-1", "1.5", "2e20", "0.1Gi"} {
		for _, home := range []string{"/volumes/kubernetes/x/uuid", "/volumes/kubernetes/neighbour", "/volumes/kubernetes/../x", "", "x"} {
			f.Add(true, requested, "1Gi", "1Gi", int64(gib), home, "kubernetes", "x", "", "1-2-3")
			f.Add(true, requested, "1Gi", "2Gi", int64(gib), home, "kubernetes", "neighbour", "3Gi", "1-2-3")
			f.Add(true, requested, "3Gi", "2Gi", int64(4*gib), home, "..", "x", "nonsense", "4-5-6")
			f.Add(false, requested, "1Gi", "1Gi", int64(gib), "rbd", "", "x", "-1", "1-2-3")
			f.Add(false, requested, "1Gi", "1Gi", int64(gib), home, "", "neighbour", "", "")
		}
	}
	f.Fuzz(func(t *testing.T, files bool, requested, status, capacity string, inCeph int64, home, group, name, postponed, owner string) {
		for _, quantity := range []string{requested, status, capacity} {
			if _, err := resource.ParseQuantity(quantity); err != nil {
				return // the API server takes no other
			}
		}
		claim, pv := pair(requested, status, capacity)
		pv.Spec.ClaimRef.UID = types.UID(owner)
		if files {
			cephfs(claim, pv)
			pv.Spec.CephFS.Path = home
			pv.Annotations["ceph.example/subvolume-group"], pv.Annotations["ceph.example/subvolume"] = group, name
		} else {
			pv.Spec.RBD.RBDPool, pv.Spec.RBD.RBDImage = home, name
		}
		if postponed != "" {
			pv.Annotations["ceph.example/postponed-capacity"] = postponed
		}
		growEdited(t, claim, pv, max(inCeph, 1))
	})
}

func growEdited(t *testing.T, claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume, inCeph int64) {
	t.Helper()
	w, _ := newStillWorld(t, claim, pv)
	for _, err := range []error{w.claims.Add(claim), w.volumes.Add(pv)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	const neighbour = "neighbour"
	source, wrong := pvspec.FromPersistentVolume(pv, nil)
	w.backend.Put(neighbour, inCeph)
	w.backend.Put(source.Volume.Name, inCeph)
	asked := 0
	w.backend.Fault = func(method string, volume cephclient.Volume) error {
		asked++
		if volume.Home() != source.Volume.Home() || !isMounted(pv, volume) {
			t.Errorf("nodes mount %+v, and %s of %v was asked for", pv.Spec.PersistentVolumeSource, method, volume)
		}
		return nil
	}
	for range 2 {
		_ = w.sync(t) // whatever it says
	}
	if asked > 0 && (wrong != nil || pv.Spec.ClaimRef.UID != claim.UID) {
		t.Errorf("Ceph was asked %d times for a volume that is nobody's (%v, UID %q)", asked, wrong, pv.Spec.ClaimRef.UID)
	}
	for volume, size := range w.backend.Sizes() {
		if size < inCeph || size > inCeph && volume != source.Volume.Name {
			t.Errorf("%s has %d bytes, and had %d", volume, size, inCeph)
		}
	}
}

// isMounted reports whether the volume is what nodes mount.
func isMounted(pv *corev1.PersistentVolume, volume cephclient.Volume) bool {
	if rbd := pv.Spec.RBD; rbd != nil {
		return rbd.RBDPool == volume.Container && rbd.RBDImage == volume.Name
	}
	return strings.HasPrefix(pv.Spec.CephFS.Path+"/", volume.Home()+"/")
}
