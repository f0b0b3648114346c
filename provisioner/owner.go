package provisioner

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"ceph.example/ceph-provisioner/cephclient"
)

// installation is this Kubernetes cluster, told from others by the UID of its
// namespace kube-system, which lives as long as the cluster. It is read once.
type installation struct {
	client kubernetes.Interface
	mu     sync.Mutex
	uid    string
}

func (i *installation) id(ctx context.Context) (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.uid == "" {
		uid, err := Installation(ctx, i.client)
		if err != nil {
			return "", err
		}
		i.uid = uid
	}
	return i.uid, nil
}

// Installation is what volumes of a Kubernetes cluster are marked with.
func Installation(ctx context.Context, client kubernetes.Interface) (string, error) {
	namespace, err := client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("read the UID of namespace %s, which marks this cluster's volumes: %w", metav1.NamespaceSystem, err)
	}
	return string(namespace.UID), nil
}

// ownerFor is what is written onto the volume of a claim.
func (i *installation) ownerFor(ctx context.Context, claim *corev1.PersistentVolumeClaim, volume string) (cephclient.Owner, error) {
	id, err := i.id(ctx)
	return cephclient.Owner{
		Installation:     id,
		Namespace:        claim.Namespace,
		Claim:            claim.Name,
		ClaimUID:         string(claim.UID),
		PersistentVolume: volume,
	}, err
}

// owner is the same, of a volume that was made.
func (i *installation) owner(ctx context.Context, pv *corev1.PersistentVolume) (cephclient.Owner, error) {
	claim := &corev1.PersistentVolumeClaim{}
	if ref := pv.Spec.ClaimRef; ref != nil {
		claim.Namespace, claim.Name, claim.UID = ref.Namespace, ref.Name, ref.UID
	}
	return i.ownerFor(ctx, claim, pv.Name)
}
