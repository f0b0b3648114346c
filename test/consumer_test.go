package e2e

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A volume of a WaitForFirstConsumer class is made when the scheduler has chosen
// a node for a pod, and not before.
func TestWaitForFirstConsumer(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	node := s.node()
	for class, atOnce := range map[string]string{
		s.rbdClass(ceph, waitForFirstConsumer):    s.rbdClass(ceph),
		s.cephfsClass(ceph, waitForFirstConsumer): s.cephfsClass(ceph),
	} {
		claim := s.claim(class, "1Gi")
		// When a later one is made, all have seen the first. The event that tells of it is no
		// sign: kube-controller-manager writes one after the other, those of namespaces that
		// are gone at 50 ms each, and was seen to be four minutes behind.
		s.made(atOnce, "1Gi")
		s.wantPending(claim)
		ceph.wantNoTrace(t, claim)

		s.pod(claim)
		s.bound(claim)
		now, err := getClaim(t.Context(), claim)
		if err != nil {
			t.Fatal(err)
		}
		if chosen := now.Annotations["volume.kubernetes.io/selected-node"]; chosen != node {
			t.Errorf("claim %s was made for node %q, want %q", claim.Name, chosen, node)
		}
	}
}

// The labels and taint that keep others' pods off the test's node.
const nodeKey = "e2e.ceph.example/scene"

// node makes a Node that the scheduler takes for one, though no kubelet runs there.
func (s *scene) node() string {
	s.t.Helper()
	nodes := suite.client.CoreV1().Nodes()
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: s.namespace, Labels: map[string]string{nodeKey: s.namespace}},
		Spec:       corev1.NodeSpec{Taints: []corev1.Taint{{Key: nodeKey, Value: s.namespace, Effect: corev1.TaintEffectNoSchedule}}},
	}
	node, err := nodes.Create(s.t.Context(), node, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := nodes.Delete(context.Background(), node.Name, metav1.DeleteOptions{}); err != nil {
			s.t.Error(err)
		}
	})
	s.eventually("the node is Ready", func(ctx context.Context) error {
		node, err := nodes.Get(ctx, node.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now()}}
		room := map[corev1.ResourceName]string{corev1.ResourceCPU: "8", corev1.ResourceMemory: "8Gi", corev1.ResourcePods: "100"}
		node.Status.Capacity = quantities(room)
		node.Status.Allocatable = quantities(room)
		_, err = nodes.UpdateStatus(ctx, node, metav1.UpdateOptions{})
		return err
	})
	return node.Name
}

// pod makes a pod that uses a claim, and deletes it when it is told to, or at the
// end of the test: no kubelet would.
func (s *scene) pod(claim *corev1.PersistentVolumeClaim) (remove func()) {
	s.t.Helper()
	pods := suite.client.CoreV1().Pods(s.namespace)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: claim.Name},
		Spec: corev1.PodSpec{
			Containers:   []corev1.Container{{Name: "idle", Image: "none"}},
			NodeSelector: map[string]string{nodeKey: s.namespace},
			// A node whose kubelet never reports gets taints after a while.
			Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name},
			}}},
		},
	}
	s.eventually("the namespace takes pods", func(ctx context.Context) error {
		_, err := pods.Create(ctx, pod, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err // until its default service account is there
	})
	remove = func() {
		now := int64(0)
		err := pods.Delete(context.Background(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
		if err != nil && !apierrors.IsNotFound(err) {
			s.t.Error(err)
		}
	}
	s.t.Cleanup(remove)
	return remove
}

// A node that was selected for a claim and is gone by now is taken from the claim, so that
// the scheduler selects another. All else that is noted on it stays.
func TestSelectedNodeThatIsGone(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	const selected = "volume.kubernetes.io/selected-node"
	claim := s.claim(s.rbdClass(suite.ceph[0], waitForFirstConsumer), "1Gi", func(claim *corev1.PersistentVolumeClaim) {
		claim.Annotations = map[string]string{selected: "gone", corev1.LastAppliedConfigAnnotation: "{}"}
	})
	s.eventually("the claim names no node", func(ctx context.Context) error {
		now, err := getClaim(ctx, claim)
		switch {
		case err != nil:
		case now.Annotations[selected] != "":
			err = errors.New("it does")
		case now.Annotations[corev1.LastAppliedConfigAnnotation] == "":
			t.Error("what kubectl apply has noted is lost")
		}
		return err
	})
}
