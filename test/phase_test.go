package e2e

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// Where kube-controller-manager is late, new volumes are put into the phase Bound for it.
// When it is back it binds their claims; and what was deleted meanwhile goes, with its volume.
// Not parallel, as all claims wait for it.
func TestVolumesAreMarkedBoundForALateBinder(t *testing.T) {
	ceph := suite.ceph[0]
	s := newScene(t)
	class := s.rbdClass(ceph, with("adminSecretNamespace", s.namespace))
	kept, gone := s.claim(class, "64Mi"), s.claim(class, "64Mi")
	for _, claim := range []*corev1.PersistentVolumeClaim{kept, gone} {
		s.event(claim, "ProvisioningFailed", "does not exist") // so that the binder has passed it on
	}
	resume := s.stopBinder()
	s.adminSecret(ceph, rbdAdminID)
	for _, claim := range []*corev1.PersistentVolumeClaim{kept, gone} {
		s.eventually("the volume is Bound", func(ctx context.Context) error {
			pv, err := getVolume(ctx, volumeOf(claim))
			if err == nil && pv.Status.Phase != corev1.VolumeBound {
				err = fmt.Errorf("it is %s", pv.Status.Phase)
			}
			return err
		})
		s.wantPending(claim)
	}
	s.deleteClaim(gone)
	resume()

	s.bound(kept)
	s.eventually("the claim is gone", claimIsGone(gone))
	s.gone(volumeOf(gone))
	s.traceless(ceph, gone)
}

// stopBinder has kube-controller-manager stand still, until the returned function or the end
// of the test.
func (s *scene) stopBinder() (resume func()) {
	s.t.Helper()
	const binder = "kube-controller-manager"
	resume = sync.OnceFunc(func() {
		if err := suite.cluster.Signal(binder, syscall.SIGCONT); err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(resume)
	if err := suite.cluster.Signal(binder, syscall.SIGSTOP); err != nil {
		s.t.Fatal(err)
	}
	return resume
}
