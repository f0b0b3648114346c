package cephclient_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"ceph.example/ceph-provisioner/cephclient"
)

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
