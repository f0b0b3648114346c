package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// etcd is put back to an older state while the controller runs. The controller notices and
// starts anew. What Ceph has meanwhile is used, or told as left over; nothing of it is
// deleted by itself.
func TestRestoredEtcd(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	k := startKubernetes(t, ceph)
	serve := func() *controller {
		// With times that outlast the restoration, so that losing the Lease is not what ends it.
		next, err := suite.startController(t.Context(), "--kubeconfig="+k.Kubernetes.Kubeconfig,
			"--leader-election-lease-duration=6m", "--leader-election-renew-deadline=5m")
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	first := serve()
	deleted := []*corev1.PersistentVolumeClaim{k.has("deleted-rbd", "rbd"), k.has("deleted-cephfs", "cephfs")}
	grown := []*corev1.PersistentVolumeClaim{k.has("grown-rbd", "rbd"), k.has("grown-cephfs", "cephfs")}
	k.isBound(append(deleted, grown...)...)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	pending := []*corev1.PersistentVolumeClaim{k.has("pending-rbd", "rbd"), k.has("pending-cephfs", "cephfs")}
	backup := k.backUp()

	second := serve()
	k.isBound(pending[0])
	image := ceph.image(t, imageSpec(pending[0])).ID
	file := ceph.path(k.isBound(pending[1]).Spec.CephFS.Path, "data")
	if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	k.loses(ceph, deleted...)
	for _, claim := range grown {
		k.asks(claim, "2Gi")
		k.grows(claim, 2<<30)
	}
	late := []*corev1.PersistentVolumeClaim{k.has("late-rbd", "rbd"), k.has("late-cephfs", "cephfs")}
	k.isBound(late...)

	k.restore(backup)
	k.ends(second, "etcd was put back to an older state")
	third := serve()

	// Bound after the backup: adopted.
	k.isBound(pending...)
	if now := ceph.image(t, imageSpec(pending[0])).ID; now != image {
		t.Errorf("the image is %s, want %s as before", now, image)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "kept" {
		t.Errorf("the file has %q (%v)", text, err)
	}
	// Grown after the backup: not shrunk, and grown again as usual.
	ceph.wantImage(t, grown[0], 2<<30)
	ceph.wantQuota(t, grown[1], 2<<30)
	for _, claim := range grown {
		k.asks(claim, "3Gi")
		k.grows(claim, 3<<30)
	}
	// Deleted after the backup: they are back without data, which is told, and go again.
	for _, claim := range deleted {
		k.isBound(claim)
		k.asks(claim, "2Gi")
		k.fails(claim, "not found")
	}
	// Made after the backup: left over.
	k.wantOrphans(map[string]string{volumeName(late[0]): "orphan-image", volumeName(late[1]): "orphan-subvolume"}, deleted)
	for _, claim := range late {
		k.traceless(ceph, claim)
	}
	k.loses(ceph, append(append(deleted, grown...), pending...)...)
	if err := third.stop(); err != nil {
		t.Error(err)
	}
}

// wantOrphans has the audit list what is left over, and delete it by that list. The claims
// are those whose volumes it must miss.
func (k *otherKubernetes) wantOrphans(want map[string]string, missing []*corev1.PersistentVolumeClaim) {
	k.t.Helper()
	want = maps.Clone(want)
	for _, claim := range missing {
		want[volumeName(claim)] = "missing-volume"
	}
	as := "--kubeconfig=" + k.Kubernetes.Kubeconfig
	list := filepath.Join(k.t.TempDir(), "list.json")
	k.eventually("the audit finds what it should", func(ctx context.Context) error {
		stdout, _, err := runAudit(ctx, as, "-o", "json")
		if err != nil {
			return err
		}
		var report auditReport
		if err := json.Unmarshal([]byte(stdout), &report); err != nil {
			return err
		}
		found := map[string]string{}
		for _, finding := range report.Findings {
			if kind := finding["kind"].(string); strings.HasPrefix(kind, "orphan-") || strings.HasPrefix(kind, "missing-") {
				found[finding["name"].(string)] = kind
			}
		}
		if !maps.Equal(found, want) {
			return fmt.Errorf("it finds %v, want %v", found, want)
		}
		return os.WriteFile(list, []byte(stdout), 0o600)
	})
	k.eventually("orphans are deleted", func(ctx context.Context) error {
		stdout, _, err := runAudit(ctx, as, "--delete-orphans="+list, "--grace-period=0s")
		if err != nil {
			err = fmt.Errorf("%w: %s", err, stdout)
		}
		return err
	})
}
