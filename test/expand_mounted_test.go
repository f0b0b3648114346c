package e2e

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const postponedCapacity = "ceph.example/postponed-capacity"

// A CephFS volume that pods use gets its capacity when none does any more; the
// claim says the truth at once.
func TestExpandCephFSThatPodsUse(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	claim, pv := s.made(s.cephfsClass(ceph), "1Gi")
	remove := s.scheduled(claim)

	s.request(claim, "2Gi")
	s.finished(claim, 2<<30)
	ceph.wantQuota(t, claim, 2<<30)
	s.postponed(pv.Name, "2Gi")
	s.request(claim, "3Gi")
	s.finished(claim, 3<<30)
	s.postponed(pv.Name, "3Gi")

	remove()
	s.settled(pv.Name, 3<<30)
	if got := s.told(claim, "VolumeResizeSuccessful"); got != 2 {
		t.Errorf("success was told %d times, want once for each growth", got)
	}
}

// A volume that is kept when its claim goes must say its size to whoever binds it next.
func TestExpandCephFSThatIsReleasedBeforeItsCapacityIsWritten(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	class := s.cephfsClass(ceph, retain)
	claim, pv := s.made(class, "1Gi")
	remove := s.scheduled(claim)
	s.request(claim, "2Gi")
	s.finished(claim, 2<<30)
	s.postponed(pv.Name, "2Gi")
	remove()
	s.deleteClaim(claim)
	s.settled(pv.Name, 2<<30)

	s.patchVolume(pv.Name, `{"spec":{"claimRef":null,"persistentVolumeReclaimPolicy":"Delete"}}`)
	again := s.claim(class, "2Gi", func(claim *corev1.PersistentVolumeClaim) { claim.Spec.VolumeName = pv.Name })
	s.bound(again)
}

// scheduled makes a pod that uses a claim, and waits until it has a node.
func (s *scene) scheduled(claim *corev1.PersistentVolumeClaim) (remove func()) {
	s.t.Helper()
	s.node()
	remove = s.pod(claim)
	s.eventually("the pod has a node", func(ctx context.Context) error {
		pod, err := suite.client.CoreV1().Pods(s.namespace).Get(ctx, claim.Name, metav1.GetOptions{})
		if err == nil && pod.Spec.NodeName == "" {
			err = fmt.Errorf("its conditions are %v", pod.Status.Conditions)
		}
		return err
	})
	return remove
}

// postponed waits until a volume says which capacity it will get, and checks that
// it still has the first one.
func (s *scene) postponed(volume, want string) {
	s.t.Helper()
	s.eventually("volume "+volume+" has a capacity put off", func(ctx context.Context) error {
		pv, err := getVolume(ctx, volume)
		if err == nil && pv.Annotations[postponedCapacity] != want {
			err = fmt.Errorf("its annotations are %v", pv.Annotations)
		}
		if err == nil && pv.Spec.Capacity.Storage().Value() != 1<<30 {
			s.t.Errorf("its capacity is %s already", pv.Spec.Capacity.Storage())
		}
		return err
	})
}

// settled waits until a volume has a capacity, and no other put off.
func (s *scene) settled(volume string, wantBytes int64) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("volume %s has %d bytes", volume, wantBytes), func(ctx context.Context) error {
		pv, err := getVolume(ctx, volume)
		if err != nil {
			return err
		}
		if later, ok := pv.Annotations[postponedCapacity]; ok || pv.Spec.Capacity.Storage().Value() != wantBytes {
			return fmt.Errorf("it has %s, later %q", pv.Spec.Capacity.Storage(), later)
		}
		return nil
	})
}
