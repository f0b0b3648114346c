package e2e

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

func TestProvisionRBD(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	tests := map[string]struct {
		class      []classChange
		claim      []claimChange
		size       string
		wantSize   int64
		wantFSType string
		want       image // layout; features and sizes that are not given are librbd's defaults
	}{
		"a class with the least parameters": {
			size: "1Gi", wantSize: 1 << 30,
		},
		"a size that is no multiple of 1 MiB": {
			size: "1500001", wantSize: 2 << 20,
		},
		"a size with a fraction of a byte": {
			size: "1048576500m", wantSize: 2 << 20,
		},
		"fsType": {
			class: []classChange{with("fsType", "xfs")},
			size:  "1Gi", wantSize: 1 << 30, wantFSType: "xfs",
		},
		"all image features": {
			class: []classChange{with("imageFeatures", "layering, exclusive-lock,object-map,fast-diff,deep-flatten")},
			size:  "1Gi", wantSize: 1 << 30,
			want: image{Features: []string{"layering", "exclusive-lock", "object-map", "fast-diff", "deep-flatten"}},
		},
		"object size and striping": {
			class: []classChange{with("objectSize", "8M"), with("stripeUnit", "65536"), with("stripeCount", "4")},
			size:  "1Gi", wantSize: 1 << 30,
			want: image{Features: []string{"layering", "striping"}, ObjectSize: 8 << 20, StripeUnit: 65536, StripeCount: 4},
		},
		"a data pool": {
			class: []classChange{with("dataPool", ceph.RBDDataPool)},
			size:  "1Gi", wantSize: 1 << 30,
			want: image{Features: []string{"layering", "data-pool"}, DataPool: ceph.RBDDataPool},
		},
		"keys in another case, and an identity with its type": {
			class: []classChange{
				without("adminId", "userId", "userSecretName"),
				with("ADMINID", "client."+rbdAdminID), with("userid", "client."+rbdUserID), with("UserSecretNAME", rbdUserSecret),
				with("imageformat", "2"), with("IMAGEFEATURES", "layering"), with("POOL", "rbd"), with("fstype", "ext4"),
			},
			size: "1Gi", wantSize: 1 << 30, wantFSType: "ext4",
		},
		"a block volume": {
			class: []classChange{with("fsType", "ext4")},
			claim: []claimChange{block},
			size:  "1Gi", wantSize: 1 << 30,
		},
		"a block volume for many writers": {
			claim: []claimChange{block, modes(corev1.ReadWriteMany)},
			size:  "1Gi", wantSize: 1 << 30,
		},
		"many readers": {
			claim: []claimChange{modes(corev1.ReadOnlyMany, corev1.ReadWriteOnce)},
			size:  "1Gi", wantSize: 1 << 30,
		},
		"a single pod": {
			claim: []claimChange{modes(corev1.ReadWriteOncePod)},
			size:  "1Gi", wantSize: 1 << 30,
		},
	}
	for state, test := range tests {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			class := s.rbdClass(ceph, test.class...)
			claim, pv := s.made(class, test.size, test.claim...)

			wantImage(t, ceph.image(t, imageSpec(claim)), test.wantSize, test.want)
			wantOwner(t, ceph.imageOwner(t, claim), claim)
			wantPV(t, pv, claim, class, test.wantSize)
			wantSource(t, pv.Spec.PersistentVolumeSource, corev1.PersistentVolumeSource{RBD: &corev1.RBDPersistentVolumeSource{
				CephMonitors: strings.Split(ceph.Monitors, ","),
				RBDPool:      defaultPool,
				RBDImage:     volumeName(claim),
				RadosUser:    rbdUserID,
				SecretRef:    &corev1.SecretReference{Namespace: ceph.Name, Name: rbdUserSecret},
				FSType:       test.wantFSType,
				Keyring:      "/etc/ceph/keyring", // the API server's default; the secret outranks it
			}})
			wantAnnotations(t, pv, map[string]string{
				"ceph.example/admin-id":               rbdAdminID,
				"ceph.example/admin-secret-name":      rbdAdminSecret,
				"ceph.example/admin-secret-namespace": ceph.Name,
				"ceph.example/backend":                "rbd",
			})
		})
	}
}

// wantImage fills in librbd's defaults, as `rbd create` does.
func wantImage(t *testing.T, got image, wantSize int64, want image) {
	t.Helper()
	const defaultObjectSize = 4 << 20
	want.ID, want.SizeBytes = got.ID, wantSize
	if want.Features == nil {
		want.Features = []string{"layering"}
	}
	if want.ObjectSize == 0 {
		want.ObjectSize = defaultObjectSize
	}
	slices.Sort(got.Features)
	slices.Sort(want.Features)
	if !equality.Semantic.DeepEqual(got, want) {
		t.Errorf("rbd info says\n%+v, want\n%+v", got, want)
	}
}

// wantPV checks what does not depend on the kind of volume.
func wantPV(t *testing.T, pv *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim, class string, sizeBytes int64) {
	t.Helper()
	if pv.Name != "pvc-"+string(claim.UID) {
		t.Errorf("the volume is called %s, want pvc-%s", pv.Name, claim.UID)
	}
	if got := pv.Spec.Capacity.Storage().Value(); got != sizeBytes {
		t.Errorf("its capacity is %d, want %d", got, sizeBytes)
	}
	if pv.Spec.StorageClassName != class {
		t.Errorf("its class is %q, want %q", pv.Spec.StorageClassName, class)
	}
	if !slices.Equal(pv.Spec.AccessModes, claim.Spec.AccessModes) {
		t.Errorf("its access modes are %v, want %v", pv.Spec.AccessModes, claim.Spec.AccessModes)
	}
	if *pv.Spec.VolumeMode != *claim.Spec.VolumeMode {
		t.Errorf("its mode is %s, want %s", *pv.Spec.VolumeMode, *claim.Spec.VolumeMode)
	}
	if pv.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
		t.Errorf("its reclaim policy is %s, want Delete", pv.Spec.PersistentVolumeReclaimPolicy)
	}
}

func wantSource(t *testing.T, got, want corev1.PersistentVolumeSource) {
	t.Helper()
	if !equality.Semantic.DeepEqual(got, want) {
		gotText, _ := json.Marshal(got)
		wantText, _ := json.Marshal(want)
		t.Errorf("the volume's source is\n%s, want\n%s", gotText, wantText)
	}
}

// wantAnnotations compares all annotations of our domain.
func wantAnnotations(t *testing.T, pv *corev1.PersistentVolume, want map[string]string) {
	t.Helper()
	got := maps.Clone(pv.Annotations)
	maps.DeleteFunc(got, func(key, _ string) bool { return !strings.HasPrefix(key, "ceph.example/") })
	if !maps.Equal(got, want) {
		t.Errorf("the volume's annotations are\n%v, want\n%v", got, want)
	}
}

func TestMountOptionsGoToTheVolume(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	want := []string{"discard", "noatime"}
	mounted := func(class *storagev1.StorageClass) { class.MountOptions = want }
	for _, class := range []string{s.rbdClass(suite.ceph[0], mounted), s.cephfsClass(suite.ceph[0], mounted)} {
		_, pv := s.made(class, "1Gi")
		if !slices.Equal(pv.Spec.MountOptions, want) {
			t.Errorf("mount options of %s are %v, want %v", pv.Name, pv.Spec.MountOptions, want)
		}
	}
}
