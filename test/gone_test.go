package e2e

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A volume whose pool is gone neither grows nor counts as deleted, and its users are
// told why: the pool may only have another name. Whoever knows that it is gone for good
// deletes the PersistentVolume by hand.
func TestPoolIsGone(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	pool := s.ownPool(ceph)
	pool.create()
	grows, growing := s.made(pool.class, "1Gi")
	goes, going := s.made(pool.class, "1Gi")
	ceph.run(t, "ceph", "osd", "pool", "rename", pool.name, pool.name+"-elsewhere")

	told := []string{`there is no pool "` + pool.name + `"`, "bring the pool back under this name", "delete the PersistentVolume by hand"}
	s.request(grows, "2Gi")
	s.event(grows, "VolumeResizeFailed", told...)
	s.deleteClaim(goes)
	s.event(going, "VolumeFailedDelete", told...)
	ceph.image(t, pool.name+"-elsewhere/"+volumeName(goes))

	ceph.run(t, "ceph", "osd", "pool", "rename", pool.name+"-elsewhere", pool.name)
	s.grown(grows, growing.Name, 2<<30)
	s.gone(going.Name)

	ceph.run(t, "ceph", "osd", "pool", "rm", pool.name, pool.name, "--yes-i-really-really-mean-it")
	s.deleteClaim(grows)
	s.event(growing, "VolumeFailedDelete", told...)
	s.deleteVolume(growing.Name)
	s.gone(growing.Name)
	ceph.run(t, "ceph", "auth", "rm", "client."+pool.id)
}

// deleteVolume is kubectl delete pv.
func (s *scene) deleteVolume(name string) {
	s.t.Helper()
	if err := suite.client.CoreV1().PersistentVolumes().Delete(s.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// The same for file systems. Not parallel: with a second one, classes that name none
// are right no more.
func TestFileSystemIsGone(t *testing.T) {
	ceph := suite.ceph[1]
	s := newScene(t)
	id := s.addFileSystem(ceph)
	t.Cleanup(func() { s.leaveNothing(); ceph.removeFileSystem(t, id) })
	changes := []classChange{with("adminId", id), with("adminSecretName", id), with("adminSecretNamespace", s.namespace), with("fsName", secondFileSystem)}
	classes := map[string]string{
		"subvolume": s.cephfsClass(ceph, append(changes, with("subvolumeGroup", "made"))...),
		"directory": s.cephfsClass(ceph, append(changes, with("backend", "directory"), with("claimRoot", secondRoot))...),
	}
	told := []string{`there is no file system "` + secondFileSystem + `"`, "bring the file system back under this name", "delete the PersistentVolume by hand"}
	claims, volumes := map[string]*corev1.PersistentVolumeClaim{}, map[string]*corev1.PersistentVolume{}
	for kind, class := range classes {
		claims[kind], volumes[kind] = s.made(class, "8Mi")
	}
	ceph.run(t, "ceph", "fs", "fail", secondFileSystem)
	ceph.run(t, "ceph", "fs", "rm", secondFileSystem, "--yes-i-really-mean-it")
	for kind, claim := range claims {
		t.Run(kind, func(t *testing.T) {
			s := s.part(t)
			s.request(claim, "16Mi")
			s.event(claim, "VolumeResizeFailed", told...)
			s.deleteClaim(claim)
			s.event(volumes[kind], "VolumeFailedDelete", told...)
			s.deleteVolume(volumes[kind].Name)
			s.gone(volumes[kind].Name)
		})
	}
}
