package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
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

// finished waits until a claim has one of the capacities, and nothing to be done
// any more.
func (s *scene) finished(claim *corev1.PersistentVolumeClaim, wantBytes ...int64) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("claim %s has %d bytes", claim.Name, wantBytes), func(ctx context.Context) error {
		now, err := getClaim(ctx, claim)
		if err != nil {
			return err
		}
		if got := now.Status.Capacity.Storage().Value(); !slices.Contains(wantBytes, got) || len(now.Status.Conditions) > 0 {
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

func TestExpandRBD(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	claim, pv := s.made(s.rbdClass(ceph), "1Gi")

	s.request(claim, "2Gi")
	s.grown(claim, pv.Name, 2<<30)
	s.nodePending(claim, 1<<30)
	s.event(claim, "FileSystemResizeRequired")
	if got := ceph.image(t, imageSpec(claim)).SizeBytes; got != 2<<30 {
		t.Errorf("the image has %d bytes, want %d", got, 2<<30)
	}
}

func TestExpandRBDBlock(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	claim, pv := s.made(s.rbdClass(ceph), "1Gi", block)

	const requested, rounded = 1500000000, 1431 << 20 // to MiB
	s.request(claim, strconv.Itoa(requested))
	s.grown(claim, pv.Name, rounded)
	// kube-controller-manager writes what was asked for if it comes first.
	s.finished(claim, rounded, requested)
	if got := ceph.image(t, imageSpec(claim)).SizeBytes; got != rounded {
		t.Errorf("the image has %d bytes, want %d", got, rounded)
	}
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
	s.event(claim, "VolumeResizeSuccessful", pv.Name)
	if got := ceph.subvolume(t, defaultGroup, volumeName(claim)).QuotaBytes; got != odd {
		t.Errorf("the quota is %d, want %d", got, odd)
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

func TestExpandTwiceInARow(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	rbd, rbdPV := s.made(s.rbdClass(ceph), "1Gi")
	cephfs, cephfsPV := s.made(s.cephfsClass(ceph), "1Gi")
	for _, size := range []string{"2Gi", "3Gi"} {
		s.request(rbd, size)
		s.request(cephfs, size)
	}
	s.grown(rbd, rbdPV.Name, 3<<30)
	s.nodePending(rbd, 1<<30)
	s.grown(cephfs, cephfsPV.Name, 3<<30)
	s.finished(cephfs, 3<<30)
	if got := ceph.image(t, imageSpec(rbd)).SizeBytes; got != 3<<30 {
		t.Errorf("the image has %d bytes, want %d", got, 3<<30)
	}
	if got := ceph.subvolume(t, defaultGroup, volumeName(cephfs)).QuotaBytes; got != 3<<30 {
		t.Errorf("the quota is %d, want %d", got, 3<<30)
	}
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
	rbd, rbdPV := s.made(s.rbdClass(ceph), "1Gi")
	cephfs, cephfsPV := s.made(s.cephfsClass(ceph), "1Gi")
	ceph.run(t, "rbd", "resize", "--no-progress", "--size=3G", imageSpec(rbd))
	ceph.run(t, "ceph", "fs", "subvolume", "resize", ceph.FileSystem, volumeName(cephfs), strconv.Itoa(3<<30), "--group_name="+defaultGroup)

	s.request(rbd, "2Gi")
	s.request(cephfs, "2Gi")
	s.grown(rbd, rbdPV.Name, 3<<30)
	s.nodePending(rbd, 1<<30)
	s.grown(cephfs, cephfsPV.Name, 3<<30)
	s.finished(cephfs, 3<<30)
	if got := ceph.image(t, imageSpec(rbd)).SizeBytes; got != 3<<30 {
		t.Errorf("the image has %d bytes, want %d as before", got, 3<<30)
	}
	if got := ceph.subvolume(t, defaultGroup, volumeName(cephfs)).QuotaBytes; got != 3<<30 {
		t.Errorf("the quota is %d, want %d as before", got, 3<<30)
	}
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
