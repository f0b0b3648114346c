package pvspec

import (
	"fmt"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"ceph.example/ceph-provisioner/cephclient"
)

// directoryOf holds the root that a PV's annotation names against its path, which
// can't be edited: whatever the annotation says, no other directory is meant.
func directoryOf(pv *corev1.PersistentVolume, root string) (cephclient.Volume, error) {
	home := pv.Spec.CephFS.Path
	below := strings.TrimPrefix(home, strings.TrimSuffix(root, "/")+"/")
	if below == home || below == "" || !path.IsAbs(root) || path.Clean(home) != home || path.Clean(root) != root {
		return cephclient.Volume{}, fmt.Errorf("its path %s is not a directory below %s, which its annotation %s names", home, root, annotationClaimRoot)
	}
	return directory(pv, root, below), nil
}

func directory(pv *corev1.PersistentVolume, root, below string) cephclient.Volume {
	group, name := path.Split(below)
	return cephclient.Volume{
		Kind:      cephclient.CephFS,
		Container: pv.Annotations[annotationFileSystem],
		Root:      root,
		Group:     strings.TrimSuffix(group, "/"),
		Name:      name,
		Path:      pv.Spec.CephFS.Path,
	}
}

// isLegacyShare tells the volumes of ceph.com/cephfs, which are directories in a group
// below claimRoot. Nothing on them names the root or the group.
func isLegacyShare(pv *corev1.PersistentVolume) bool {
	return pv.Annotations[annotationShare] != "" && pv.Annotations[annotationSubvolume] == ""
}

// legacyShareOf takes apart the path, which says where the volume was made whatever
// became of its class: ROOT/GROUP/SHARE.
func legacyShareOf(pv *corev1.PersistentVolume) (cephclient.Volume, error) {
	home, share := pv.Spec.CephFS.Path, pv.Annotations[annotationShare]
	root := path.Dir(path.Dir(home))
	if path.Base(home) != share || path.Clean(home) != home || path.Dir(home) == root || !path.IsAbs(home) {
		return cephclient.Volume{}, fmt.Errorf("its path %s is not ROOT/GROUP/%s, as its annotation %s has it", home, share, annotationShare)
	}
	return directory(pv, root, strings.TrimPrefix(home, strings.TrimSuffix(root, "/")+"/")), nil
}
