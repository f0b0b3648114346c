package pvspec_test

import (
	"encoding/base64"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// FuzzKeyFromSecret also holds that no message depends on what a secret holds.
func FuzzKeyFromSecret(f *testing.F) {
	key := base64.StdEncoding.EncodeToString(append([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0}, "sixteen bytes..."...))
	wrapped := key[:20] + "\n" + key[20:]
	for _, value := range []string{key, key + "\n", " " + key + "\r\n", "\u00a0" + key, wrapped, key[:39], key + key, key + "\x00", "", "\n", "=", "AAAA", "[client.kube]\n\tkey = " + key} {
		f.Add("key", value, "", "")
		f.Add("ceph.client.kube", value, "", "")
		f.Add("key", value, "userID", "kube")
		f.Add("a", value, "b", value)
	}
	f.Fuzz(func(t *testing.T, entry, value, other, otherValue string) {
		secret := func(value, otherValue string) *corev1.Secret {
			s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "ceph"}, Data: map[string][]byte{entry: []byte(value)}}
			if other != "" {
				s.Data[other] = []byte(otherValue)
			}
			return s
		}
		got, err := pvspec.KeyFromSecret(secret(value, otherValue))
		if _, bad := pvspec.KeyFromSecret(secret("x", "y")); err != nil && err.Error() != bad.Error() {
			t.Errorf("%v, and of another secret %v", err, bad)
		}
		for _, kind := range []cephclient.Kind{cephclient.RBD, cephclient.CephFS} {
			checkMountable(t, kind, secret(value, otherValue), got, err)
		}
		if err != nil {
			return
		}
		raw, err := base64.StdEncoding.DecodeString(got.Reveal())
		if err != nil || len(raw) <= 12 || strings.ContainsAny(got.Reveal(), " \t\r\n\x00") {
			t.Errorf("accepted %q, %v", got.Reveal(), err)
		}
	})
}

// checkMountable holds a secret that nodes may mount with to what a node makes of it: the
// rbd tool drops white space, mount.ceph nothing.
func checkMountable(t *testing.T, kind cephclient.Kind, secret *corev1.Secret, key cephclient.Secret, keyErr error) {
	t.Helper()
	if _, err := pvspec.KeyForKubelet(kind, secret); err != nil {
		return
	}
	if keyErr != nil || len(secret.Data) != 1 {
		t.Fatalf("nodes are to mount with %d entries, %v", len(secret.Data), keyErr)
	}
	for _, only := range secret.Data {
		sent := string(only)
		if kind == cephclient.RBD {
			sent = strings.Trim(sent, " \t\n\v\f\r")
		}
		if sent != key.Reveal() {
			t.Errorf("%s: nodes take %q for the key %q", kind, sent, key.Reveal())
		}
	}
}
