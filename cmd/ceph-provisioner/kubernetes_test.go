package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"ceph.example/ceph-provisioner/pvspec"
)

// TestReadingASecretLogsNoKey reads a secret at the highest verbosity, at which
// client-go logs the bodies of responses.
func TestReadingASecretLogsNoKey(t *testing.T) {
	const key = "AQDthekeythekeythekey=="
	encoded := base64.StdEncoding.EncodeToString([]byte(key))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.URL.Path != "/api/v1/namespaces/ns/secrets/ceph" {
			http.NotFound(w, request)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"ceph","namespace":"ns"},"data":{"key":%q}}`, encoded)
	}))
	defer server.Close()

	log := captureLog(t)
	client, err := newKubernetesClient(options{kubeconfig: kubeconfig(t, server.URL), kubeAPIQPS: 1, kubeAPIBurst: 1}, &tenure{})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := objects{client}.Secret(t.Context(), pvspec.SecretRef{Namespace: "ns", Name: "ceph"})
	if err != nil || string(secret.Data["key"]) != key {
		t.Fatalf("got %v, %v", secret, err)
	}
	klog.Flush()
	if !strings.Contains(log.String(), "/secrets/ceph") {
		t.Fatal("the request is not logged: this test sees nothing")
	}
	if strings.Contains(log.String(), key) || strings.Contains(log.String(), encoded) {
		t.Errorf("the key is logged:\n%s", log)
	}
}

// Events of many claims that fail leave others what they may ask the API server for.
func TestEventsHaveLimitsOfTheirOwn(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, `{"metadata":{"name":"x","namespace":"ns"}}`)
	}))
	defer server.Close()
	client, err := newKubernetesClient(options{kubeconfig: kubeconfig(t, server.URL), kubeAPIQPS: 1e-6, kubeAPIBurst: 1}, &tenure{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ask := func() error {
		_, err := client.CoreV1().Events(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	if ask() == nil {
		t.Error("events have no limit")
	}
	if _, err := client.CoreV1().PersistentVolumes().Get(ctx, "x", metav1.GetOptions{}); err != nil {
		t.Errorf("after too many events nothing else is asked: %v", err)
	}
}

// TestWritingASecretLogsNoKey writes one at the same verbosity, against an API server
// that answers with what it was sent.
func TestWritingASecretLogsNoKey(t *testing.T) {
	const key = "AQDthekeythekeythekey=="
	encoded := base64.StdEncoding.EncodeToString([]byte(key))
	var methods []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		methods = append(methods, request.Method)
		w.Header().Set("Content-Type", "application/json")
		if _, err := io.Copy(w, request.Body); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()

	log := captureLog(t)
	client, err := newKubernetesClient(options{kubeconfig: kubeconfig(t, server.URL), kubeAPIQPS: 100, kubeAPIBurst: 100}, &tenure{})
	if err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "ceph", UID: "1"},
		Data:       map[string][]byte{"key": []byte(key)},
	}
	for _, write := range []func(context.Context, *corev1.Secret) error{
		objects{client}.CreateSecret, objects{client}.UpdateSecret, objects{client}.DeleteSecret,
	} {
		if err := write(t.Context(), secret); err != nil {
			t.Error(err)
		}
	}
	klog.Flush()
	if got := strings.Join(methods, " "); got != "POST PUT DELETE" || !strings.Contains(log.String(), "/secrets/ceph") {
		t.Fatalf("the requests %q are not logged: this test sees nothing", got)
	}
	if strings.Contains(log.String(), key) || strings.Contains(log.String(), encoded) {
		t.Errorf("the key is logged:\n%s", log)
	}
}

func captureLog(t *testing.T) *bytes.Buffer {
	t.Helper()
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	klog.InitFlags(flags)
	set := func(name, value string) {
		if err := flags.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	set("v", "10")
	set("logtostderr", "false")
	set("alsologtostderr", "false")
	set("stderrthreshold", "FATAL")
	var log bytes.Buffer
	klog.SetOutput(&log)
	t.Cleanup(func() { set("v", "0"); set("logtostderr", "true"); klog.SetOutput(os.Stderr) })
	return &log
}

func kubeconfig(t *testing.T, server string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"x",
		"clusters":[{"name":"x","cluster":{"server":%q}}],"contexts":[{"name":"x","context":{"cluster":"x","user":"x"}}],"users":[{"name":"x","user":{}}]}`, server)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
