package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	deleted, grown := k.hasEach("deleted"), k.hasEach("grown")
	k.isBound(append(deleted, grown...)...)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	pending := k.hasEach("pending")
	backup := k.backUp()

	second := serve()
	k.isBound(pending...)
	image := ceph.image(t, imageSpec(pending[0])).ID
	var files []string
	for _, claim := range pending[1:] {
		file := ceph.path(k.isBound(claim).Spec.CephFS.Path, "data")
		if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	k.loses(ceph, deleted...)
	for _, claim := range grown {
		k.asks(claim, "2Gi")
		k.grows(claim, 2<<30)
	}
	late := k.hasEach("late")
	k.isBound(late...)

	k.restore(backup)
	k.ends(second, "etcd was put back to an older state")
	third := serve()

	// Bound after the backup: adopted.
	k.isBound(pending...)
	if now := ceph.image(t, imageSpec(pending[0])).ID; now != image {
		t.Errorf("the image is %s, want %s as before", now, image)
	}
	for _, file := range files {
		if text, err := os.ReadFile(file); err != nil || string(text) != "kept" {
			t.Errorf("%s has %q (%v)", file, text, err)
		}
	}
	k.wantUsersKey(ceph, pending[2:])
	// Grown after the backup: not shrunk, and grown again as usual.
	ceph.wantImage(t, grown[0], 2<<30)
	for _, claim := range grown[1:] {
		if quota := ceph.quota(k.isBound(claim)); quota != 2<<30 {
			t.Errorf("claim %s has a quota of %d", claim.Name, quota)
		}
	}
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
	k.wantOrphans(map[string]string{
		volumeName(late[0]): "orphan-image", volumeName(late[1]): "orphan-subvolume",
		volumeName(late[2]): "orphan-subvolume", ownUser(late[2]): "orphan-user",
		volumeName(late[3]): "orphan-directory", ownUser(late[3]): "orphan-user",
	}, deleted)
	for _, claim := range late {
		k.traceless(ceph, claim)
	}
	k.loses(ceph, slices.Concat(deleted, grown, pending)...)
	if err := third.stop(); err != nil {
		t.Error(err)
	}
}

// wantUsersKey holds the secrets of claims with users of their own against Ceph.
func (k *otherKubernetes) wantUsersKey(ceph *cephCluster, claims []*corev1.PersistentVolumeClaim) {
	k.t.Helper()
	for _, claim := range claims {
		secret, err := k.core.CoreV1().Secrets(volumeSecrets).Get(k.t.Context(), ownSecret(claim), metav1.GetOptions{})
		if err != nil {
			k.t.Fatal(err)
		}
		if key, err := ceph.key(k.t.Context(), ownUser(claim)); err != nil || string(secret.Data["key"]) != key {
			k.t.Errorf("the secret of claim %s has not its user's key (%v)", claim.Name, err)
		}
	}
}

// wantOrphans has the audit list what is left over, and delete it by that list. The claims
// are those whose volumes it must miss.
func (k *otherKubernetes) wantOrphans(want map[string]string, missing []*corev1.PersistentVolumeClaim) {
	k.t.Helper()
	want = maps.Clone(want)
	for i, claim := range missing {
		want[volumeName(claim)] = "missing-volume"
		if i >= 2 { // their secrets are back
			want[ownUser(claim)] = "missing-user"
		}
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
