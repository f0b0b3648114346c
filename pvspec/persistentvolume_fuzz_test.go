package pvspec_test

import (
	"path"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// FuzzFromPersistentVolume reads volumes whose annotations anybody may have edited. What
// they can't edit, the source, decides what is deleted.
func FuzzFromPersistentVolume(f *testing.F) {
	const none = "-"
	for _, path := range []string{"/volumes/g/x/uuid", "/volumes/g/x", "/volumes/g/x2", "/data/ns/x", "/x", "/", "x", "ns/x", "a/ns/x", "..", "../x", "/volumes/../g/x", "/volumes/g/a/x", "/data//x", "", "\x00"} {
		for _, root := range []string{none, "/data", "/", "", ".", "..", "/data/", "/data/ns/x", "a"} {
			f.Add(path, root, "g", "x", "x", "10.0.0.1", "admin", "ceph")
		}
		f.Add(path, none, "..", "g", none, "10.0.0.1", "", "ceph")
		f.Add(path, none, "g/a", "x", none, "v2:10.0.0.1", "admin", "ceph")
		f.Add(path, none, "g", "a/x", none, "", "admin", none)
		f.Add(path, none, none, none, path, "mon", none, none)
	}
	f.Fuzz(func(t *testing.T, home, root, group, name, share, monitors, admin, secret string) {
		annotations := map[string]string{}
		for key, value := range map[string]string{
			"ceph.example/claim-root": root, "ceph.example/subvolume-group": group, "ceph.example/subvolume": name, "cephShare": share,
			"ceph.example/admin-id": admin, "ceph.example/admin-secret-name": secret, "ceph.example/file-system": "a",
		} {
			if value != none {
				annotations[key] = value
			}
		}
		user := "kubernetes-dynamic-user-" + name
		pv := cephfsVolume(home, user, "ceph-"+user+"-secret", annotations)
		pv.Spec.CephFS.Monitors = strings.Split(monitors, ",")
		if checkSource(t, pv, home) {
			checkOwnUser(t, pv)
		}
		pv.Spec.PersistentVolumeSource = corev1.PersistentVolumeSource{RBD: &corev1.RBDPersistentVolumeSource{
			CephMonitors: strings.Split(monitors, ","), RBDPool: "kube", RBDImage: home,
		}}
		checkSource(t, pv, home)
	})
}

func checkSource(t *testing.T, pv *corev1.PersistentVolume, home string) (ok bool) {
	t.Helper()
	source, err := pvspec.FromPersistentVolume(pv, class(rbdClass))
	if err != nil {
		if !strings.Contains(err.Error(), pv.Name) {
			t.Errorf("does not name the volume: %v", err)
		}
		return false
	}
	checkMonitors(t, source.Monitors)
	if source.Admin.ID == "" || source.Admin.Secret.Name == "" || source.Admin.Secret.Namespace == "" {
		t.Errorf("admin %+v", source.Admin)
	}
	volume := source.Volume
	switch {
	case volume.Kind == cephclient.RBD:
		if volume != (cephclient.Volume{Kind: cephclient.RBD, Container: "kube", Name: home}) || home == "" {
			t.Errorf("the image %q leads to %+v", home, volume)
		}
	case volume.Path != home || !path.IsAbs(home) || path.Clean(home) != home || volume.Name == "" || strings.Contains(volume.Name, "/"):
		t.Errorf("%q leads to %+v", home, volume)
	case volume.IsDirectory():
		if volume.Home() != home || !path.IsAbs(volume.Root) || !strings.HasPrefix(home, strings.TrimSuffix(volume.Root, "/")+"/") {
			t.Errorf("%q leads to the directory %+v", home, volume)
		}
	case volume.Group == "" || strings.Contains(volume.Group, "/") || home != volume.Home() && !strings.HasPrefix(home, volume.Home()+"/"):
		t.Errorf("%q leads to the subvolume %+v", home, volume)
	}
	return true
}

// checkOwnUser holds that no user or secret is removed but those that the source names.
func checkOwnUser(t *testing.T, pv *corev1.PersistentVolume) {
	t.Helper()
	source, err := pvspec.FromPersistentVolume(pv, class(rbdClass))
	if err != nil {
		t.Fatal(err)
	}
	user, own := pvspec.OwnUserOf(pv, source.Volume)
	mounted := pv.Spec.CephFS
	if own && (user.ID != mounted.User || user.Secret.Name != "" && user.Secret.Name != mounted.SecretRef.Name) {
		t.Errorf("mounted as %s with %v, and %+v would be removed", mounted.User, mounted.SecretRef, user)
	}
}
