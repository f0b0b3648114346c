package e2e

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const ownerKey = "ceph.example/owner"

// imageOwner reads the mark of an image as an administrator would.
func (c *cephCluster) imageOwner(t testing.TB, claim *corev1.PersistentVolumeClaim) string {
	t.Helper()
	return c.run(t, "rbd", "image-meta", "get", imageSpec(claim), ownerKey)
}

func (c *cephCluster) subvolumeOwner(t testing.TB, group string, claim *corev1.PersistentVolumeClaim) string {
	t.Helper()
	return c.run(t, "ceph", "fs", "subvolume", "metadata", "get", c.FileSystem, volumeName(claim), ownerKey, "--group_name="+group)
}

// wantOwner checks that a volume in Ceph says whose it is.
func wantOwner(t testing.TB, mark string, claim *corev1.PersistentVolumeClaim) {
	t.Helper()
	system, err := suite.client.CoreV1().Namespaces().Get(t.Context(), metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"installation":"` + string(system.UID) + `","namespace":"` + claim.Namespace + `","claim":"` + claim.Name +
		`","claimUID":"` + string(claim.UID) + `","persistentVolume":"pvc-` + string(claim.UID) + `"}`
	if got := strings.TrimSpace(mark); got != want {
		t.Errorf("the volume of claim %s is marked %s, want %s", claim.Name, got, want)
	}
}
