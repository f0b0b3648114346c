package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// legacyCephFS is what ceph.com/cephfs made of a claim, step by step as that program
// and Ceph's ceph_volume_client did it: directories, quota if enabled, layout, an
// empty file beside the group, a cephx user, a secret, and a PersistentVolume.
type legacyCephFS struct {
	root, group, share, user string
	quotaBytes               int64 // 0 unless the program ran with -enable-quota
	isolated                 bool  // unless with -disable-ceph-namespace-isolation
}

const legacyProvisioner = "ceph.com/cephfs"

func (l legacyCephFS) path() string       { return path.Join(l.root, l.group, l.share) }
func (l legacyCephFS) metaPath() string   { return path.Join(l.root, "_"+l.group+":"+l.share+".meta") }
func (l legacyCephFS) secretName() string { return "ceph-" + l.user + "-secret" }

func (l legacyCephFS) inCeph(t testing.TB, ceph *cephCluster) {
	t.Helper()
	osd := "allow rw pool=" + ceph.subvolumeDataPool(t)
	errs := []error{os.MkdirAll(ceph.path(l.path()), 0o755)}
	set := func(name, value string) {
		errs = append(errs, syscall.Setxattr(ceph.path(l.path()), name, []byte(value), 0))
	}
	if l.quotaBytes > 0 {
		set("ceph.quota.max_bytes", fmt.Sprint(l.quotaBytes))
	}
	if l.isolated {
		set("ceph.dir.layout.pool_namespace", "fsvolumens_"+l.share)
		osd += " namespace=fsvolumens_" + l.share
	} else {
		set("ceph.dir.layout.pool", ceph.subvolumeDataPool(t))
	}
	errs = append(errs, os.WriteFile(ceph.path(l.metaPath()), nil, 0o755), os.WriteFile(ceph.path(l.path(), "data"), []byte("kept"), 0o600))
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	ceph.run(t, "ceph", "auth", "get-or-create", "client."+l.user, "mds", "allow r,allow rw path="+l.path(), "osd", osd, "mon", "allow r")
}

// inKubernetes makes the secret, and a claim that is bound to the volume.
func (l legacyCephFS) inKubernetes(s *scene, ceph *cephCluster, class string) (*corev1.PersistentVolumeClaim, *corev1.PersistentVolume) {
	s.t.Helper()
	key, err := ceph.key(s.t.Context(), l.user)
	if err != nil {
		s.t.Fatal(err)
	}
	core := suite.client.CoreV1()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: l.secretName()}, StringData: map[string]string{"key": key}}
	if _, err := core.Secrets(volumeSecrets).Create(s.t.Context(), secret, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	return s.oldVolume(class, "pvc-"+s.namespace+"-"+strings.ReplaceAll(l.share, ".", "-"), corev1.PersistentVolumeFilesystem,
		map[string]string{
			"cephFSProvisionerIdentity": "cephfs-provisioner-1", "cephShare": l.share,
			"pv.kubernetes.io/provisioned-by": legacyProvisioner,
		},
		corev1.PersistentVolumeSource{CephFS: &corev1.CephFSPersistentVolumeSource{
			Monitors: strings.Split(ceph.Monitors, ","), Path: l.path(), User: l.user,
			SecretRef: &corev1.SecretReference{Name: l.secretName(), Namespace: volumeSecrets},
		}})
}

// oldVolume is a PersistentVolume of 1 GiB as another provisioner has made it, with its claim.
func (s *scene) oldVolume(
	class, name string, mode corev1.PersistentVolumeMode, annotations map[string]string, source corev1.PersistentVolumeSource,
) (*corev1.PersistentVolumeClaim, *corev1.PersistentVolume) {
	s.t.Helper()
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations},
		Spec: corev1.PersistentVolumeSpec{
			StorageClassName:              class,
			Capacity:                      quantities(map[corev1.ResourceName]string{corev1.ResourceStorage: "1Gi"}),
			AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			VolumeMode:                    &mode,
			PersistentVolumeSource:        source,
		},
	}
	if _, err := suite.client.CoreV1().PersistentVolumes().Create(s.t.Context(), pv, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	claim := s.claim(class, "1Gi", func(claim *corev1.PersistentVolumeClaim) {
		claim.Spec.VolumeName, claim.Spec.VolumeMode = name, &mode
	})
	return claim, s.bound(claim)
}

// wantGone checks that nothing of a volume is left, its group's folder apart.
func (l legacyCephFS) wantGone(s *scene, ceph *cephCluster) {
	s.t.Helper()
	for _, path := range []string{l.path(), l.metaPath()} {
		if _, err := os.Lstat(ceph.path(path)); !errors.Is(err, os.ErrNotExist) {
			s.t.Errorf("%s is left (%v)", path, err)
		}
	}
	if caps, err := ceph.caps(s.t.Context(), l.user); err != nil || caps != nil {
		s.t.Errorf("client.%s is left (%v)", l.user, err)
	}
	if _, err := suite.client.CoreV1().Secrets(volumeSecrets).Get(s.t.Context(), l.secretName(), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		s.t.Errorf("secret %s is left (%v)", l.secretName(), err)
	}
	s.eventually("the directory is purged", func(ctx context.Context) error {
		left, err := ceph.directories(ctx)
		for _, each := range left {
			if strings.Contains(each, l.share) {
				err = errors.Join(err, fmt.Errorf("%s is left", each))
			}
		}
		return err
	})
}

// The volumes of ceph.com/cephfs grow, and go completely, whatever is gone already.
func TestVolumesOfCephComCephFS(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	tests := map[string]struct {
		make  func(namespace string) legacyCephFS
		spoil func(t *testing.T, l legacyCephFS)
		grows bool
		usual bool // the class, without claimRoot: it makes subvolumes now
	}{
		"names drawn by lot, of the usual class": {
			make: func(ns string) legacyCephFS {
				volume := lot(ns, 1<<30)
				volume.root = groupPath
				return volume
			},
			grows: true, usual: true,
		},
		"names drawn by lot, with quota": {
			make:  func(ns string) legacyCephFS { return lot(ns, 1<<30) },
			grows: true,
		},
		"names drawn by lot, without quota": {
			make:  func(ns string) legacyCephFS { return lot(ns, 0) },
			grows: true,
		},
		"deterministic names": {
			make: func(ns string) legacyCephFS {
				return legacyCephFS{root: claimRoot, group: ns, share: "my.data", user: "k8s." + ns + ".my.data", quotaBytes: 1 << 30}
			},
			grows: true,
		},
		"directory gone": {
			make: func(ns string) legacyCephFS { return lot(ns, 0) },
			spoil: func(t *testing.T, l legacyCephFS) {
				if err := os.RemoveAll(ceph.path(l.path())); err != nil {
					t.Error(err)
				}
			},
		},
		"user and secret gone": {
			make: func(ns string) legacyCephFS { return lot(ns, 0) },
			spoil: func(t *testing.T, l legacyCephFS) {
				ceph.run(t, "ceph", "auth", "rm", "client."+l.user)
				if err := suite.client.CoreV1().Secrets(volumeSecrets).Delete(t.Context(), l.secretName(), metav1.DeleteOptions{}); err != nil {
					t.Error(err)
				}
			},
		},
		"half deleted by that program": {
			make: func(ns string) legacyCephFS { return lot(ns, 0) },
			spoil: func(t *testing.T, l legacyCephFS) {
				ceph.run(t, "ceph", "auth", "caps", "client."+l.user, "mds", "allow r", "mon", "allow r")
				if err := errors.Join(os.RemoveAll(ceph.path(l.path())), os.Remove(ceph.path(l.metaPath()))); err != nil {
					t.Error(err)
				}
			},
		},
	}
	for state, test := range tests {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			volume := test.make(s.namespace)
			volume.inCeph(t, ceph)
			class := s.directoryClass(ceph, legacyClass)
			if test.usual {
				class = s.tenantClass(ceph, legacyClass)
			}
			claim, pv := volume.inKubernetes(s, ceph, class)
			if test.grows {
				s.request(claim, "2Gi")
				s.finished(claim, 2<<30)
				if quota := ceph.attribute(volume.path(), "ceph.quota.max_bytes"); quota != fmt.Sprint(2<<30) {
					t.Errorf("the quota is %q", quota)
				}
				if text, err := os.ReadFile(ceph.path(volume.path(), "data")); err != nil || string(text) != "kept" {
					t.Errorf("its data is %q (%v)", text, err)
				}
			}
			if test.spoil != nil {
				test.spoil(t, volume)
			}
			s.deleteClaim(claim)
			s.gone(pv.Name)
			volume.wantGone(s, ceph)
		})
	}
}

func lot(namespace string, quotaBytes int64) legacyCephFS {
	return legacyCephFS{
		root: claimRoot, group: "kubernetes", share: "kubernetes-dynamic-pvc-" + namespace,
		user: "kubernetes-dynamic-user-" + namespace, quotaBytes: quotaBytes, isolated: true,
	}
}

// legacyClass turns a class into one of ceph.com/cephfs.
func legacyClass(class *storagev1.StorageClass) {
	class.Provisioner = legacyProvisioner
	delete(class.Parameters, "backend")
}

// A claim of that program's class that was made again got the directory of the one
// before. Its data stays as long as one of both volumes is there.
func TestVolumesOfCephComCephFSThatShareADirectory(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	volume := legacyCephFS{root: claimRoot, group: s.namespace, share: "data", user: "k8s." + s.namespace + ".data"}
	volume.inCeph(t, ceph)
	claim, pv := volume.inKubernetes(s, ceph, s.directoryClass(ceph, legacyClass))
	twin := pv.DeepCopy()
	twin.ObjectMeta = metav1.ObjectMeta{Name: pv.Name + "-twin", Annotations: pv.Annotations}
	twin.Spec.ClaimRef, twin.Spec.PersistentVolumeReclaimPolicy = nil, corev1.PersistentVolumeReclaimRetain
	if _, err := suite.client.CoreV1().PersistentVolumes().Create(t.Context(), twin, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.deleteClaim(claim)
	s.event(pv, "VolumeFailedDelete", twin.Name, "kubectl delete pv "+pv.Name)
	if _, err := os.Stat(filepath.Join(ceph.path(volume.path()), "data")); err != nil {
		t.Error(err)
	}
	if err := suite.client.CoreV1().PersistentVolumes().Delete(t.Context(), twin.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.gone(pv.Name)
	volume.wantGone(s, ceph)
}
