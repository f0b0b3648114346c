package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The tests of this file stop daemons of the second cluster, so they are not
// parallel: they run before the parallel tests begin.

// A cluster that does not answer delays nobody but its own claims, new ones and
// those that are to grow, which are served when it answers again.
func TestHungClusterDelaysOnlyItsOwnClaims(t *testing.T) {
	healthy, hung := suite.ceph[0], suite.ceph[1]
	s := newScene(t)
	both := func(ceph *cephCluster) []string { return []string{s.rbdClass(ceph), s.cephfsClass(ceph)} }
	hungClasses, healthyClasses := both(hung), both(healthy)
	var growing []*corev1.PersistentVolumeClaim
	for _, class := range hungClasses {
		claim, _ := s.made(class, "1Gi") // it is known and connected when it stops answering
		growing = append(growing, claim)
	}
	resume := hung.hang(t, "mon", "mgr", "osd")

	const moreThanWorkers = 24
	var waiting []*corev1.PersistentVolumeClaim
	for range moreThanWorkers {
		for _, class := range hungClasses {
			waiting = append(waiting, s.claim(class, "1Gi"))
		}
	}
	for i, class := range hungClasses {
		s.event(waiting[i], "ProvisioningFailed", class, hung.Monitors)
	}
	for _, claim := range growing {
		s.request(claim, "2Gi")
		s.event(claim, "VolumeResizeFailed", "`ceph -s`")
	}
	for _, class := range healthyClasses {
		claim, pv := s.made(class, "1Gi")
		s.request(claim, "2Gi")
		s.grown(claim, pv.Name, 2<<30)
	}
	for _, claim := range waiting {
		s.wantPending(claim)
	}
	resume()
	for _, claim := range growing {
		s.grown(claim, "pvc-"+string(claim.UID), 2<<30)
	}
	for _, claim := range waiting {
		s.bound(claim)
	}
}

// A claim that is deleted while its volume is being made leaves nothing: what was
// begun is finished, and then deleted, also if the nodes' secret went with the claim, as
// it does with their namespace.
func TestClaimDeletedWhileItsVolumeIsBeingMade(t *testing.T) {
	ceph := suite.ceph[1]
	s := newScene(t)
	const ownSecret = "nodes"
	s.publishKey(ceph, rbdUserID, ownSecret)
	withOwnSecret := s.rbdClass(ceph, without("userSecretNamespace"), with("userSecretName", ownSecret))
	classes := []string{s.rbdClass(ceph), s.cephfsClass(ceph), withOwnSecret}
	for _, class := range classes {
		s.made(class, "1Gi")
	}
	resume := ceph.hang(t, "osd")
	var claims []*corev1.PersistentVolumeClaim
	for _, class := range classes {
		claims = append(claims, s.claim(class, "1Gi"))
	}
	for _, claim := range claims {
		s.event(claim, "ProvisioningFailed", "create", volumeName(claim), "timed out")
		s.deleteClaim(claim)
		s.eventually("the claim is gone", claimIsGone(claim))
	}
	if err := suite.client.CoreV1().Secrets(s.namespace).Delete(t.Context(), ownSecret, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, claim := range claims {
		// An attempt may have been under way when the claim went. Only when one has
		// failed since then does it show that the claim is not forgotten.
		before := s.told(claim, "ProvisioningFailed")
		s.eventually("another attempt fails", func(context.Context) error {
			if s.told(claim, "ProvisioningFailed") == before {
				return fmt.Errorf("%d have", before)
			}
			return nil
		})
	}
	resume()
	for _, claim := range claims {
		pv := "pvc-" + string(claim.UID)
		s.eventually(fmt.Sprintf("volume %s was made after all", pv), func(context.Context) error {
			if !suite.recorder.sawClusterObject(pv) {
				return errors.New("it was never seen")
			}
			return nil
		})
		s.gone(pv)
		s.traceless(ceph, claim)
	}
}
