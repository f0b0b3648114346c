package e2e

import (
	"context"
	"fmt"
	"path"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
)

const inTreeRBD = "kubernetes.io/rbd"

// legacyRBD makes what kube-controller-manager's provisioner made where it had an `rbd`: an
// image under a name drawn by lot, without a mark, its PersistentVolume, and a claim.
func (s *scene) legacyRBD(ceph *cephCluster, class string, mode corev1.PersistentVolumeMode) (*corev1.PersistentVolumeClaim, *corev1.PersistentVolume) {
	s.t.Helper()
	image := "kubernetes-dynamic-pvc-by-lot-" + s.namespace
	ceph.run(s.t, "rbd", "create", "--no-progress", "--image-feature=layering", "--size=1024M", path.Join(defaultPool, image))
	return s.oldVolume(class, "pvc-"+s.namespace, mode,
		map[string]string{"kubernetes.io/createdby": "rbd-dynamic-provisioner", "pv.kubernetes.io/provisioned-by": inTreeRBD},
		corev1.PersistentVolumeSource{RBD: &corev1.RBDPersistentVolumeSource{
			CephMonitors: strings.Split(ceph.Monitors, ","), RBDPool: defaultPool, RBDImage: image, RadosUser: rbdUserID,
			Keyring: "/etc/ceph/keyring", SecretRef: &corev1.SecretReference{Name: rbdUserSecret, Namespace: ceph.Name},
		}})
}

// inTreeClass is one as that provisioner had it.
func (s *scene) inTreeClass(ceph *cephCluster) string {
	s.t.Helper()
	return s.rbdClass(ceph, func(class *storagev1.StorageClass) {
		class.Provisioner = inTreeRBD
		for key, value := range map[string]string{"pool": defaultPool, "fsType": "ext4", "imageFormat": "2", "imageFeatures": "layering"} {
			class.Parameters[key] = value
		}
	})
}

// takeOver does what docs/parameters.md tells an administrator to do.
func (s *scene) takeOver(pv *corev1.PersistentVolume) {
	s.t.Helper()
	if _, err := kubectl(s.t.Context(), "annotate", "pv", pv.Name, "--overwrite", "pv.kubernetes.io/provisioned-by="+s.rbd); err != nil {
		s.t.Fatal(err)
	}
}

func (c *cephCluster) wantNoImage(t testing.TB, pv *corev1.PersistentVolume) {
	t.Helper()
	if left := c.run(t, "rbd", "ls", defaultPool); strings.Contains(left, pv.Spec.RBD.RBDImage) {
		t.Errorf("the image is left: %s", left)
	}
}

// Volumes of kubernetes.io/rbd are left alone, until an administrator hands them over: then
// they grow and go, with the class as that provisioner had it.
func TestVolumesOfKubernetesRBD(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	t.Run("that could not be deleted", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		claim, pv := s.legacyRBD(ceph, s.inTreeClass(ceph), corev1.PersistentVolumeFilesystem)
		s.deleteClaim(claim)
		s.eventually("kube-controller-manager has failed", func(ctx context.Context) error {
			now, err := getVolume(ctx, pv.Name)
			if err == nil && now.Status.Phase != corev1.VolumeFailed {
				err = fmt.Errorf("it is %s", now.Status.Phase)
			}
			return err
		})
		s.takeOver(pv)
		if _, err := kubectl(t.Context(), "patch", "pv", pv.Name, "--subresource=status", `--patch={"status":{"phase":"Released"}}`); err != nil {
			t.Fatal(err)
		}
		s.gone(pv.Name)
		ceph.wantNoImage(t, pv)
	})
	for _, mode := range []corev1.PersistentVolumeMode{corev1.PersistentVolumeFilesystem, corev1.PersistentVolumeBlock} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			claim, pv := s.legacyRBD(ceph, s.inTreeClass(ceph), mode)
			image := path.Join(defaultPool, pv.Spec.RBD.RBDImage)
			s.request(claim, "2Gi")
			s.event(claim, "VolumeResizeFailed", "rbd") // kube-controller-manager's, which has none
			if size := ceph.image(t, image).SizeBytes; size != 1<<30 {
				t.Errorf("a volume that is not ours has grown to %d bytes", size)
			}

			s.takeOver(pv)
			if mode == corev1.PersistentVolumeBlock {
				s.finished(claim, 2<<30)
			} else {
				s.nodePending(claim, 1<<30)
			}
			if size := ceph.image(t, image).SizeBytes; size != 2<<30 {
				t.Errorf("the image has %d bytes", size)
			}
			s.deleteClaim(claim)
			s.gone(pv.Name)
			ceph.wantNoImage(t, pv)
		})
	}
}
