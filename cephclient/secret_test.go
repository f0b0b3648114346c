package cephclient_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"ceph.example/ceph-provisioner/cephclient"
)

func TestCipher(t *testing.T) {
	for key, want := range map[string]cephclient.Cipher{
		"AQAAAAAAAAAAABAAc2l4dGVlbiBieXRlcy4uLg==":                     cephclient.AES,
		"AgAoxA1rQlIZKyAAIDXiedxAM2jPPbhLJ6+WYO6FGPQzxEYnmTxXGdZX2Ys=": cephclient.AES256K, // ceph-authtool 20.2.4
		"":       0,
		"AQ==":   0,
		"no key": 0,
	} {
		if got := cephclient.NewSecret(key).Cipher(); got != want {
			t.Errorf("%q is of cipher %d, want %d", key, got, want)
		}
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	const text = "AQDsecretsecret=="
	credentials := cephclient.Credentials{ID: "admin", Key: cephclient.NewSecret(text)}
	if credentials.Key.Reveal() != text {
		t.Fatal("Reveal does not return the key")
	}
	var printed strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&printed, verb+verb+verb, credentials, &credentials, credentials.Key)
	}
	encoded, err := json.Marshal(map[string]any{"c": credentials, "k": credentials.Key})
	if err != nil {
		t.Fatal(err)
	}
	printed.Write(encoded)
	slog.New(slog.NewTextHandler(&printed, nil)).Info("x", "c", credentials, "k", credentials.Key)
	for _, form := range []string{text, fmt.Sprintf("%x", text), fmt.Sprintf("%X", text)} {
		if strings.Contains(printed.String(), form) {
			t.Errorf("printed as %s", form)
		}
	}
}
