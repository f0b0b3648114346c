package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A claim's end is its volume's end, whatever has happened to the volume or its
// class before.
func TestDelete(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	tests := map[string]struct {
		isCephFS bool
		class    []classChange
		before   func(t *testing.T, s *scene, class string, claim *corev1.PersistentVolumeClaim)
	}{
		"an image": {},
		"an image with data in another pool": {
			class: []classChange{with("dataPool", ceph.RBDDataPool)},
		},
		"an image with all features": {
			class: []classChange{with("imageFeatures", "layering,exclusive-lock,object-map,fast-diff,deep-flatten")},
		},
		"an image whose class is gone": {
			before: func(_ *testing.T, s *scene, class string, _ *corev1.PersistentVolumeClaim) { s.deleteClass(class) },
		},
		"an image of a volume that names its class as those of Kubernetes 1.5 do": {
			before: func(t *testing.T, _ *scene, class string, claim *corev1.PersistentVolumeClaim) {
				mustKubectl(t, "patch", "pv", "pvc-"+string(claim.UID), "--patch", fmt.Sprintf(`{"spec":{"storageClassName":""},"metadata":{"annotations":
					{%q:%q,"ceph.example/admin-id":null,"ceph.example/admin-secret-name":null,"ceph.example/admin-secret-namespace":null}}}`,
					corev1.BetaStorageClassAnnotation, class))
			},
		},
		"an image of format 1, that has grown": {
			before: func(t *testing.T, s *scene, _ string, claim *corev1.PersistentVolumeClaim) {
				ceph.run(t, "rbd", "rm", "--no-progress", imageSpec(claim))
				ceph.run(t, "env", "RBD_FORCE_ALLOW_V1=1", "rbd", "create", "--image-format=1", "--size=1G", imageSpec(claim))
				s.request(claim, "2Gi")
				s.grown(claim, "pvc-"+string(claim.UID), 2<<30)
			},
		},
		"an image that somebody has removed": {
			before: func(t *testing.T, _ *scene, _ string, claim *corev1.PersistentVolumeClaim) {
				ceph.run(t, "rbd", "rm", "--no-progress", imageSpec(claim))
			},
		},
		"an image that an earlier attempt has moved to the trash": {
			before: func(t *testing.T, _ *scene, _ string, claim *corev1.PersistentVolumeClaim) {
				ceph.run(t, "rbd", "trash", "mv", imageSpec(claim))
			},
		},
		"an image without a header": {
			before: func(t *testing.T, _ *scene, _ string, claim *corev1.PersistentVolumeClaim) {
				ceph.beheadImage(t, claim)
			},
		},
		"a subvolume": {isCephFS: true},
		"a subvolume whose class is gone": {
			isCephFS: true,
			before:   func(_ *testing.T, s *scene, class string, _ *corev1.PersistentVolumeClaim) { s.deleteClass(class) },
		},
		"a subvolume that somebody has removed": {
			isCephFS: true,
			before: func(t *testing.T, _ *scene, _ string, claim *corev1.PersistentVolumeClaim) {
				ceph.run(t, "ceph", "fs", "subvolume", "rm", ceph.FileSystem, volumeName(claim), "--group_name="+defaultGroup)
			},
		},
	}
	for state, test := range tests {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			newClass := s.rbdClass
			if test.isCephFS {
				newClass = s.cephfsClass
			}
			class := newClass(ceph, test.class...)
			claim, pv := s.made(class, "1Gi")
			if test.before != nil {
				test.before(t, s, class, claim)
			}
			s.deleteClaim(claim)
			s.gone(pv.Name)
			s.traceless(ceph, claim)
		})
	}
}

// A large image takes long to remove, also an empty one, whose 65,536 objects
// nobody knows to be absent. The mgr does that, so no worker and no volume waits
// for it, unless the identity may not ask it. Its queue would keep other tests waiting: hence
// the other cluster.
func TestDeleteLargeImage(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[1]
	for name, byMgr := range map[string]bool{"with a cap for the mgr": true, "without a cap for the mgr": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, give := sceneWithout(t, ceph, rbdAdminID, grant{daemon: "mgr", part: "profile rbd pool=rbd"})
			if byMgr {
				give()
			}
			claim, pv := s.made(s.rbdClass(ceph, s.asAdmin()...), "256Gi")
			id := ceph.image(t, imageSpec(claim)).ID
			s.deleteClaim(claim)
			s.goneIn(leftoverPatience, pv.Name) // without the mgr, longer than several attempts last
			trashed, err := ceph.trash(t.Context(), defaultPool)
			if got := slices.Contains(trashed, volumeName(claim)); err != nil || got != byMgr {
				t.Errorf("when the volume has gone its image is in the trash: %t, want %t (%v)", got, byMgr, err)
			}
			s.spaceIsFree(ceph, id, ceph.RBDPool, ceph.RBDDataPool)
		})
	}
}

// spaceIsFree waits until pools have nothing of an image.
func (s *scene) spaceIsFree(ceph *cephCluster, id string, pools ...string) {
	s.t.Helper()
	s.eventuallyIn(s.t.Context(), toolInterval, leftoverPatience, "the image's space is free", func(ctx context.Context) error {
		left, err := ceph.imageObjects(ctx, pools...)
		for _, object := range left {
			if err == nil && strings.Contains(object, id) {
				err = fmt.Errorf("there is %s", object)
			}
		}
		return err
	})
}

// An image's data may be in a pool of which the identity knows nothing: the mgr removes them.
func TestDeleteImageWithDataOutOfReach(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	pool := s.ownPool(ceph, with("dataPool", ceph.RBDDataPool))
	pool.create()
	claim, pv := s.made(pool.class, "1Gi")
	image := pool.name + "/" + volumeName(claim)
	ceph.run(t, "rbd", "bench", "--io-type=write", "--io-size=4K", "--io-total=64K", image)
	id := ceph.image(t, image).ID
	s.deleteClaim(claim)
	s.gone(pv.Name)
	s.spaceIsFree(ceph, id, pool.name, ceph.RBDDataPool)
	told, err := events(t.Context(), pv.UID)
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range told {
		if event.Reason == "VolumeFailedDelete" && strings.Contains(event.Message, "permission denied") {
			t.Errorf("the deletion failed at first: %s", event.Message)
		}
	}
	pool.remove()
}

// beheadImage leaves of an image what a creation that was cut short leaves.
func (c *cephCluster) beheadImage(t testing.TB, claim *corev1.PersistentVolumeClaim) {
	t.Helper()
	id := c.image(t, imageSpec(claim)).ID
	c.run(t, "rados", "--pool", defaultPool, "rm", "rbd_header."+id)
}

// A volume that is in use is kept, the event says who uses it, and deletion goes
// on by itself when nobody does any more.
func TestDeleteInUse(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]

	t.Run("an image that a node has open", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		claim, pv := s.made(s.rbdClass(ceph), "1Gi")
		release := s.holdImage(pv)
		s.deleteClaim(claim)
		s.event(pv, "VolumeFailedDelete", "watched by", ceph.watcher(t, imageSpec(claim)))
		ceph.image(t, imageSpec(claim)) // is still there
		release()
		s.gone(pv.Name)
		s.traceless(ceph, claim)
	})

	t.Run("an image with a snapshot", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		claim, pv := s.made(s.rbdClass(ceph), "1Gi")
		snapshot := imageSpec(claim) + "@before-upgrade"
		ceph.run(t, "rbd", "snap", "create", "--no-progress", snapshot)
		s.deleteClaim(claim)
		s.event(pv, "VolumeFailedDelete", "snapshots before-upgrade", "rbd snap")
		ceph.run(t, "rbd", "snap", "rm", "--no-progress", snapshot)
		s.gone(pv.Name)
		s.traceless(ceph, claim)
	})

	t.Run("a subvolume with a snapshot", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		claim, pv := s.made(s.cephfsClass(ceph), "1Gi")
		snapshot := func(verb string) {
			ceph.run(t, "ceph", "fs", "subvolume", "snapshot", verb, ceph.FileSystem, volumeName(claim), "before-upgrade", "--group_name="+defaultGroup)
		}
		snapshot("create")
		s.deleteClaim(claim)
		s.event(pv, "VolumeFailedDelete", "in use", "snapshots")
		snapshot("rm")
		s.gone(pv.Name)
		s.traceless(ceph, claim)
	})
}

// A directory can't be removed as long as it, or what is below it, has a snapshot.
func TestDeleteDirectoryWithSnapshots(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	for state, below := range map[string]string{"of its own": "", "further down": "folder"} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			claim, pv := s.made(s.directoryClass(ceph), "1Gi")
			folder := ceph.path(pv.Spec.CephFS.Path, below)
			snapshot := filepath.Join(folder, ".snap", "before-upgrade")
			if err := errors.Join(os.MkdirAll(folder, 0o755), os.Mkdir(snapshot, 0o755)); err != nil {
				t.Fatal(err)
			}
			s.eventually("the file system has counted the snapshot", func(context.Context) error {
				if count := ceph.attribute(pv.Spec.CephFS.Path, "ceph.dir.rsnaps"); count != "1" {
					return fmt.Errorf("it counts %s", count)
				}
				return nil
			})
			s.deleteClaim(claim)
			s.event(pv, "VolumeFailedDelete", "in use", "snapshots")
			if err := os.Remove(snapshot); err != nil {
				t.Fatal(err)
			}
			s.gone(pv.Name)
			s.traceless(ceph, claim)
		})
	}
}

// watcher is the address of the one client that has an image open.
func (c *cephCluster) watcher(t testing.TB, spec string) string {
	t.Helper()
	var status struct {
		Watchers []struct{ Address string }
	}
	if err := c.read(t.Context(), &status, "rbd", "status", spec); err != nil {
		t.Fatal(err)
	}
	if len(status.Watchers) != 1 {
		t.Fatalf("%s has %d watchers, want 1", spec, len(status.Watchers))
	}
	return status.Watchers[0].Address
}

func TestRetainedVolumesKeepTheirData(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	rbd, rbdPV := s.made(s.rbdClass(ceph, retain), "1Gi")
	cephfs, cephfsPV := s.made(s.cephfsClass(ceph, retain), "1Gi")
	for _, claim := range []*corev1.PersistentVolumeClaim{rbd, cephfs} {
		s.deleteClaim(claim)
	}
	volumes := suite.client.CoreV1().PersistentVolumes()
	for _, pv := range []*corev1.PersistentVolume{rbdPV, cephfsPV} {
		s.eventually("volume "+pv.Name+" is Released", func(ctx context.Context) error {
			now, err := getVolume(ctx, pv.Name)
			if err == nil && now.Status.Phase != corev1.VolumeReleased {
				err = fmt.Errorf("it is %s", now.Status.Phase)
			}
			return err
		})
		if err := volumes.Delete(t.Context(), pv.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		s.gone(pv.Name)
	}
	if size := ceph.image(t, imageSpec(rbd)).SizeBytes; size != 1<<30 {
		t.Errorf("the image has %d bytes, want it kept as it was", size)
	}
	if path := ceph.subvolume(t, defaultGroup, volumeName(cephfs)).Path; !strings.HasPrefix(cephfsPV.Spec.CephFS.Path, path) {
		t.Errorf("the subvolume is at %s, want it kept at %s", path, cephfsPV.Spec.CephFS.Path)
	}
	ceph.run(t, "rbd", "rm", "--no-progress", imageSpec(rbd))
	ceph.run(t, "ceph", "fs", "subvolume", "rm", ceph.FileSystem, volumeName(cephfs), "--group_name="+defaultGroup)
}
