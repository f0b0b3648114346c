package provisioner_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	k8sfake "k8s.io/client-go/kubernetes/fake"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/controller"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/cephclient/fake"
	"ceph.example/ceph-provisioner/provisioner"
	"ceph.example/ceph-provisioner/pvspec"
)

// access leads to a backend in memory, or fails at one of its methods.
type access struct {
	backend  cephclient.Backend
	fails    string
	users    *fake.Users
	nodesKey cephclient.Secret
}

var errAccess = errors.New("refused")

func (a access) fail(method string) error {
	if a.fails == method {
		return errAccess
	}
	return nil
}

func (a access) Cluster(_ context.Context, monitors []string) (cephclient.Cluster, error) {
	return cephclient.Cluster{Monitors: monitors}, a.fail("Cluster")
}

func (a access) Backend(context.Context, cephclient.Kind, cephclient.Cluster, pvspec.Identity) (cephclient.Backend, error) {
	return a.backend, a.fail("Backend")
}

func (a access) NodesKey(context.Context, cephclient.Kind, pvspec.SecretRef) (cephclient.Secret, error) {
	return a.nodesKey, a.fail("NodesKey")
}

func (a access) Users(context.Context, cephclient.Cluster, pvspec.Identity) (cephclient.Users, error) {
	return a.users, a.fail("Users")
}

// FSID of the first monitor: 10.0.0.1 and 10.0.0.2 are of one cluster, 10.0.0.3 does not answer.
func (a access) FSID(_ context.Context, cluster cephclient.Cluster, _ pvspec.Identity) (string, error) {
	switch monitor := cluster.Monitors[0]; monitor {
	case "10.0.0.1:6789", "10.0.0.2:6789":
		return "here", nil
	case "10.0.0.3:6789":
		return "", errAccess
	default:
		return monitor, nil
	}
}

func (a access) Locate(_ context.Context, pv *corev1.PersistentVolume) (cephclient.Cluster, pvspec.Source, error) {
	source, err := pvspec.FromPersistentVolume(pv, nil)
	return cephclient.Cluster{Monitors: source.Monitors}, source, errors.Join(err, a.fail("Locate"))
}

// rbd is the provisioner of images, which need no secrets.
func rbd(access access, objects ...runtime.Object) *provisioner.Provisioner {
	return provisioner.New(provisioner.Options{Kind: cephclient.RBD, Access: access, Client: cluster(objects...), Volumes: informed()})
}

// informed is what an informer knows.
func informed(volumes ...*corev1.PersistentVolume) corelisters.PersistentVolumeLister {
	known := cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil)
	for _, pv := range volumes {
		_ = known.Add(pv)
	}
	return corelisters.NewPersistentVolumeLister(known)
}

const name = "kubernetes-dynamic-pvc-1-2-3"

func options() controller.ProvisionOptions {
	return controller.ProvisionOptions{
		PVName: "pvc-1-2-3",
		StorageClass: &storagev1.StorageClass{Parameters: map[string]string{
			"monitors": "10.0.0.1", "adminSecretName": "a", "userSecretName": "u",
		}},
		PVC: &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "data", UID: "1-2-3"},
			Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
			},
		},
	}
}

// cluster is the API server of a cluster that can be told from others.
func cluster(objects ...runtime.Object) *k8sfake.Clientset {
	system := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: "this-cluster"}}
	return k8sfake.NewSimpleClientset(append(objects, system)...)
}

func TestProvisionStates(t *testing.T) {
	tooSmall := &fake.Backend{Fault: func(method string, _ cephclient.Volume) error {
		if method != "Grow" {
			return nil
		}
		return cephclient.NewError(cephclient.ErrDenied, "grow", "", true)
	}}
	tooSmall.Put(name, 1)
	timeout := func(wrote bool) func(string, cephclient.Volume) error {
		return func(string, cephclient.Volume) error {
			return cephclient.NewError(cephclient.ErrTimeout, "create", "", wrote)
		}
	}
	for state, c := range map[string]struct {
		backend *fake.Backend
		fails   string
		spoil   func(*controller.ProvisionOptions)
		want    controller.ProvisioningState
		ok      bool
		left    int
	}{
		"all is well":               {want: controller.ProvisioningFinished, ok: true},
		"bad class":                 {spoil: func(o *controller.ProvisionOptions) { o.StorageClass.Parameters["x"] = "y" }, want: controller.ProvisioningNoChange},
		"bad claim":                 {spoil: func(o *controller.ProvisionOptions) { o.PVC.Spec.Selector = &metav1.LabelSelector{} }, want: controller.ProvisioningNoChange},
		"no user secret":            {fails: "NodesKey", want: controller.ProvisioningNoChange},
		"monitors not resolved":     {fails: "Cluster", want: controller.ProvisioningNoChange},
		"no connection":             {fails: "Backend", want: controller.ProvisioningNoChange},
		"nothing was written":       {backend: &fake.Backend{Fault: timeout(false)}, want: controller.ProvisioningNoChange},
		"may have been written":     {backend: &fake.Backend{Fault: timeout(true)}, want: controller.ProvisioningInBackground},
		"adopted and does not grow": {backend: tooSmall, want: controller.ProvisioningInBackground, left: 1},
		"an error nobody has seen":  {backend: &fake.Backend{Fault: func(string, cephclient.Volume) error { return errors.New("?") }}, want: controller.ProvisioningInBackground},
	} {
		t.Run(state, func(t *testing.T) {
			if c.backend == nil {
				c.backend = &fake.Backend{}
			}
			o := options()
			if c.spoil != nil {
				c.spoil(&o)
			}
			pv, got, err := rbd(access{backend: c.backend, fails: c.fails}).Provision(context.Background(), o)
			if got != c.want || (err == nil) != c.ok || (pv != nil) != c.ok {
				t.Errorf("state %s, %v, PV %v; want %s", got, err, pv, c.want)
			}
			if !c.ok && len(c.backend.Sizes()) != c.left {
				t.Errorf("left behind: %v", c.backend.Sizes())
			}
		})
	}
}

// another is a backend whose cluster has other file systems beside the volume's. As in the real
// one, Grow does not look at them.
type another struct{ *fake.Backend }

func (b another) Ensure(ctx context.Context, volume cephclient.Volume, sizeBytes int64, options cephclient.CreateOptions) (cephclient.Info, error) {
	info, err := b.Backend.Ensure(ctx, volume, sizeBytes, options)
	info.OtherFileSystems, info.NotDefaultFileSystem = true, true
	return info, err
}

// What is adopted and grown is mounted from its own file system, as what is made.
func TestProvisionKeepsTheFileSystemOfWhatItGrows(t *testing.T) {
	backend := another{&fake.Backend{}}
	backend.Put(name, 1)
	o := options()
	o.StorageClass.Parameters["fsName"], o.StorageClass.Parameters["userId"] = "second", "nodes"
	p := provisioner.New(provisioner.Options{Kind: cephclient.CephFS, Access: access{backend: backend}, Client: cluster()})
	pv, _, err := p.Provision(t.Context(), o)
	if err != nil || !slices.Contains(pv.Spec.MountOptions, "mds_namespace=second") {
		t.Errorf("%+v, %v", pv, err)
	}
}

func TestProvisionAdopts(t *testing.T) {
	const gib = 1 << 30
	for state, c := range map[string]struct{ before, want int64 }{
		"what the last try made":            {gib, gib},
		"and grows what is smaller":         {gib / 2, gib},
		"and says the size of what is more": {2 * gib, 2 * gib},
	} {
		t.Run(state, func(t *testing.T) {
			backend := &fake.Backend{}
			backend.Put(name, c.before)
			pv, _, err := rbd(access{backend: backend}).Provision(context.Background(), options())
			if err != nil {
				t.Fatal(err)
			}
			capacity := pv.Spec.Capacity[corev1.ResourceStorage]
			if capacity.Value() != c.want || backend.Sizes()[name] != c.want || len(backend.Sizes()) != 1 {
				t.Errorf("PV %s, volumes %v; want %d", capacity.String(), backend.Sizes(), c.want)
			}
		})
	}
}
