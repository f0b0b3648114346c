package audit

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/util"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// readVolumes follows each PersistentVolume of ours to Ceph.
func (a *Audit) readVolumes(ctx context.Context) (kubernetes, error) {
	now := newKubernetes()
	listed, err := a.Kubernetes.Classes(ctx)
	if err != nil {
		return now, err
	}
	classes := map[string]*storagev1.StorageClass{}
	for i := range listed {
		classes[listed[i].Name] = &listed[i]
	}
	provisioners := a.provisioners()
	err = a.Kubernetes.Volumes(ctx, func(pv *corev1.PersistentVolume) {
		if pvspec.ProvisionedBy(pv, provisioners) {
			if followed, err := a.follow(ctx, pv, classes[util.GetPersistentVolumeClass(pv)]); err == nil {
				now.volumes[pv.Name] = followed
				return
			}
		}
		now.others[pv.Name] = pvspec.Mentions(pv)
	})
	return now, err
}

func (a *Audit) follow(ctx context.Context, pv *corev1.PersistentVolume, class *storagev1.StorageClass) (*volume, error) {
	source, err := pvspec.FromPersistentVolume(pv, class)
	if err != nil {
		a.state.fail("", "PersistentVolume", pv.Name, err)
		return nil, err
	}
	user, own := pvspec.OwnUserOf(pv, source.Volume)
	there := a.ways.follow(ctx, source.Monitors, source.Admin, source.Volume.Place(), own)
	if there.err != nil {
		return nil, there.err // told once, with the route
	}
	source.Volume.Container = there.site.place.Container
	followed := &volume{
		name: pv.Name, source: source.Volume, site: there.site, by: there.by, user: user,
		capacityBytes: pvspec.CapacityBytes(pv),
		growing:       pvspec.IsPostponed(pv),
		leaving:       pvspec.IsBeingDeleted(pv),
	}
	if claim := pv.Spec.ClaimRef; claim != nil {
		followed.claimUID = string(claim.UID)
	}
	return followed, nil
}

// readSecrets lists those that were made for volumes, and looks for those that
// PersistentVolumes name besides.
func (a *Audit) readSecrets(ctx context.Context, now *kubernetes) {
	for namespace := range a.namespaces {
		all, err := a.Kubernetes.Secrets(ctx, namespace)
		if apierrors.IsForbidden(err) {
			err = fmt.Errorf("the service account may not list secrets there: grant it as manifests/base/secrets-of-volumes.yaml does (%w)", err)
		}
		if err != nil {
			a.state.fail("", namespace, "secrets", err)
		}
		for _, each := range all {
			now.secrets[pvspec.SecretRef{Namespace: namespace, Name: each.Name}] = secretOf(each)
		}
	}
	var workers errgroup.Group
	workers.SetLimit(together)
	for _, pv := range now.volumes {
		ref := pv.user.Secret
		if _, listed := now.secrets[ref]; pv.user.ID == "" || ref.Name == "" || listed {
			continue
		}
		workers.Go(func() error {
			_, err := a.Kubernetes.Secret(ctx, ref)
			a.mu.Lock()
			defer a.mu.Unlock()
			switch {
			case apierrors.IsNotFound(err):
				now.lost[ref] = true
			case err != nil:
				a.state.fail("", ref.Namespace, "secrets", err)
			}
			return nil
		})
	}
	_ = workers.Wait() // failures are findings
}

func secretOf(meta metav1.ObjectMeta) secret {
	owner, _ := cephclient.ParseOwner(meta.Annotations[cephclient.OwnerKey])
	return secret{uid: string(meta.UID), owner: owner, createdAt: meta.CreationTimestamp.Time}
}
