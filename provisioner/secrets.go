package provisioner

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// Secrets reads and writes secrets without ever showing what is in them. Errors are
// the API server's.
type Secrets interface {
	Secret(ctx context.Context, ref pvspec.SecretRef) (*corev1.Secret, error)
	CreateSecret(ctx context.Context, secret *corev1.Secret) error
	// UpdateSecret replaces the very version of the secret that was read.
	UpdateSecret(ctx context.Context, secret *corev1.Secret) error
	// DeleteSecret removes the very secret that was read, by its UID.
	DeleteSecret(ctx context.Context, secret *corev1.Secret) error
}

// keys are the secrets that this program has made, one for each volume with a user of
// its own. Each has exactly one entry: the kubelet takes any of several.
type keys struct{ secrets Secrets }

const (
	keyEntry       = "key"
	managedByLabel = "app.kubernetes.io/managed-by"
	managedBy      = "ceph-provisioner"
)

// find returns a volume's secret, or nil if there is none. One that somebody else has
// made is refused.
func (k keys) find(ctx context.Context, ref pvspec.SecretRef, owner cephclient.Owner) (*corev1.Secret, error) {
	secret, err := k.secrets.Secret(ctx, ref)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, explain("get", ref, err)
	}
	marked, _ := cephclient.ParseOwner(secret.Annotations[cephclient.OwnerKey])
	if marked.Installation != owner.Installation || marked.PersistentVolume != owner.PersistentVolume {
		return nil, notOursError(ref)
	}
	return secret, nil
}

// put writes a key into a volume's secret.
func (k keys) put(ctx context.Context, ref pvspec.SecretRef, owner cephclient.Owner, key cephclient.Secret) error {
	entries := map[string][]byte{keyEntry: []byte(key.Reveal())}
	err := k.secrets.CreateSecret(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   ref.Namespace,
			Name:        ref.Name,
			Labels:      map[string]string{managedByLabel: managedBy},
			Annotations: map[string]string{cephclient.OwnerKey: owner.String()},
		},
		Type: corev1.SecretTypeOpaque,
		Data: entries,
	})
	switch {
	case err == nil:
		return nil
	case !apierrors.IsAlreadyExists(err):
		return explain("create", ref, err)
	}
	present, findErr := k.find(ctx, ref, owner)
	switch {
	case findErr != nil:
		return findErr
	case present == nil: // it has gone again
		return explain("create", ref, err)
	case len(present.Data) == 1 && string(present.Data[keyEntry]) == key.Reveal():
		return nil
	}
	present.Data = entries
	if err := k.secrets.UpdateSecret(ctx, present); err != nil {
		return explain("update", ref, err)
	}
	return nil
}

// remove deletes a volume's secret. What somebody else has put in its place stays.
func (k keys) remove(ctx context.Context, user pvspec.OwnUser, pv *corev1.PersistentVolume) error {
	ref := user.Secret
	if ref.Name == "" {
		return nil
	}
	secret, err := k.secrets.Secret(ctx, ref)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return explain("get", ref, err)
	}
	marked, isMarked := cephclient.ParseOwner(secret.Annotations[cephclient.OwnerKey])
	if ours := marked.PersistentVolume == pv.Name; isMarked != ours || !isMarked && !user.Unmarked {
		return nil
	}
	if err := k.secrets.DeleteSecret(ctx, secret); err != nil && !apierrors.IsNotFound(err) {
		return explain("delete", ref, err)
	}
	return nil
}
