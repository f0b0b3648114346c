package provisioner

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// claimNow asks the API server for a claim. It is nil if the claim is gone, also if
// another was made under its name.
func claimNow(ctx context.Context, client kubernetes.Interface, namespace, name string, uid types.UID) (*corev1.PersistentVolumeClaim, error) {
	claim, err := client.CoreV1().PersistentVolumeClaims(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && claim.UID != uid {
		return nil, nil
	}
	return claim, err
}
