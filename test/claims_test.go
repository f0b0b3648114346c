package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	rbdProvisioner    = "ceph.example/rbd"
	cephfsProvisioner = "ceph.example/cephfs"
)

// classChange makes a class differ from the usual one.
type classChange func(*storagev1.StorageClass)

// with sets a parameter, and without removes one.
func with(key, value string) classChange {
	return func(class *storagev1.StorageClass) { class.Parameters[key] = value }
}

func without(keys ...string) classChange {
	return func(class *storagev1.StorageClass) {
		for _, key := range keys {
			delete(class.Parameters, key)
		}
	}
}

func retain(class *storagev1.StorageClass) {
	policy := corev1.PersistentVolumeReclaimRetain
	class.ReclaimPolicy = &policy
}

func waitForFirstConsumer(class *storagev1.StorageClass) {
	mode := storagev1.VolumeBindingWaitForFirstConsumer
	class.VolumeBindingMode = &mode
}

// rbdClass makes a class of the shape of manifests/examples/rbd/class.yaml.
func (s *scene) rbdClass(ceph *cephCluster, changes ...classChange) string {
	s.t.Helper()
	return s.class(s.rbd, map[string]string{
		"monitors":             ceph.Monitors,
		"adminId":              rbdAdminID,
		"adminSecretName":      rbdAdminSecret,
		"adminSecretNamespace": ceph.Name,
		"userId":               rbdUserID,
		"userSecretName":       rbdUserSecret,
		"userSecretNamespace":  ceph.Name,
	}, changes)
}

// tenantClass makes a class of the shape of manifests/examples/cephfs/class.yaml:
// each volume has a user of its own.
func (s *scene) tenantClass(ceph *cephCluster, changes ...classChange) string {
	s.t.Helper()
	return s.class(s.cephfs, map[string]string{
		"monitors":             ceph.Monitors,
		"adminId":              tenantAdminID,
		"adminSecretName":      tenantAdminName,
		"adminSecretNamespace": ceph.Name,
	}, changes)
}

// directoryClass makes one whose volumes are plain directories with a user each.
func (s *scene) directoryClass(ceph *cephCluster, changes ...classChange) string {
	s.t.Helper()
	return s.class(s.cephfs, map[string]string{
		"monitors":             ceph.Monitors,
		"adminId":              dirAdminID,
		"adminSecretName":      dirAdminName,
		"adminSecretNamespace": ceph.Name,
		"backend":              "directory",
		"claimRoot":            claimRoot,
	}, changes)
}

// cephfsClass makes one whose volumes share a user.
func (s *scene) cephfsClass(ceph *cephCluster, changes ...classChange) string {
	s.t.Helper()
	return s.class(s.cephfs, map[string]string{
		"monitors":             ceph.Monitors,
		"adminId":              cephfsAdminID,
		"adminSecretName":      cephfsAdminName,
		"adminSecretNamespace": ceph.Name,
		"userId":               cephfsUserID,
		"userSecretName":       cephfsUserName,
		"userSecretNamespace":  ceph.Name,
	}, changes)
}

func (s *scene) class(provisioner string, parameters map[string]string, changes []classChange) string {
	s.t.Helper()
	expandable := true
	class := &storagev1.StorageClass{
		ObjectMeta:           metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", s.namespace, len(s.classes))},
		Provisioner:          provisioner,
		Parameters:           parameters,
		AllowVolumeExpansion: &expandable,
	}
	for _, change := range changes {
		change(class)
	}
	if _, err := suite.client.StorageV1().StorageClasses().Create(s.t.Context(), class, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.classes = append(s.classes, class.Name)
	return class.Name
}

// deleteClass removes a class while its claims are still there.
func (s *scene) deleteClass(name string) {
	s.t.Helper()
	if err := suite.client.StorageV1().StorageClasses().Delete(s.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// claimChange makes a claim differ from the usual one.
type claimChange func(*corev1.PersistentVolumeClaim)

func modes(modes ...corev1.PersistentVolumeAccessMode) claimChange {
	return func(claim *corev1.PersistentVolumeClaim) { claim.Spec.AccessModes = modes }
}

func block(claim *corev1.PersistentVolumeClaim) {
	mode := corev1.PersistentVolumeBlock
	claim.Spec.VolumeMode = &mode
}

func named(name string) claimChange {
	return func(claim *corev1.PersistentVolumeClaim) { claim.Name, claim.GenerateName = name, "" }
}

// newClaim describes a claim: ReadWriteOnce, with a file system.
func (s *scene) newClaim(class, size string, changes ...claimChange) *corev1.PersistentVolumeClaim {
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "claim-", Namespace: s.namespace},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			StorageClassName: &class,
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)},
			},
		},
	}
	for _, change := range changes {
		change(claim)
	}
	return claim
}

// claim makes a claim.
func (s *scene) claim(class, size string, changes ...claimChange) *corev1.PersistentVolumeClaim {
	s.t.Helper()
	claim, err := suite.client.CoreV1().PersistentVolumeClaims(s.namespace).Create(
		s.t.Context(), s.newClaim(class, size, changes...), metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return claim
}

func getClaim(ctx context.Context, claim *corev1.PersistentVolumeClaim) (*corev1.PersistentVolumeClaim, error) {
	return suite.client.CoreV1().PersistentVolumeClaims(claim.Namespace).Get(ctx, claim.Name, metav1.GetOptions{})
}

func getVolume(ctx context.Context, name string) (*corev1.PersistentVolume, error) {
	return suite.client.CoreV1().PersistentVolumes().Get(ctx, name, metav1.GetOptions{})
}

// bound waits until a claim has its volume.
func (s *scene) bound(claim *corev1.PersistentVolumeClaim) *corev1.PersistentVolume {
	s.t.Helper()
	var pv *corev1.PersistentVolume
	s.eventually("claim "+claim.Name+" is Bound", func(ctx context.Context) error {
		now, err := getClaim(ctx, claim)
		if err != nil {
			return err
		}
		if now.Status.Phase != corev1.ClaimBound {
			return fmt.Errorf("it is %s", now.Status.Phase)
		}
		pv, err = getVolume(ctx, now.Spec.VolumeName)
		return err
	})
	return pv
}

// made is claim and bound in one.
func (s *scene) made(class, size string, changes ...claimChange) (*corev1.PersistentVolumeClaim, *corev1.PersistentVolume) {
	s.t.Helper()
	claim := s.claim(class, size, changes...)
	return claim, s.bound(claim)
}

// wantPending fails if a claim has got a volume.
func (s *scene) wantPending(claim *corev1.PersistentVolumeClaim) {
	s.t.Helper()
	now, err := getClaim(s.t.Context(), claim)
	if err != nil {
		s.t.Fatal(err)
	}
	if now.Status.Phase != corev1.ClaimPending {
		s.t.Errorf("claim %s is %s, want Pending", claim.Name, now.Status.Phase)
	}
}

func (s *scene) deleteClaim(claim *corev1.PersistentVolumeClaim) {
	s.t.Helper()
	claims := suite.client.CoreV1().PersistentVolumeClaims(claim.Namespace)
	if err := claims.Delete(s.t.Context(), claim.Name, metav1.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// gone waits until a volume is no more in Kubernetes.
func (s *scene) gone(pv string) {
	s.t.Helper()
	s.goneIn(patience, pv)
}

func (s *scene) goneIn(patience time.Duration, pv string) {
	s.t.Helper()
	gone := s.eventuallyIn(s.t.Context(), pollInterval, patience, "volume "+pv+" is gone", func(ctx context.Context) error {
		now, err := getVolume(ctx, pv)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("it is %s", now.Status.Phase)
		}
		return err
	})
	if !gone {
		s.t.FailNow()
	}
}

// traceless waits until Ceph has nothing of a claim's volume.
func (s *scene) traceless(ceph *cephCluster, claim *corev1.PersistentVolumeClaim) {
	s.t.Helper()
	s.eventuallyIn(s.t.Context(), toolInterval, patience, "Ceph has nothing of claim "+claim.Name, func(ctx context.Context) error {
		traces, err := ceph.traces(ctx, volumeName(claim))
		if err == nil && len(traces) > 0 {
			err = fmt.Errorf("it has %v", traces)
		}
		return err
	})
}

// request edits the size that a claim asks for, as kubectl patch does.
func (s *scene) request(claim *corev1.PersistentVolumeClaim, size string) {
	s.t.Helper()
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{
		"resources": map[string]any{"requests": map[string]any{"storage": size}},
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	claims := suite.client.CoreV1().PersistentVolumeClaims(claim.Namespace)
	_, err = claims.Patch(s.t.Context(), claim.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
}

func hasCondition(claim *corev1.PersistentVolumeClaim, kind corev1.PersistentVolumeClaimConditionType) bool {
	return slices.ContainsFunc(claim.Status.Conditions, func(c corev1.PersistentVolumeClaimCondition) bool {
		return c.Type == kind && c.Status == corev1.ConditionTrue
	})
}

// quantities parses a list of resources.
func quantities(text map[corev1.ResourceName]string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for name, quantity := range text {
		list[name] = resource.MustParse(quantity)
	}
	return list
}

func claimIsGone(claim *corev1.PersistentVolumeClaim) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := getClaim(ctx, claim)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("claim %s is there", claim.Name)
		}
		return err
	}
}
