package provisioner_test

import (
	"context"
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/controller"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/cephclient/fake"
	"ceph.example/ceph-provisioner/provisioner"
	"ceph.example/ceph-provisioner/pvspec"
)

// witness is an access that notes who connects where, and what is asked for.
type witness struct {
	access
	clusters   [][]string
	identities []pvspec.Identity
	volumes    []cephclient.Volume
	checked    []pvspec.SecretRef
}

func newWitness() *witness {
	w := &witness{}
	note := func(_ string, volume cephclient.Volume) error {
		volume.Path = ""
		w.volumes = append(w.volumes, volume)
		return nil
	}
	w.access = access{backend: &fake.Backend{Fault: note}, users: &fake.Users{}}
	return w
}

func (w *witness) Cluster(ctx context.Context, monitors []string) (cephclient.Cluster, error) {
	w.clusters = append(w.clusters, monitors)
	return w.access.Cluster(ctx, monitors)
}

func (w *witness) Backend(ctx context.Context, kind cephclient.Kind, cluster cephclient.Cluster, identity pvspec.Identity) (cephclient.Backend, error) {
	w.identities = append(w.identities, identity)
	return w.access.Backend(ctx, kind, cluster, identity)
}

func (w *witness) Users(ctx context.Context, cluster cephclient.Cluster, identity pvspec.Identity) (cephclient.Users, error) {
	w.identities = append(w.identities, identity)
	return w.access.Users(ctx, cluster, identity)
}

func (w *witness) NodesKey(ctx context.Context, kind cephclient.Kind, ref pvspec.SecretRef) (cephclient.Secret, error) {
	w.checked = append(w.checked, ref)
	return w.access.NodesKey(ctx, kind, ref)
}

// FuzzProvision has a claim say anything in a class of which two parameters are anything,
// and looks at all calls to Ceph and at all secrets.
func FuzzProvision(f *testing.F) {
	const uid = "0b9e1f6c-6a0d-4c59-8f5f-3f0c2b1f7a11"
	for _, cephfs := range []bool{false, true} {
		add := func(key, value, namespace, name, uid, size string) {
			f.Add(cephfs, key, value, "fsName", "a", namespace, name, uid, size, "other-secret")
		}
		add("cluster", "-", "ns", "data", uid, "1Gi")
		add("pool", "rbd", "ns", "data", uid, "9223372036854775807")
		add("pool", "a/b", "ns", "data", uid, "1n")
		add("pol", "rbd", "ns", "data", uid, "0")
		add("deterministicNames", "true", "ns", "data", uid, "1500k")
		add("deterministicNames", "true", "..", "..", uid, "1Gi")
		add("deterministicNames", "true", "ns", "kubernetes-dynamic-pvc-"+uid, uid, "1Gi")
		add("claimRoot", "/data/k8s", "ns", "data", uid, "1Gi")
		add("claimRoot", "/data/../k8s", "ns", "data", uid, "1Gi")
		add("userSecretNamespace", "keys", "ns", "data", uid, "1Gi")
		add("userSecretNamespace", "../keys", "ns", "data", uid, "1Gi")
		add("adminId", "client.", "ns", "data", uid, "1Gi")
		add("adminId", "a\x00b", "ns", "data", uid, "1Gi")
		add("monitors", "v2:10.0.0.1:3300", "ns", "data", uid, "1Gi")
		add("cluster", "-", "ns", "data", "../x", "-1")
		add("cluster", "-", "", "", "", "8Ei")
	}
	f.Fuzz(func(t *testing.T, cephfs bool, key, value, other, otherValue, namespace, name, uid, size, said string) {
		asked, err := resource.ParseQuantity(size)
		if err != nil || len(size) > 25 {
			return // the API server refuses such a claim
		}
		kind, o := cephclient.RBD, options()
		if cephfs {
			kind = cephclient.CephFS
			delete(o.StorageClass.Parameters, "userSecretName")
		}
		for key, value := range map[string]string{key: value, other: otherValue} {
			if o.StorageClass.Parameters[key] = value; value == "-" {
				delete(o.StorageClass.Parameters, key)
			}
		}
		o.PVC.Namespace, o.PVC.Name, o.PVC.UID = namespace, name, types.UID(uid)
		o.PVC.Spec.Resources.Requests[corev1.ResourceStorage] = asked
		o.PVC.Annotations = map[string]string{said: said, "ceph.example/admin-secret-name": said, "ceph.example/admin-secret-namespace": said, "ceph.example/owner": said}
		o.PVC.Labels, o.PVC.Spec.VolumeName, o.PVC.Spec.StorageClassName = o.PVC.Annotations, said, &said
		provisionHostile(t, kind, o)
	})
}

func provisionHostile(t *testing.T, kind cephclient.Kind, o controller.ProvisionOptions) {
	t.Helper()
	w, made := newWitness(), &secrets{byRef: map[string]*corev1.Secret{}}
	p := provisioner.New(provisioner.Options{Kind: kind, Access: w, Client: cluster(), Secrets: made})
	pv, state, err := p.Provision(context.Background(), o)
	if (err == nil) != (pv != nil) {
		t.Errorf("%v, and %v", err, pv)
	}
	parameters, wrong := pvspec.ParseClass(kind, o.StorageClass)
	var request pvspec.Request
	if wrong == nil {
		request, wrong = pvspec.NewRequest(parameters, o.PVC)
	}
	if wrong != nil {
		calls := len(w.clusters) + len(w.identities) + len(w.volumes) + len(w.checked) + len(made.byRef)
		if err == nil || state != controller.ProvisioningNoChange || calls > 0 {
			t.Errorf("%v, %s, and %d calls, though %v", err, state, calls, wrong)
		}
		return
	}
	checkCalls(t, w, made, parameters, request)
	if err != nil || request.Volume.Container == "" { // Ceph knows the file system's name
		return
	}
	source, err := pvspec.FromPersistentVolume(pv, nil)
	if err != nil || source.Admin != parameters.Admin || source.Volume.Home() != request.Volume.Home() || pvspec.CapacityBytes(pv) < request.SizeBytes {
		t.Errorf("%+v leads to %+v, %v", pv, source, err)
	}
}

// checkCalls holds that the class alone says who asks Ceph, and that what is made is the
// claim's own.
func checkCalls(t *testing.T, w *witness, made *secrets, class pvspec.Parameters, request pvspec.Request) {
	t.Helper()
	if slices.ContainsFunc(w.identities, func(identity pvspec.Identity) bool { return identity != class.Admin }) {
		t.Errorf("connected as %+v, the class says %+v", w.identities, class.Admin)
	}
	if slices.ContainsFunc(w.clusters, func(monitors []string) bool { return !reflect.DeepEqual(monitors, class.Monitors) }) {
		t.Errorf("connected to %q, the class says %q", w.clusters, class.Monitors)
	}
	if slices.ContainsFunc(w.volumes, func(volume cephclient.Volume) bool { return volume != request.Volume }) {
		t.Errorf("asked for %+v, the claim is for %+v", w.volumes, request.Volume)
	}
	if slices.ContainsFunc(w.checked, func(ref pvspec.SecretRef) bool { return ref != request.User.Secret }) {
		t.Errorf("read the secrets %v, the class says %v", w.checked, request.User.Secret)
	}
	for ref := range made.byRef {
		if !class.OwnUser || ref != request.User.Secret.String() {
			t.Errorf("made the secret %s, not %s", ref, request.User.Secret)
		}
	}
	for id, path := range w.users.Paths() {
		if !class.OwnUser || id != request.User.ID || path != request.Volume.Home() {
			t.Errorf("made %s for %s, not %s for %s", id, path, request.User.ID, request.Volume.Home())
		}
	}
}
