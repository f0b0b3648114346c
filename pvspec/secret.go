package pvspec

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"ceph.example/ceph-provisioner/cephclient"
)

// keyEntry is the entry that in-tree controllers read.
const keyEntry = "key"

// whiteSpace is what C calls so: the rbd tool drops no other around a key.
const whiteSpace = " \t\n\v\f\r"

// KeyFromSecret returns the cephx key in a secret: its entry "key", or the only
// entry whatever its name. White space around the key is dropped. Errors name
// the secret and never what it holds.
func KeyFromSecret(secret *corev1.Secret) (cephclient.Secret, error) {
	ref := SecretRef{secret.Namespace, secret.Name}
	text, found := secret.Data[keyEntry]
	if !found && len(secret.Data) == 1 {
		for _, only := range secret.Data {
			text, found = only, true
		}
	}
	if !found {
		return cephclient.Secret{}, fmt.Errorf("secret %s has no entry %q", ref, keyEntry)
	}
	key := strings.Trim(string(text), whiteSpace)
	if !isKey(key) {
		return cephclient.Secret{}, fmt.Errorf("secret %s: entry is no cephx key; put there what `ceph auth get-key client.ID` prints, encoded by Kubernetes only once", ref)
	}
	return cephclient.NewSecret(key), nil
}

// KeyForKubelet is KeyFromSecret, and refuses a secret that the kubelet could not mount with: it
// takes any one entry for the key, and takes it as it stands. The rbd tool then
// drops white space around the key, mount.ceph does not.
func KeyForKubelet(kind cephclient.Kind, secret *corev1.Secret) (cephclient.Secret, error) {
	key, err := KeyFromSecret(secret)
	if err != nil {
		return key, err
	}
	ref := SecretRef{secret.Namespace, secret.Name}
	if len(secret.Data) > 1 {
		return cephclient.Secret{}, fmt.Errorf("secret %s has %d entries; the kubelet takes any one of them for the key, so leave only %q", ref, len(secret.Data), keyEntry)
	}
	for _, only := range secret.Data {
		if kind == cephclient.CephFS && string(only) != key.Reveal() {
			return cephclient.Secret{}, fmt.Errorf("secret %s has white space around the key, which the kubelet does not drop: make it again, without a newline", ref)
		}
	}
	return key, nil
}

// keyHeaderBytes precede the secret itself in a cephx key: type, time of
// creation and length (CryptoKey::encode in Ceph's src/auth/Crypto.h).
const keyHeaderBytes = 2 + 4 + 4 + 2

func isKey(text string) bool {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) <= keyHeaderBytes || strings.ContainsAny(text, whiteSpace) { // which base64 ignores
		return false
	}
	return int(binary.LittleEndian.Uint16(raw[keyHeaderBytes-2:])) == len(raw)-keyHeaderBytes
}
