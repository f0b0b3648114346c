package provisioner_test

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	k8sfake "k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/controller"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/cephclient/fake"
	"ceph.example/ceph-provisioner/provisioner"
	"ceph.example/ceph-provisioner/pvspec"
)

// secrets is the API server's secrets in memory, which may forbid a verb.
type secrets struct {
	byRef   map[string]*corev1.Secret
	forbids string
}

var secretResource = schema.GroupResource{Resource: "secrets"}

func (s *secrets) check(verb, name string) error {
	if s.forbids == verb {
		return apierrors.NewForbidden(secretResource, name, nil)
	}
	return nil
}

func ref(secret *corev1.Secret) string { return secret.Namespace + "/" + secret.Name }

func (s *secrets) Secret(_ context.Context, ref pvspec.SecretRef) (*corev1.Secret, error) {
	secret, found := s.byRef[ref.String()]
	if !found {
		return nil, apierrors.NewNotFound(secretResource, ref.Name)
	}
	return secret.DeepCopy(), s.check("get", ref.Name)
}

func (s *secrets) CreateSecret(_ context.Context, secret *corev1.Secret) error {
	if _, taken := s.byRef[ref(secret)]; taken {
		return apierrors.NewAlreadyExists(secretResource, secret.Name)
	}
	if err := s.check("create", secret.Name); err != nil {
		return err
	}
	s.byRef[ref(secret)] = secret
	return nil
}

func (s *secrets) UpdateSecret(_ context.Context, secret *corev1.Secret) error {
	s.byRef[ref(secret)] = secret
	return s.check("update", secret.Name)
}

func (s *secrets) DeleteSecret(_ context.Context, secret *corev1.Secret) error {
	delete(s.byRef, ref(secret))
	return s.check("delete", secret.Name)
}

const (
	ownUser   = "kubernetes-dynamic-user-1-2-3"
	ownSecret = "ceph-" + ownUser + "-secret"
	ownPath   = "/volumes/kubernetes/" + name
)

// tenants is a CephFS class that names no user.
type tenants struct {
	backend *fake.Backend
	users   *fake.Users
	secrets *secrets
	api     *k8sfake.Clientset // of the last provisioner
	// claimIsGone says that the API server has no claim when its volume is made.
	claimIsGone bool
}

func newTenants() *tenants {
	return &tenants{backend: &fake.Backend{}, users: &fake.Users{}, secrets: &secrets{byRef: map[string]*corev1.Secret{}}}
}

func (w *tenants) provisioner(namespace string, volumes ...*corev1.PersistentVolume) *provisioner.Provisioner {
	var objects []runtime.Object
	for _, pv := range volumes {
		objects = append(objects, pv)
	}
	w.api = cluster(objects...)
	return provisioner.New(provisioner.Options{
		Kind: cephclient.CephFS, Access: access{backend: w.backend, users: w.users}, Client: w.api,
		Volumes: informed(volumes...), Secrets: w.secrets, SecretNamespace: namespace,
	})
}

func (w *tenants) provision(namespace string, parameters ...string) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	o := options()
	delete(o.StorageClass.Parameters, "userSecretName")
	o.StorageClass.Parameters["fsName"] = "a"
	for i := 0; i < len(parameters); i += 2 {
		o.StorageClass.Parameters[parameters[i]] = parameters[i+1]
	}
	p := w.provisioner(namespace)
	if !w.claimIsGone {
		_ = w.api.Tracker().Add(o.PVC)
	}
	pv, state, err := p.Provision(context.Background(), o)
	if pv != nil {
		pv.Name = o.PVName
		pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "ns", Name: "data", UID: "1-2-3"}
	}
	return pv, state, err
}

// key is the one entry of a secret.
func (w *tenants) key(t *testing.T, ref string) string {
	t.Helper()
	secret := w.secrets.byRef[ref]
	if secret == nil || len(secret.Data) != 1 {
		t.Fatalf("secret %s is %v", ref, secret)
	}
	return string(secret.Data["key"])
}

func TestProvisionMakesAUserForEachVolume(t *testing.T) {
	for state, c := range map[string]struct {
		flag, parameter, want string
	}{
		"in the claim's namespace":        {want: "ns"},
		"in the flag's":                   {flag: "keys", want: "keys"},
		"in the class's rather than that": {flag: "keys", parameter: "other", want: "other"},
	} {
		t.Run(state, func(t *testing.T) {
			w := newTenants()
			pv, _, err := w.provision(c.flag, "userSecretNamespace", c.parameter)
			if err != nil {
				t.Fatal(err)
			}
			source := pv.Spec.CephFS
			if source.User != ownUser || source.SecretRef.Namespace != c.want || source.SecretRef.Name != ownSecret {
				t.Errorf("the volume is mounted as %s with %+v", source.User, source.SecretRef)
			}
			if path := w.users.Paths()[ownUser]; path != source.Path || path != ownPath {
				t.Errorf("the user reaches %q, the volume is %q", path, source.Path)
			}
			if key := w.key(t, c.want+"/"+ownSecret); key != ownUser+" 1" {
				t.Errorf("the secret holds %q", key)
			}
		})
	}
}

func TestProvisionWithASharedUserMakesNone(t *testing.T) {
	w := newTenants()
	pv, _, err := w.provision("keys", "userId", "node", "userSecretName", "u")
	if err != nil || pv.Spec.CephFS.User != "node" || len(w.users.Paths()) > 0 || len(w.secrets.byRef) > 0 {
		t.Errorf("%v: user %v, secrets %v", err, w.users.Paths(), w.secrets.byRef)
	}
}

func TestProvisionCompletesWhatIsHalfMade(t *testing.T) {
	for state, change := range map[string]func(*tenants){
		"nothing missing": func(*tenants) {},
		"secret lost":     func(w *tenants) { clear(w.secrets.byRef) },
		"user lost":       func(w *tenants) { w.users = &fake.Users{} },
		"other entries":   func(w *tenants) { w.secrets.byRef["keys/"+ownSecret].Data["more"] = []byte("x") },
		"another key":     func(w *tenants) { w.secrets.byRef["keys/"+ownSecret].Data["key"] = []byte("x") },
	} {
		t.Run(state, func(t *testing.T) {
			w := newTenants()
			if _, _, err := w.provision("keys"); err != nil {
				t.Fatal(err)
			}
			change(w)
			if _, _, err := w.provision("keys"); err != nil {
				t.Fatal(err)
			}
			if key := w.key(t, "keys/"+ownSecret); key != ownUser+" 1" || len(w.users.Paths()) != 1 {
				t.Errorf("the secret holds %q, users %v", key, w.users.Paths())
			}
		})
	}
}

func foreign(name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "keys", Name: name}, Data: map[string][]byte{"key": []byte("theirs")}}
}

func TestProvisionRefusesWhatIsNotItsOwn(t *testing.T) {
	anotherVolumes := foreign(ownSecret)
	anotherVolumes.Annotations = map[string]string{cephclient.OwnerKey: cephclient.Owner{
		Installation: "this-cluster", ClaimUID: "4-5-6", PersistentVolume: "pvc-4-5-6",
	}.String()}
	anotherClusters := foreign(ownSecret)
	anotherClusters.Annotations = map[string]string{cephclient.OwnerKey: cephclient.Owner{
		Installation: "another", ClaimUID: "1-2-3", PersistentVolume: "pvc-1-2-3",
	}.String()}
	for state, secret := range map[string]*corev1.Secret{
		"a secret without mark": foreign(ownSecret), "another volume's": anotherVolumes, "another cluster's": anotherClusters,
	} {
		t.Run(state, func(t *testing.T) {
			w := newTenants()
			w.secrets.byRef["keys/"+ownSecret] = secret
			_, provisioning, err := w.provision("keys")
			if err == nil || !strings.Contains(err.Error(), ownSecret) || provisioning != controller.ProvisioningNoChange {
				t.Errorf("state %s, %v", provisioning, err)
			}
			if len(w.backend.Sizes()) > 0 || len(w.users.Paths()) > 0 || w.key(t, "keys/"+ownSecret) != "theirs" {
				t.Errorf("made %v, %v, or changed the secret", w.backend.Sizes(), w.users.Paths())
			}
		})
	}
}

// Once the volume is there, the claim is kept until it is complete.
func TestProvisionGoesOnUntilTheSecretIsThere(t *testing.T) {
	w := newTenants()
	w.secrets.forbids = "create"
	_, state, err := w.provision("keys")
	if state != controller.ProvisioningInBackground || err == nil || !strings.Contains(err.Error(), "does not let the service account create it") {
		t.Errorf("state %s, %v", state, err)
	}
	w.secrets.forbids = ""
	if _, _, err := w.provision("keys"); err != nil {
		t.Error(err)
	}
}

// A claim that is gone, perhaps with the namespace of its secret, is nobody's who mounts.
func TestProvisionEndsWithoutTheSecretOfAClaimThatIsGone(t *testing.T) {
	w := newTenants()
	w.secrets.forbids, w.claimIsGone = "create", true
	if pv, state, err := w.provision("keys"); err != nil || state != controller.ProvisioningFinished || pv == nil {
		t.Errorf("state %s, %v", state, err)
	}
}

func (w *tenants) released(t *testing.T) *corev1.PersistentVolume {
	t.Helper()
	pv, _, err := w.provision("keys")
	if err != nil {
		t.Fatal(err)
	}
	pv.Status.Phase = corev1.VolumeReleased
	return pv
}

func (w *tenants) delete(pv *corev1.PersistentVolume, others ...*corev1.PersistentVolume) error {
	return w.provisioner("keys", append(others, pv)...).Delete(context.Background(), pv)
}

func TestDeleteRemovesUserAndSecret(t *testing.T) {
	for state, change := range map[string]func(*tenants){
		"all there":   func(*tenants) {},
		"secret lost": func(w *tenants) { clear(w.secrets.byRef) },
		"user lost":   func(w *tenants) { w.users = &fake.Users{} },
		"volume lost": func(w *tenants) { w.backend = &fake.Backend{} },
	} {
		t.Run(state, func(t *testing.T) {
			w := newTenants()
			pv := w.released(t)
			change(w)
			for range 2 {
				if err := w.delete(pv); err != nil || len(w.backend.Sizes())+len(w.users.Paths())+len(w.secrets.byRef) > 0 {
					t.Errorf("%v: left %v, %v, %v", err, w.backend.Sizes(), w.users.Paths(), w.secrets.byRef)
				}
			}
		})
	}
}

func TestDeleteLeavesAStrangersSecret(t *testing.T) {
	w := newTenants()
	pv := w.released(t)
	w.secrets.byRef["keys/"+ownSecret] = foreign(ownSecret)
	if err := w.delete(pv); err != nil || len(w.secrets.byRef) != 1 || len(w.users.Paths()) > 0 {
		t.Errorf("%v: left %v, %v", err, w.secrets.byRef, w.users.Paths())
	}
}

func TestRotateKey(t *testing.T) {
	for state, change := range map[string]func(*tenants){
		"all there":   func(*tenants) {},
		"secret lost": func(w *tenants) { clear(w.secrets.byRef) },
		"user lost":   func(w *tenants) { _ = w.users.Delete(context.Background(), ownUser, ownPath) },
	} {
		t.Run(state, func(t *testing.T) {
			w := newTenants()
			pv := w.released(t)
			change(w)
			if err := w.provisioner("").RotateKey(context.Background(), pv); err != nil {
				t.Fatal(err)
			}
			if key := w.key(t, "keys/"+ownSecret); key != ownUser+" 2" || w.users.Paths()[ownUser] != ownPath {
				t.Errorf("the secret holds %q, users %v", key, w.users.Paths())
			}
		})
	}
	w := newTenants()
	shared, _, err := w.provision("keys", "userId", "node", "userSecretName", "u")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.provisioner("").RotateKey(context.Background(), shared); err == nil || !strings.Contains(err.Error(), "others share") {
		t.Errorf("a shared identity: %v", err)
	}
}
