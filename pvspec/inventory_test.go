package pvspec_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"ceph.example/ceph-provisioner/pvspec"
)

func TestMayHold(t *testing.T) {
	const uid = "1b2c3d4e-0000-4000-8000-000000000001"
	image := func(pool, name string) *corev1.PersistentVolume {
		return &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{PersistentVolumeSource: corev1.PersistentVolumeSource{
			RBD: &corev1.RBDPersistentVolumeSource{RBDPool: pool, RBDImage: name},
		}}}
	}
	directory := func(path string) *corev1.PersistentVolume {
		return &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{PersistentVolumeSource: corev1.PersistentVolumeSource{
			CephFS: &corev1.CephFSPersistentVolumeSource{Path: path},
		}}}
	}
	csi := func(handle string, attributes map[string]string) *corev1.PersistentVolume {
		return &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{PersistentVolumeSource: corev1.PersistentVolumeSource{
			CSI: &corev1.CSIPersistentVolumeSource{VolumeHandle: handle, VolumeAttributes: attributes},
		}}}
	}
	ours := image("rbd", "kubernetes-dynamic-pvc-"+uid)
	subvolume := directory("/volumes/kubernetes/kubernetes-dynamic-pvc-" + uid + "/a")
	chosen := directory("/pvc-volumes/team/data")
	for state, c := range map[string]struct {
		pv, other *corev1.PersistentVolume
		want      bool
	}{
		"the same image":                {ours, image("rbd", "kubernetes-dynamic-pvc-"+uid), true},
		"an image of another pool":      {ours, image("ssd", "kubernetes-dynamic-pvc-"+uid), false},
		"another image":                 {ours, image("rbd", "kubernetes-dynamic-pvc-2"), false},
		"an image of a migrated volume": {ours, csi("mig_mons-7_image-"+uid+"_7262", nil), true},
		"an image of a CSI driver":      {ours, csi("x", map[string]string{"imageName": "csi-vol-1"}), false},
		"a static image of CSI":         {ours, csi("x", map[string]string{"imageName": "kubernetes-dynamic-pvc-" + uid}), true},
		"the same directory":            {chosen, directory("/pvc-volumes/team/data"), true},
		"without its first slash":       {chosen, directory("pvc-volumes/team/data/"), true},
		"a folder in it":                {chosen, directory("/pvc-volumes/team/data/sub"), true},
		"the folder above":              {chosen, directory("/pvc-volumes/team"), false},
		"a like name":                   {chosen, directory("/pvc-volumes/team/data2"), false},
		"a static directory of CSI":     {chosen, csi("x", map[string]string{"rootPath": "/pvc-volumes/team/data"}), true},
		"another directory of CSI":      {chosen, csi("data", map[string]string{"rootPath": "/volumes/csi/data"}), false},
		"a volume of CSI without path":  {chosen, csi("data", nil), false},
		"the same subvolume":            {subvolume, subvolume, true},
		"a subvolume of CSI":            {subvolume, csi("x", map[string]string{"subvolumeName": "kubernetes-dynamic-pvc-" + uid}), true},
		"another subvolume of CSI":      {subvolume, csi("x", map[string]string{"subvolumeName": "csi-vol-1"}), false},
		"a directory and an image":      {chosen, ours, false},
		"what has no source":            {ours, &corev1.PersistentVolume{}, false},
	} {
		t.Run(state, func(t *testing.T) {
			if got := pvspec.MayHold(c.pv, c.other); got != c.want {
				t.Errorf("got %t, want %t", got, c.want)
			}
		})
	}
}

// The source of a PV can't be corrected.
func TestMonitorsOf(t *testing.T) {
	for written, want := range map[string]string{
		"10.0.0.1:6789":                                    "10.0.0.1:6789",
		"10.0.0.1:3300 10.0.0.1:6789":                      "10.0.0.1:6789",
		"v2:10.0.0.1:3300/0 v1:10.0.0.1:6789/0":            "10.0.0.1:6789",
		"[v2:10.0.0.1:3300/0 v1:10.0.0.1:6789/0] 10.0.0.2": "10.0.0.1:6789 10.0.0.2:6789",
		"10.0.0.1:3300":                                    "",
		"":                                                 "",
	} {
		pv := &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{PersistentVolumeSource: corev1.PersistentVolumeSource{
			RBD: &corev1.RBDPersistentVolumeSource{CephMonitors: strings.Fields(written)},
		}}}
		got, err := pvspec.MonitorsOf(pv)
		if strings.Join(got, " ") != want || (err == nil) != (want != "") {
			t.Errorf("%q: %v, %v; want %q", written, got, err, want)
		}
	}
}
