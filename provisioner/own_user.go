package provisioner

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// checkOwnUser refuses a claim before anything is made for it, if its volume could not
// get a user of its own: the identity may not look at users, or the name of the secret
// is taken.
func (p *Provisioner) checkOwnUser(ctx context.Context, cluster cephclient.Cluster, request pvspec.Request) error {
	users, err := p.access.Users(ctx, cluster, request.Admin)
	if err != nil {
		return err
	}
	if _, err := users.Find(ctx, request.User.ID); err != nil {
		return err
	}
	_, err = p.keys.find(ctx, request.User.Secret, request.Create.Owner)
	return err
}

// grant makes the user of a volume, and the secret with its key; it makes either anew
// with the same rights where it was lost.
func (p *Provisioner) grant(
	ctx context.Context, cluster cephclient.Cluster, admin, user pvspec.Identity, info cephclient.Info, owner cephclient.Owner,
) (cephclient.Secret, error) {
	users, err := p.access.Users(ctx, cluster, admin)
	if err != nil {
		return cephclient.Secret{}, err
	}
	key, err := users.Ensure(ctx, user.ID, info)
	if err != nil {
		return cephclient.Secret{}, err
	}
	return key, p.keys.put(ctx, user.Secret, owner, key)
}

// revoke removes the user and the secret that were made for the volume of a PV alone.
func (p *Provisioner) revoke(ctx context.Context, cluster cephclient.Cluster, source pvspec.Source, pv *corev1.PersistentVolume) error {
	user, own := pvspec.OwnUserOf(pv, source.Volume)
	if !own {
		return nil
	}
	users, err := p.access.Users(ctx, cluster, source.Admin)
	if err != nil {
		return err
	}
	if err := users.Delete(ctx, user.ID, pv.Spec.CephFS.Path); err != nil {
		return err
	}
	return p.keys.remove(ctx, user, pv)
}

// RotateKey gives the user of a volume a fresh key, and puts it into the volume's
// secret; either is made where it was lost. Mounts that are there go on, new ones take
// the new key. A volume with a shared identity is refused.
func (p *Provisioner) RotateKey(ctx context.Context, pv *corev1.PersistentVolume) error {
	cluster, source, err := p.access.Locate(ctx, pv)
	if err != nil {
		return err
	}
	user, own := pvspec.OwnUserOf(pv, source.Volume)
	if !own {
		return fmt.Errorf("PersistentVolume %s has no user of its own: it is mounted with an identity that others share", pv.Name)
	}
	if user.Unmarked {
		return fmt.Errorf("PersistentVolume %s was made by ceph.com/cephfs: its secret does not say whose it is, so its key can't be rotated", pv.Name)
	}
	owner, err := p.here.owner(ctx, pv)
	if err != nil {
		return err
	}
	if _, err := p.keys.find(ctx, user.Secret, owner); err != nil {
		return err
	}
	backend, err := p.access.Backend(ctx, source.Volume.Kind, cluster, source.Admin)
	if err != nil {
		return err
	}
	info, err := backend.Stat(ctx, source.Volume)
	if err != nil {
		return err
	}
	users, err := p.access.Users(ctx, cluster, source.Admin)
	if err != nil {
		return err
	}
	if err := users.Delete(ctx, user.ID, info.Volume.Path); err != nil {
		return err
	}
	_, err = p.grant(ctx, cluster, source.Admin, user.Identity, info, owner)
	return err
}

// errNotOurs is a secret whose name is taken.
var errNotOurs = errors.New("exists already, and does not belong to this volume: remove or rename it")

func notOursError(ref pvspec.SecretRef) error { return fmt.Errorf("secret %s %w", ref, errNotOurs) }

// explain adds what to do to the API server's refusal.
func explain(verb string, ref pvspec.SecretRef, err error) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("secret %s: the API server does not let the service account %s it (%w): grant that there (docs/ceph-identities.md) or raise the namespace's quota, or name another namespace with userSecretNamespace or --secret-namespace", ref, verb, err)
	}
	if apierrors.IsNotFound(err) && verb == "create" {
		return fmt.Errorf("secret %s can't be made: create the namespace %s", ref, ref.Namespace)
	}
	return fmt.Errorf("%s secret %s: %w", verb, ref, err)
}
