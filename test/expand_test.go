package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// grown waits until a volume has a capacity in Kubernetes.
func (s *scene) grown(claim *corev1.PersistentVolumeClaim, volume string, wantBytes int64) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("the volume of claim %s has %d bytes", claim.Name, wantBytes), func(ctx context.Context) error {
		pv, err := getVolume(ctx, volume)
		if err == nil && pv.Spec.Capacity.Storage().Value() != wantBytes {
			err = fmt.Errorf("it has %d", pv.Spec.Capacity.Storage().Value())
		}
		return err
	})
}

// finished waits until a claim has a capacity, and nothing to be done any more.
func (s *scene) finished(claim *corev1.PersistentVolumeClaim, wantBytes int64) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("claim %s has %d bytes", claim.Name, wantBytes), func(ctx context.Context) error {
		now, err := getClaim(ctx, claim)
		if err != nil {
			return err
		}
		if got := now.Status.Capacity.Storage().Value(); got != wantBytes || len(now.Status.Conditions) > 0 {
			return fmt.Errorf("it has %d and conditions %v", got, now.Status.Conditions)
		}
		return nil
	})
}

// nodePending waits until a claim waits for its node: only the kubelet, which
// grows the file system, may raise the claim's capacity.
func (s *scene) nodePending(claim *corev1.PersistentVolumeClaim, wantBytes int64) {
	s.t.Helper()
	s.eventually("claim "+claim.Name+" waits for its node", func(ctx context.Context) error {
		now, err := getClaim(ctx, claim)
		if err != nil {
			return err
		}
		if !hasCondition(now, corev1.PersistentVolumeClaimFileSystemResizePending) || hasCondition(now, corev1.PersistentVolumeClaimResizing) {
			return fmt.Errorf("its conditions are %v", now.Status.Conditions)
		}
		if got := now.Status.Capacity.Storage().Value(); got != wantBytes {
			return fmt.Errorf("its capacity is %d, want %d as before", got, wantBytes)
		}
		return nil
	})
}

// wantImage and wantQuota hold a claim's volume against the size it must have.
func (c *cephCluster) wantImage(t testing.TB, claim *corev1.PersistentVolumeClaim, wantBytes int64) {
	t.Helper()
	if got := c.image(t, imageSpec(claim)).SizeBytes; got != wantBytes {
		t.Errorf("the image of claim %s has %d bytes, want %d", claim.Name, got, wantBytes)
	}
}

func (c *cephCluster) wantQuota(t testing.TB, claim *corev1.PersistentVolumeClaim, wantBytes int64) {
	t.Helper()
	if got := c.subvolume(t, defaultGroup, volumeName(claim)).QuotaBytes; got != quota(wantBytes) {
		t.Errorf("the quota of claim %s is %d, want %d", claim.Name, got, wantBytes)
	}
}

// wantResourceStatus looks at what only clusters with the feature gate
// RecoverVolumeExpansionFailure keep.
func (s *scene) wantResourceStatus(claim *corev1.PersistentVolumeClaim, want corev1.ClaimResourceStatus, wantAllocated int64) {
	s.t.Helper()
	now, err := getClaim(s.t.Context(), claim)
	if err != nil {
		s.t.Fatal(err)
	}
	got, allocated := now.Status.AllocatedResourceStatuses[corev1.ResourceStorage], now.Status.AllocatedResources[corev1.ResourceStorage]
	if !suite.recovers {
		want, wantAllocated = "", 0
	}
	if got != want || allocated.Value() != wantAllocated {
		s.t.Errorf("claim %s has resource status %q of %d bytes, want %q of %d", claim.Name, got, allocated.Value(), want, wantAllocated)
	}
}

func TestExpandRBD(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	claim, pv := s.made(s.rbdClass(ceph), "1Gi")

	s.request(claim, "2Gi")
	s.grown(claim, pv.Name, 2<<30)
	s.nodePending(claim, 1<<30)
	s.wantResourceStatus(claim, corev1.PersistentVolumeClaimNodeResizePending, 2<<30)
	s.event(claim, "FileSystemResizeRequired")
	ceph.wantImage(t, claim, 2<<30)

	// From then on it is the kubelet's: neither we nor kube-controller-manager write.
	s.rests(claim, s.rbdClass(ceph))
}

func TestExpandRBDBlock(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	claim, pv := s.made(s.rbdClass(ceph), "1Gi", block)

	const requested, rounded = 1500000000, 1431 << 20 // to MiB
	s.request(claim, strconv.Itoa(requested))
	s.grown(claim, pv.Name, rounded)
	s.finished(claim, rounded) // also if kube-controller-manager comes first, which writes what was asked for
	s.wantResourceStatus(claim, "", rounded)
	ceph.wantImage(t, claim, rounded)
}

func TestExpandCephFS(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	claim, pv := s.made(s.cephfsClass(ceph), "1Gi")

	const odd = 2000000011
	s.request(claim, strconv.Itoa(odd))
	s.finished(claim, odd)
	s.grown(claim, pv.Name, odd)
	s.wantResourceStatus(claim, "", odd)
	s.event(claim, "VolumeResizeSuccessful", pv.Name)
	ceph.wantQuota(t, claim, odd)
	for reason, want := range map[string]int32{"Resizing": 1, "VolumeResizeSuccessful": 1, "VolumeResizeFailed": 0} {
		if got := s.told(claim, reason); got != want {
			t.Errorf("%s was told %d times, want %d", reason, got, want)
		}
	}
}

// What the README tells users to do.
func TestExpandWithKubectlEdit(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	claim, _ := s.made(s.cephfsClass(suite.ceph[0]), "1Gi")
	edit := exec.CommandContext(t.Context(), "kubectl", "edit", "pvc", claim.Name, "-n", claim.Namespace)
	edit.Env = append(append(os.Environ(), suite.cluster.Kubernetes.Env()...), "KUBE_EDITOR=sed -i s/1Gi/3Gi/")
	if said, err := edit.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	s.finished(claim, 3<<30)
}

// bothGrown waits until an image and a subvolume have grown from 1 GiB.
func (s *scene) bothGrown(ceph *cephCluster, rbd, cephfs *corev1.PersistentVolumeClaim, wantBytes int64) {
	s.t.Helper()
	s.grown(rbd, "pvc-"+string(rbd.UID), wantBytes)
	s.nodePending(rbd, 1<<30)
	ceph.wantImage(s.t, rbd, wantBytes)
	s.finished(cephfs, wantBytes)
	s.grown(cephfs, "pvc-"+string(cephfs.UID), wantBytes)
	ceph.wantQuota(s.t, cephfs, wantBytes)
}

func TestExpandTwiceInARow(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	rbd, _ := s.made(s.rbdClass(ceph), "1Gi")
	cephfs, _ := s.made(s.cephfsClass(ceph), "1Gi")
	for _, size := range []string{"2Gi", "3Gi"} {
		s.request(rbd, size)
		s.request(cephfs, size)
	}
	s.bothGrown(ceph, rbd, cephfs, 3<<30)
}

// A volume carries what its growth needs. The API server takes no edit once the
// class is gone, so the growth begins before, and fails until its secret is back.
func TestExpandAfterTheClassIsGone(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	kinds := map[string]struct {
		id    string
		class string
	}{
		"rbd-admin": {rbdAdminID, s.rbdClass(ceph,
			with("adminSecretNamespace", s.namespace), with("adminSecretName", "rbd-admin"))},
		"cephfs-admin": {cephfsAdminID, s.cephfsClass(ceph,
			with("adminSecretNamespace", s.namespace), with("adminSecretName", "cephfs-admin"))},
	}
	for secret, kind := range kinds {
		key, err := ceph.key(t.Context(), kind.id)
		if err != nil {
			t.Fatal(err)
		}
		entries := map[string]string{"key": key}
		s.secret(secret, entries)
		claim, pv := s.made(kind.class, "1Gi")

		s.deleteSecret(secret)
		s.request(claim, "2Gi")
		s.event(claim, "VolumeResizeFailed", s.namespace+"/"+secret, "does not exist")
		s.deleteClass(kind.class)
		s.secret(secret, entries)
		s.grown(claim, pv.Name, 2<<30)
	}
}

// A volume that was grown by hand, beyond what its claim asks for, is not shrunk.
func TestExpandNeverShrinks(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	rbd, _ := s.made(s.rbdClass(ceph), "1Gi")
	cephfs, _ := s.made(s.cephfsClass(ceph), "1Gi")
	ceph.run(t, "rbd", "resize", "--no-progress", "--size=3G", imageSpec(rbd))
	ceph.run(t, "ceph", "fs", "subvolume", "resize", ceph.FileSystem, volumeName(cephfs), strconv.Itoa(3<<30), "--group_name="+defaultGroup)

	s.request(rbd, "2Gi")
	s.request(cephfs, "2Gi")
	s.bothGrown(ceph, rbd, cephfs, 3<<30)
}

// Claims cannot be shrunk: that is the API server's rule, which the controller
// relies on.
func TestShrinkingAClaimIsRefusedByKubernetes(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	claim, _ := s.made(s.rbdClass(suite.ceph[0]), "2Gi")
	_, err := kubectl(t.Context(), "patch", "pvc", claim.Name, "-n", claim.Namespace, "-p", `{"spec":{"resources":{"requests":{"storage":"1Gi"}}}}`)
	if err == nil || !strings.Contains(err.Error(), "Forbidden") {
		t.Errorf("the API server says %v, want Forbidden", err)
	}
}
