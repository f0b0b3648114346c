package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"ceph.example/ceph-provisioner/hack/localcluster"
)

// otherKubernetes is a control plane of the test's own, beside the suite's Ceph.
type otherKubernetes struct {
	*scene // for waiting
	*localcluster.Cluster
	core kubernetes.Interface
}

// classesThere are those of a control plane of a test's own: one for each kind of volume.
var classesThere = []string{"rbd", "cephfs", "tenants", "directories"}

// startKubernetes has these classes, and the secrets that they name.
func startKubernetes(t *testing.T, ceph *cephCluster) *otherKubernetes {
	t.Helper()
	options := localcluster.DefaultOptions()
	options.CephClusters = 0
	options.ControllerManagerQPS = controllerManagerQPS
	cluster, err := localcluster.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	config, err := clientcmd.BuildConfigFromFlags("", cluster.Kubernetes.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	k := &otherKubernetes{scene: newScene(t), Cluster: cluster, core: client}
	k.prepare(ceph)
	return k
}

func (k *otherKubernetes) prepare(ceph *cephCluster) {
	k.t.Helper()
	ctx, other := k.t.Context(), &environment{client: k.core}
	_, err := output(ctx, k.Kubernetes.Env(), "kubectl", "apply", "-k", manifests)
	err = errors.Join(err, other.createNamespace(ctx, ceph.Name))
	for id, secret := range secretsOfIdentities {
		key, keyErr := ceph.key(ctx, id)
		err = errors.Join(err, keyErr, other.putSecret(ctx, ceph.Name, secret, map[string]string{"key": key}))
	}
	if err != nil {
		k.t.Fatal(err)
	}
	for name, copied := range map[string]string{
		"rbd": k.rbdClass(ceph), "cephfs": k.cephfsClass(ceph), "tenants": k.tenantClass(ceph), "directories": k.directoryClass(ceph),
	} {
		class, err := suite.client.StorageV1().StorageClasses().Get(ctx, copied, metav1.GetOptions{})
		if err == nil {
			class.ObjectMeta = metav1.ObjectMeta{Name: name}
			_, err = k.core.StorageV1().StorageClasses().Create(ctx, class, metav1.CreateOptions{})
		}
		if err != nil {
			k.t.Fatal(err)
		}
	}
}

// has makes a claim of a name and class, and returns it.
func (k *otherKubernetes) has(name, class string) *corev1.PersistentVolumeClaim {
	k.t.Helper()
	claim := (&scene{namespace: metav1.NamespaceDefault}).newClaim(class, "1Gi", named(name))
	claim, err := k.core.CoreV1().PersistentVolumeClaims(claim.Namespace).Create(k.t.Context(), claim, metav1.CreateOptions{})
	if err != nil {
		k.t.Fatal(err)
	}
	return claim
}

// hasEach makes a claim of each class.
func (k *otherKubernetes) hasEach(name string) (claims []*corev1.PersistentVolumeClaim) {
	k.t.Helper()
	for _, class := range classesThere {
		claims = append(claims, k.has(name+"-"+class, class))
	}
	return claims
}

// isBound waits until claims have their volumes.
func (k *otherKubernetes) isBound(claims ...*corev1.PersistentVolumeClaim) (pv *corev1.PersistentVolume) {
	k.t.Helper()
	for _, claim := range claims {
		k.eventually("claim "+claim.Name+" is Bound", func(ctx context.Context) error {
			now, err := k.core.CoreV1().PersistentVolumeClaims(claim.Namespace).Get(ctx, claim.Name, metav1.GetOptions{})
			if err == nil && now.Status.Phase != corev1.ClaimBound {
				err = fmt.Errorf("it is %s", now.Status.Phase)
			}
			if err == nil {
				pv, err = k.core.CoreV1().PersistentVolumes().Get(ctx, now.Spec.VolumeName, metav1.GetOptions{})
			}
			return err
		})
	}
	return pv
}

// asks edits the size of a claim.
func (k *otherKubernetes) asks(claim *corev1.PersistentVolumeClaim, size string) {
	k.t.Helper()
	patch := fmt.Appendf(nil, `{"spec":{"resources":{"requests":{"storage":%q}}}}`, size)
	_, err := k.core.CoreV1().PersistentVolumeClaims(claim.Namespace).Patch(k.t.Context(), claim.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		k.t.Fatal(err)
	}
}

// grows waits until the PersistentVolume of a claim has a size.
func (k *otherKubernetes) grows(claim *corev1.PersistentVolumeClaim, wantBytes int64) {
	k.t.Helper()
	k.eventually("the volume of claim "+claim.Name+" has grown", func(ctx context.Context) error {
		pv, err := k.core.CoreV1().PersistentVolumes().Get(ctx, "pvc-"+string(claim.UID), metav1.GetOptions{})
		if err == nil && pv.Spec.Capacity.Storage().Value() != wantBytes {
			err = fmt.Errorf("it has %d bytes", pv.Spec.Capacity.Storage().Value())
		}
		return err
	})
}

// fails waits until the growth of a claim has failed for a reason.
func (k *otherKubernetes) fails(claim *corev1.PersistentVolumeClaim, reason string) {
	k.t.Helper()
	k.eventually("the growth of claim "+claim.Name+" fails", func(ctx context.Context) error {
		now, err := k.core.CoreV1().PersistentVolumeClaims(claim.Namespace).Get(ctx, claim.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range now.Status.Conditions {
			if strings.Contains(condition.Message, reason) {
				return nil
			}
		}
		return fmt.Errorf("its conditions are %v", now.Status.Conditions)
	})
}

// loses deletes claims and waits until nothing of them is left.
func (k *otherKubernetes) loses(ceph *cephCluster, claims ...*corev1.PersistentVolumeClaim) {
	k.t.Helper()
	for _, claim := range claims {
		if err := k.core.CoreV1().PersistentVolumeClaims(claim.Namespace).Delete(k.t.Context(), claim.Name, metav1.DeleteOptions{}); err != nil {
			k.t.Fatal(err)
		}
	}
	for _, claim := range claims {
		k.eventually("the volume of claim "+claim.Name+" is gone", func(ctx context.Context) error {
			pv, err := k.core.CoreV1().PersistentVolumes().Get(ctx, "pvc-"+string(claim.UID), metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			if err == nil {
				err = fmt.Errorf("it is %s", pv.Status.Phase)
			}
			return err
		})
		k.traceless(ceph, claim)
	}
}

// etcdDir is where etcd keeps its data.
func (k *otherKubernetes) etcdDir() string { return filepath.Join(k.Dir, "kubernetes", "etcd") }

// backUp copies what etcd has while it stands still.
func (k *otherKubernetes) backUp() (dir string) {
	k.t.Helper()
	dir = filepath.Join(k.t.TempDir(), "etcd")
	k.send("etcd", syscall.SIGSTOP)
	defer k.send("etcd", syscall.SIGCONT)
	if err := os.CopyFS(dir, os.DirFS(k.etcdDir())); err != nil {
		k.t.Fatal(err)
	}
	return dir
}

// restore does what Kubernetes' documentation says: the API server is stopped while etcd
// is put back, and what relies on it is started anew. Our controller is not. (The
// kube-controller-manager waits 10 s for the API server, gives up, and is revived.)
func (k *otherKubernetes) restore(backup string) {
	k.t.Helper()
	k.send("kube-apiserver", syscall.SIGKILL)
	k.send("etcd", syscall.SIGKILL)
	k.eventually("etcd has ended", func(context.Context) error {
		return errors.Join(os.RemoveAll(k.etcdDir()), os.CopyFS(k.etcdDir(), os.DirFS(backup)))
	})
	for _, daemon := range []string{"etcd", "kube-apiserver", "kube-controller-manager"} {
		if err := k.Restart(k.t.Context(), daemon); err != nil {
			k.t.Fatal(err)
		}
	}
	k.eventually("the API server answers", func(ctx context.Context) error {
		_, err := k.core.CoreV1().Namespaces().Get(ctx, metav1.NamespaceDefault, metav1.GetOptions{})
		return err
	})
}

func (k *otherKubernetes) send(daemon string, signal syscall.Signal) {
	k.t.Helper()
	if err := k.Signal(daemon, signal); err != nil {
		k.t.Fatal(err)
	}
}
