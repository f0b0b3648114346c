package cephaccess_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"ceph.example/ceph-provisioner/cephaccess"
	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/cephclient/fake"
	"ceph.example/ceph-provisioner/pvspec"
)

// world stands in for the API server, DNS and Ceph.
type world struct {
	secrets   map[string]*corev1.Secret
	secretErr error
	classes   map[string]*storagev1.StorageClass
	hosts     map[string][]string
	connected cephclient.Credentials
	rests     error
}

func (w *world) Secret(_ context.Context, ref pvspec.SecretRef) (*corev1.Secret, error) {
	if secret, found := w.secrets[ref.String()]; found {
		return secret, w.secretErr
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, ref.Name)
}

func (w *world) StorageClass(_ context.Context, name string) (*storagev1.StorageClass, error) {
	return w.classes[name], nil
}

func (w *world) LookupHost(_ context.Context, host string) ([]string, error) {
	if ips, found := w.hosts[host]; found {
		return ips, nil
	}
	return nil, errors.New("no such host")
}

func (w *world) Rests(cephclient.Kind, cephclient.Cluster) error { return w.rests }

func (w *world) Backend(_ context.Context, _ cephclient.Kind, _ cephclient.Cluster, credentials cephclient.Credentials) (cephclient.Backend, error) {
	w.connected = credentials
	return &fake.Backend{}, nil
}

func (w *world) Users(context.Context, cephclient.Cluster, cephclient.Credentials) (cephclient.Users, error) {
	return &fake.Users{}, nil
}

func (w *world) Inventory(context.Context, cephclient.Cluster, cephclient.Credentials) (cephclient.Inventory, error) {
	return nil, nil
}

func (w *world) access() *cephaccess.Access {
	return &cephaccess.Access{Secrets: w, Classes: w, Resolver: w, Connector: w}
}

var key = base64.StdEncoding.EncodeToString(append([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0}, "sixteen bytes..."...))

func secret(entries map[string]string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "ceph"}, Data: map[string][]byte{}}
	for name, value := range entries {
		s.Data[name] = []byte(value)
	}
	return s
}

func TestCluster(t *testing.T) {
	w := &world{hosts: map[string][]string{"mons.ceph.svc": {"10.0.0.3", "10.0.0.2"}}}
	got, err := w.access().Cluster(t.Context(), []string{"10.0.0.1:6789", "mons.ceph.svc:6790", "[fd00::1]:6789"})
	if want := "10.0.0.1:6789 10.0.0.2:6790 10.0.0.3:6790 [fd00::1]:6789"; err != nil || strings.Join(got.Monitors, " ") != want {
		t.Errorf("got %v, %v; want %s", got.Monitors, err, want)
	}
	_, err = w.access().Cluster(t.Context(), []string{"unknown.host:6789"})
	if err == nil || !strings.Contains(err.Error(), "unknown.host:6789") {
		t.Errorf("got %v", err)
	}
}

// A monitor that is gone, with its name, keeps no old volume from being deleted.
func TestLocateByTheMonitorsThatAreLeft(t *testing.T) {
	w := &world{hosts: map[string][]string{"mon-a": {"10.0.0.1"}}}
	for monitors, want := range map[string]string{"mon-a mon-b": "10.0.0.1:6789", "mon-b mon-a": "10.0.0.1:6789", "mon-b": ""} {
		pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pvc-1", Annotations: map[string]string{
			"ceph.example/backend": "rbd", "ceph.example/admin-id": "kube", "ceph.example/admin-secret-name": "ceph", "ceph.example/admin-secret-namespace": "ns",
		}}}
		pv.Spec.RBD = &corev1.RBDPersistentVolumeSource{CephMonitors: strings.Fields(monitors), RBDPool: "rbd", RBDImage: "x"}
		got, _, err := w.access().Locate(t.Context(), pv)
		if strings.Join(got.Monitors, " ") != want || (err == nil) != (want != "") {
			t.Errorf("%s: %v, %v", monitors, got.Monitors, err)
		}
		if err != nil && !strings.Contains(err.Error(), "PersistentVolume pvc-1") {
			t.Error(err)
		}
	}
}

func TestBackendTellsWhatIsWrongWithASecret(t *testing.T) {
	identity := pvspec.Identity{ID: "kube", Secret: pvspec.SecretRef{Namespace: "ns", Name: "ceph"}}
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "ceph", errors.New("no"))
	for state, c := range map[string]struct {
		world world
		says  string // empty: connects
	}{
		"well":              {world{secrets: map[string]*corev1.Secret{"ns/ceph": secret(map[string]string{"key": key})}}, ""},
		"absent":            {world{}, "secret ns/ceph does not exist"},
		"not to be read":    {world{secrets: map[string]*corev1.Secret{"ns/ceph": nil}, secretErr: forbidden}, `grant it "get"`},
		"without a key":     {world{secrets: map[string]*corev1.Secret{"ns/ceph": secret(nil)}}, `no entry "key"`},
		"with no cephx key": {world{secrets: map[string]*corev1.Secret{"ns/ceph": secret(map[string]string{"key": "x"})}}, "no cephx key"},
	} {
		t.Run(state, func(t *testing.T) {
			_, err := c.world.access().Backend(t.Context(), cephclient.RBD, cephclient.Cluster{}, identity)
			switch {
			case c.says == "" && (err != nil || c.world.connected.ID != "kube" || c.world.connected.Key.Reveal() != key):
				t.Errorf("connected as %v, %v", c.world.connected, err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("the message does not say %q: %v", c.says, err)
			}
		})
	}
}

// Many claims of a cluster that does not answer must not use up what the API server
// allows this process.
func TestNoSecretIsReadForAClusterThatRests(t *testing.T) {
	rests := cephclient.NewError(cephclient.ErrUnreachable, "reach it", "", false)
	w := &world{rests: rests, secretErr: errors.New("a secret was asked for"), secrets: map[string]*corev1.Secret{"ns/ceph": nil}}
	identity := pvspec.Identity{ID: "kube", Secret: pvspec.SecretRef{Namespace: "ns", Name: "ceph"}}
	if _, err := w.access().Backend(t.Context(), cephclient.RBD, cephclient.Cluster{}, identity); !errors.Is(err, rests) {
		t.Errorf("a backend: %v", err)
	}
	if _, err := w.access().Users(t.Context(), cephclient.Cluster{}, identity); !errors.Is(err, rests) {
		t.Errorf("users: %v", err)
	}
}

func TestOpenAsksTheClassOnlyForOldVolumes(t *testing.T) {
	w := &world{
		secrets: map[string]*corev1.Secret{"ns/ceph": secret(map[string]string{"key": key})},
		classes: map[string]*storagev1.StorageClass{"old": {Parameters: map[string]string{
			"monitors": "10.0.0.1", "adminId": "from-class", "adminSecretName": "ceph", "adminSecretNamespace": "ns", "userSecretName": "u",
		}}},
	}
	pv := &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{
		StorageClassName: "old",
		PersistentVolumeSource: corev1.PersistentVolumeSource{
			RBD: &corev1.RBDPersistentVolumeSource{CephMonitors: []string{"10.0.0.1"}, RBDPool: "rbd", RBDImage: "x"},
		},
	}}
	if _, volume, err := w.access().Open(t.Context(), pv); err != nil || volume.Name != "x" || w.connected.ID != "from-class" {
		t.Errorf("old volume: %v as %v, %v", volume, w.connected, err)
	}
	pv.Annotations, pv.Spec.StorageClassName = map[string]string{corev1.BetaStorageClassAnnotation: "old"}, ""
	if _, volume, err := w.access().Open(t.Context(), pv); err != nil || volume.Name != "x" || w.connected.ID != "from-class" {
		t.Errorf("volume of Kubernetes 1.5: %v as %v, %v", volume, w.connected, err)
	}
	pv.Annotations = nil
	if _, _, err := w.access().Open(t.Context(), pv); err == nil || !strings.Contains(err.Error(), "names no StorageClass: set ceph.example/admin-id") {
		t.Errorf("old volume that names no class: %v", err)
	}
	pv.Spec.StorageClassName = "gone"
	if _, _, err := w.access().Open(t.Context(), pv); err == nil || !strings.Contains(err.Error(), `"gone" is gone`) {
		t.Errorf("old volume without class: %v", err)
	}
	pv.Annotations = map[string]string{
		"ceph.example/admin-id": "from-volume", "ceph.example/admin-secret-name": "ceph", "ceph.example/admin-secret-namespace": "ns",
	}
	if _, _, err := w.access().Open(t.Context(), pv); err != nil || w.connected.ID != "from-volume" {
		t.Errorf("our volume without class: %v, %v", w.connected, err)
	}
}
