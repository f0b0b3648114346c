package e2e

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A claim hears once, when it has its volume, which nodes would ignore its size.
// Other tests' nodes say nothing of their kernels.
func TestNodesThatIgnoreQuotas(t *testing.T) {
	t.Parallel()
	const reason, old, enforcing = "QuotaNotEnforced", "3.10.0-957.el7.x86_64", "3.10.0-1062.el7.x86_64"
	ceph := suite.ceph[0]
	s := newScene(t)
	node := s.cordonedNode()

	s.setKernel(node, enforcing)
	claim, _ := s.made(s.cephfsClass(ceph), "1Gi")
	s.heardAll(claim)
	told, err := events(t.Context(), claim.UID)
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range told {
		if strings.Contains(event.Message, node) {
			t.Errorf("claim %s is warned of a node that enforces quotas: %s", claim.Name, event.Message)
		}
	}

	s.setKernel(node, old)
	claim = s.claim(s.cephfsClass(ceph, without("userSecretNamespace")), "1Gi")
	s.event(claim, "ProvisioningFailed", "does not exist") // an attempt that must not warn
	s.adminSecret(ceph, cephfsUserID)
	s.bound(claim)
	s.event(claim, reason, node+" ("+old+")", "4.17", "3.10.0-1062.el7", "ceph-fuse")
	s.heardAll(claim)
	if got := s.told(claim, reason); got != 1 {
		t.Errorf("claim %s is warned %d times, want once", claim.Name, got)
	}
}

// A claim hears which nodes can't use its key. In an image the controller does not use that itself.
func TestNodesThatCanNotUseAKey(t *testing.T) {
	t.Parallel()
	const reason, old = "KeyNotUsable", "6.1.0-18-amd64"
	ceph := suite.ceph[0]
	s := newScene(t)
	node := s.cordonedNode()
	s.setKernel(node, old)
	claim, _ := s.made(s.rbdClass(ceph), "1Gi", block)
	s.heardAll(claim)
	if got := s.told(claim, reason); got != 0 {
		t.Errorf("claim %s, whose key is of cipher aes, is warned", claim.Name)
	}

	s.secret("nodes", map[string]string{"key": wrongAES256KKey})
	claim, _ = s.made(s.rbdClass(ceph, with("userSecretNamespace", s.namespace), with("userSecretName", "nodes")), "1Gi")
	s.event(claim, reason, node+" ("+old+")", "7.0", "docs/ceph-identities.md#keys-of-cipher-aes256k")
}

// cordonedNode makes a Node that no pod gets to. Its name is in no other event.
func (s *scene) cordonedNode() string {
	s.t.Helper()
	nodes := suite.client.CoreV1().Nodes()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: s.namespace + "-kernel"}, Spec: corev1.NodeSpec{Unschedulable: true}}
	if _, err := nodes.Create(s.t.Context(), node, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := nodes.Delete(context.Background(), node.Name, metav1.DeleteOptions{}); err != nil {
			s.t.Error(err)
		}
	})
	return node.Name
}

func (s *scene) setKernel(node, kernel string) {
	s.t.Helper()
	nodes := suite.client.CoreV1().Nodes()
	s.eventually("node "+node+" runs "+kernel, func(ctx context.Context) error {
		now, err := nodes.Get(ctx, node, metav1.GetOptions{})
		if err != nil {
			return err
		}
		now.Status.NodeInfo.OperatingSystem, now.Status.NodeInfo.KernelVersion = "linux", kernel
		_, err = nodes.UpdateStatus(ctx, now, metav1.UpdateOptions{})
		return err
	})
}

// heardAll grows a claim of 1Gi, and waits until it hears of that: the controller
// tells in order, so what it had to tell before is told by then.
func (s *scene) heardAll(claim *corev1.PersistentVolumeClaim) {
	s.t.Helper()
	s.request(claim, "2Gi")
	s.event(claim, "VolumeResizeSuccessful")
}
