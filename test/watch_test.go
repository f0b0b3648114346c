package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// An OSD may never look whether a watch is over that came when its client died. The images
// are deleted all the same, those too that were in the trash already. The pools are the
// tests' own: where others use a pool, such watches end sooner or later by themselves.
func TestForgottenWatch(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	for state, before := range map[string]func(*testing.T, string){
		"an image":              func(*testing.T, string) {},
		"an image in the trash": func(t *testing.T, image string) { ceph.run(t, "rbd", "trash", "mv", image) },
	} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			pool := s.ownPool(ceph)
			pool.create()
			claim, pv := s.made(pool.class, "64Mi")
			image := pool.name + "/" + volumeName(claim)
			id := ceph.image(t, image).ID
			pv.Spec.RBD.RadosUser, pv.Spec.RBD.SecretRef.Name, pv.Spec.RBD.SecretRef.Namespace = pool.id, pool.id, s.namespace
			s.leaveForgottenWatch(ceph, pv, image)
			before(t, image)
			s.deleteClaim(claim)
			s.gone(pv.Name)
			s.spaceIsFree(ceph, id, pool.name)
			pool.remove()
		})
	}
}

// leaveForgottenWatch has clients die as they begin to watch, until the OSD has written
// down a watch of which it knows nothing.
func (s *scene) leaveForgottenWatch(ceph *cephCluster, pv *corev1.PersistentVolume, image string) {
	s.t.Helper()
	attempts := 0
	forgotten := s.eventuallyIn(s.t.Context(), pollInterval, 3*patience, "the OSD forgets a watch", func(ctx context.Context) error {
		attempts++
		// When exactly it has to die depends on how busy the machine is.
		seconds := fmt.Sprintf("%.4f", 0.001*float64(1+attempts/10)*rand.Float64())
		if _, err := s.onImage(pv, "die", seconds); err == nil || !strings.Contains(err.Error(), "killed") {
			return fmt.Errorf("the client did not die: %w", err)
		}
		type watch struct {
			Client struct{ Num int64 } `json:"entity_name"`
		}
		var known []watch
		if err := ceph.read(ctx, &known, "ceph", "tell", "osd.0", "dump_watchers"); err != nil {
			return err
		}
		// Listed second, so that one that has ended meanwhile is not taken for forgotten.
		var status struct{ Watchers []struct{ Client int64 } }
		if err := ceph.read(ctx, &status, "rbd", "status", image); err != nil {
			return err
		}
		for _, watcher := range status.Watchers {
			if !slices.ContainsFunc(known, func(w watch) bool { return w.Client.Num == watcher.Client }) {
				return nil
			}
		}
		return errors.New("it knows all of them")
	})
	if !forgotten {
		s.t.FailNow()
	}
}
