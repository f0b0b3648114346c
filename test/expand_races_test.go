package e2e

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Wherever a controller dies, the next one ends what it has begun; and sees what
// was edited while there was none. Not parallel: for a while nobody leads.
func TestExpandWhileControllersDie(t *testing.T) {
	const each = 5
	ceph := suite.ceph[0]
	s := newScene(t)
	type volume struct {
		claim *corev1.PersistentVolumeClaim
		pv    string
		done  func(size int64)
	}
	var volumes []volume
	for i, class := range []string{s.rbdClass(ceph), s.cephfsClass(ceph)} {
		for range each {
			claim, pv := s.made(class, "1Gi")
			done := func(size int64) { s.nodePending(claim, 1<<30); ceph.wantImage(t, claim, size) }
			if i == 1 {
				done = func(size int64) { s.finished(claim, size); ceph.wantQuota(t, claim, size) }
			}
			volumes = append(volumes, volume{claim, pv.Name, done})
		}
	}
	for round, lives := range []time.Duration{0, 30 * time.Millisecond} {
		size := int64(round+2) << 30
		for i, volume := range volumes {
			if i == len(volumes)/2 {
				time.AfterFunc(lives, suite.controller.kill)
			}
			s.request(volume.claim, strconv.FormatInt(size, 10))
		}
		<-suite.controller.exited
		next, err := suite.startController(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		suite.controller = next
		for _, volume := range volumes {
			s.grown(volume.claim, volume.pv, size)
			volume.done(size)
		}
	}
}

// A claim that is deleted and made again under the same name has nothing to do
// with the volume of the first.
func TestExpandClaimMadeAgain(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	class := s.cephfsClass(ceph, retain)
	first, firstPV := s.made(class, "1Gi", named("data"))
	s.deleteClaim(first)
	s.eventually("the first claim is gone", claimIsGone(first))
	second, secondPV := s.made(class, "1Gi", named("data"))
	s.request(second, "2Gi")
	s.finished(second, 2<<30)
	ceph.wantQuota(t, second, 2<<30)
	ceph.wantQuota(t, first, 1<<30)
	for _, pv := range []*corev1.PersistentVolume{firstPV, secondPV} {
		s.patchVolume(pv.Name, `{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}`)
	}
}

func (s *scene) patchVolume(name, patch string) {
	s.t.Helper()
	_, err := suite.client.CoreV1().PersistentVolumes().Patch(s.t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
}

// A volume whose capacity and claim disagree gets the size that Ceph says.
func TestExpandReconcilesWhatDisagrees(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	capacity := func(size string) string { return `{"spec":{"capacity":{"storage":"` + size + `"}}}` }

	t.Run("CephFS, grown by hand", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		claim, pv := s.made(s.cephfsClass(ceph), "1Gi")
		ceph.run(t, "ceph", "fs", "subvolume", "resize", ceph.FileSystem, volumeName(claim), strconv.Itoa(3<<30), "--group_name="+defaultGroup)
		s.patchVolume(pv.Name, capacity("3Gi"))
		s.finished(claim, 3<<30)
	})
	t.Run("RBD, grown by hand", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		claim, pv := s.made(s.rbdClass(ceph), "1Gi")
		ceph.run(t, "rbd", "resize", "--no-progress", "--size=3G", imageSpec(claim))
		s.patchVolume(pv.Name, capacity("2Gi"))
		s.grown(claim, pv.Name, 3<<30)
		s.nodePending(claim, 1<<30)
	})
	for kind, class := range map[string]func(*scene) string{
		"CephFS": func(s *scene) string { return s.cephfsClass(ceph) },
		"RBD":    func(s *scene) string { return s.rbdClass(ceph) },
	} {
		t.Run(kind+", restored with a capacity that it does not have", func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			claim, pv := s.made(class(s), "1Gi")
			s.patchVolume(pv.Name, capacity("5Gi"))
			s.grown(claim, pv.Name, 1<<30)
			s.finished(claim, 1<<30)
		})
	}
}

// What others answer for, or a class forbids, is left alone. (Volumes of CSI
// migration have unit tests only: where it is off, kube-controller-manager takes
// their annotation away.)
func TestExpandLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]

	t.Run("volume that nobody provisioned", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		class := s.cephfsClass(ceph)
		_, pv := s.made(class, "1Gi")
		static := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "static-" + s.namespace}, Spec: *pv.Spec.DeepCopy()}
		static.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
		static.Spec.ClaimRef = &corev1.ObjectReference{Namespace: s.namespace, Name: "theirs"}
		if _, err := suite.client.CoreV1().PersistentVolumes().Create(t.Context(), static, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		// Without the volume's name it would be provisioned for, if kube-controller-manager
		// hears of the claim before it hears of the volume.
		claim, _ := s.made(class, "1Gi", named("theirs"), func(claim *corev1.PersistentVolumeClaim) { claim.Spec.VolumeName = static.Name })
		s.request(claim, "2Gi")
		s.othersGrow(class)
		now, err := getClaim(t.Context(), claim)
		if err != nil || len(now.Status.Conditions) > 0 || now.Status.Capacity.Storage().Value() != 1<<30 {
			t.Errorf("claim: %+v, %v", now.Status, err)
		}
		if err := suite.client.CoreV1().PersistentVolumes().Delete(t.Context(), static.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	})

	t.Run("class that forbids growth by now", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		class := s.rbdClass(ceph, with("adminSecretNamespace", s.namespace))
		s.adminSecret(ceph, rbdAdminID)
		claim, pv := s.made(class, "1Gi")
		s.deleteSecret(rbdAdminSecret)
		s.request(claim, "2Gi")
		s.event(claim, "VolumeResizeFailed", "does not exist")
		s.allowGrowth(class, false)
		s.adminSecret(ceph, rbdAdminID)
		s.othersGrow(s.rbdClass(ceph))
		ceph.wantImage(t, claim, 1<<30)
		s.allowGrowth(class, true)
		s.grown(claim, pv.Name, 2<<30)
	})
}

// othersGrow returns when a claim that was edited later has grown.
func (s *scene) othersGrow(class string) {
	s.t.Helper()
	claim, pv := s.made(class, "1Gi")
	for size := range 3 {
		s.request(claim, fmt.Sprint(size+2, "Gi"))
		s.grown(claim, pv.Name, int64(size+2)<<30)
	}
}

// rests waits until nobody writes to a claim while others grow. An attempt of
// kube-controller-manager that was under way may write once more, at its own time.
func (s *scene) rests(claim *corev1.PersistentVolumeClaim, othersClass string) {
	s.t.Helper()
	s.eventually("claim "+claim.Name+" rests", func(ctx context.Context) error {
		before, err := getClaim(ctx, claim)
		if err != nil {
			return err
		}
		s.othersGrow(othersClass)
		after, err := getClaim(ctx, claim)
		if err == nil && after.ResourceVersion != before.ResourceVersion {
			err = fmt.Errorf("somebody has written: %+v, %+v", after.Status, after.ManagedFields)
		}
		return err
	})
}

func (s *scene) allowGrowth(class string, allow bool) {
	s.t.Helper()
	s.eventually("the class is edited", func(ctx context.Context) error {
		patch := fmt.Appendf(nil, `{"allowVolumeExpansion":%t}`, allow)
		_, err := suite.client.StorageV1().StorageClasses().Patch(ctx, class, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	})
}
