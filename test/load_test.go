package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// claimsOfEachKind are made at once.
const claimsOfEachKind = 50

// Not parallel: hundreds of claims are load enough. They wait for the mgr rather than
// fail. That nothing of them is left, whatever it is called, is what the audit after all
// tests checks.
func TestManyClaimsAtOnce(t *testing.T) {
	ceph := suite.ceph[0]
	s := newScene(t)
	classes := []string{s.rbdClass(ceph), s.cephfsClass(ceph), s.tenantClass(ceph), s.directoryClass(ceph)}
	claims := s.makeAndGrow(classes, claimsOfEachKind)
	s.wantAllInCeph(ceph, claims)

	s.deleteClaims()
	s.eventuallyIn(t.Context(), toolInterval, patience, "Ceph has nothing of the claims", func(ctx context.Context) error {
		traces, err := ceph.allTraces(ctx)
		for _, claim := range claims {
			for _, trace := range traces[volumeName(claim)] {
				err = errors.Join(err, errors.New("it has "+trace))
			}
		}
		return err
	})
	failures := 0
	for _, claim := range claims {
		failures += int(s.told(claim, "ProvisioningFailed"))
		if *claim.Spec.StorageClassName != classes[0] { // kube-controller-manager's are told for RBD
			failures += int(s.told(claim, "VolumeResizeFailed"))
		}
	}
	// On a machine that stands still for seconds a call may fail, and is tried again. A
	// storm is many times that.
	if failures > len(claims)/10 {
		t.Errorf("%d attempts for %d claims have failed", failures, len(claims))
	}
}

// makeAndGrow has claims of each class made at once, and grown when all are Bound.
func (s *scene) makeAndGrow(classes []string, ofEach int) (claims []*corev1.PersistentVolumeClaim) {
	s.t.Helper()
	for range ofEach {
		for _, class := range classes {
			claims = append(claims, s.claim(class, "64Mi"))
		}
	}
	s.all("Bound", isBoundClaim)
	for _, claim := range claims {
		s.request(claim, "128Mi")
	}
	s.all("grown", isGrownClaim)
	return claims
}

func isBoundClaim(claim *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume) bool {
	return claim.Status.Phase == corev1.ClaimBound
}

// isGrownClaim is for claims that were made with 64Mi and ask for 128Mi.
func isGrownClaim(claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) bool {
	return isGrownTo(128<<20)(claim, pv)
}

func isGrownTo(wantBytes int64) goal {
	return func(claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) bool {
		if pv.Spec.Capacity.Storage().Value() != wantBytes {
			return false
		}
		if pv.Spec.RBD != nil {
			return hasCondition(claim, corev1.PersistentVolumeClaimFileSystemResizePending)
		}
		return claim.Status.Capacity.Storage().Value() == wantBytes && len(claim.Status.Conditions) == 0
	}
}

// deleteClaims deletes all claims of the test, and waits until their volumes are gone.
func (s *scene) deleteClaims() {
	s.t.Helper()
	err := suite.client.CoreV1().PersistentVolumeClaims(s.namespace).DeleteCollection(s.t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.eventually("all volumes are gone", func(ctx context.Context) error {
		volumes, err := s.volumes(ctx)
		if err == nil && len(volumes) > 0 {
			err = fmt.Errorf("%d are left", len(volumes))
		}
		return err
	})
}

// all waits until something is true for every claim of the test and its volume.
func (s *scene) all(what string, is func(*corev1.PersistentVolumeClaim, *corev1.PersistentVolume) bool) {
	s.t.Helper()
	s.eventually("all claims are "+what, func(ctx context.Context) error {
		claims, err := suite.client.CoreV1().PersistentVolumeClaims(s.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		volumes, err := s.volumes(ctx)
		if err != nil {
			return err
		}
		byName := map[string]*corev1.PersistentVolume{}
		for i := range volumes {
			byName[volumes[i].Name] = &volumes[i]
		}
		missing := 0
		for i := range claims.Items {
			pv := byName[claims.Items[i].Spec.VolumeName]
			if pv == nil || !is(&claims.Items[i], pv) {
				missing++
			}
		}
		if missing > 0 {
			return fmt.Errorf("%d of %d are not", missing, len(claims.Items))
		}
		return nil
	})
}

// wantAllInCeph checks that each claim has exactly the image or subvolume of its name.
func (s *scene) wantAllInCeph(ceph *cephCluster, claims []*corev1.PersistentVolumeClaim) {
	s.t.Helper()
	all, err := ceph.allTraces(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, claim := range claims {
		if traces := all[volumeName(claim)]; len(traces) != 1 {
			s.t.Errorf("for claim %s Ceph has %v, want one volume", claim.Name, traces)
		}
	}
	images, err := ceph.images(s.t.Context(), defaultPool)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, name := range images {
		if size := ceph.image(s.t, defaultPool+"/"+name).SizeBytes; size != 128<<20 {
			s.t.Errorf("image %s has %d bytes, want %d", name, size, 128<<20)
		}
	}
}
