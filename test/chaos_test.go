package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// How long and by which dice a controller is killed. `make chaos` asks for 200.
const (
	killsVariable = "CHAOS_KILLS"
	seedVariable  = "CHAOS_SEED"
	defaultKills  = 20
	defaultSeed   = 1
)

// chaosUsers make, grow and delete claims all the time, each of one kind.
const chaosUsers = 8

// While claims of all kinds are made, grown and deleted, the controller is killed at
// random moments. In the end, each claim that is left is Bound and of its size, with one
// volume, and of all others nothing is left. No volume ever got smaller.
func TestChaos(t *testing.T) {
	t.Parallel()
	kills, seed := number(t, killsVariable, defaultKills), uint64(number(t, seedVariable, defaultSeed))
	ceph := suite.ceph[0]
	root := ownRoot(t, ceph)
	s := newScene(t)
	s.serveAlone("--timeout=60s")
	classes := []string{s.rbdClass(ceph), s.cephfsClass(ceph), s.tenantClass(ceph), s.directoryClass(ceph, with("claimRoot", root))}
	ctx, stop := context.WithCancel(t.Context())
	var users sync.WaitGroup
	all, asked := make([]*chaosUser, chaosUsers), &chaosAsked{}
	for i := range all {
		all[i] = &chaosUser{
			s: s, asked: asked, class: classes[i%len(classes)], dice: rand.New(rand.NewPCG(seed, uint64(i+1))),
			sizes: map[*corev1.PersistentVolumeClaim]int{},
		}
		users.Add(1)
		go func() {
			defer users.Done()
			all[i].work(ctx)
		}()
	}
	dice := rand.New(rand.NewPCG(seed, 0))
	// On a busy machine few claims are Bound before the next kill, and those alone can grow.
	for killed := 0; killed < kills || asked.tooLittle(kills) && killed < 5*kills; killed++ {
		wait := time.After(time.Duration(dice.IntN(2000)) * time.Millisecond)
		select {
		case <-wait: // not for anything: the moment is what is random
		case <-s.controller.exited:
			t.Fatalf("the controller ended by itself: %v\n%s", s.controller.err, s.controller.logTail())
		}
		s.controller.kill()
		<-s.controller.exited
		s.restart("--timeout=60s")
	}
	stop()
	users.Wait()

	sizes := map[*corev1.PersistentVolumeClaim]int{}
	var deleted []*corev1.PersistentVolumeClaim
	for _, each := range all {
		maps.Copy(sizes, each.sizes)
		deleted = append(deleted, each.deleted...)
	}
	t.Logf("%d kills at least, %d claims made, %d of them deleted, %d growths", kills, len(sizes)+len(deleted), len(deleted), asked.growths.Load())
	if asked.tooLittle(kills) {
		t.Errorf("only %d claims were deleted and %d growths asked for: too little went on", len(deleted), asked.growths.Load())
	}
	s.eventually("all claims are as they were last asked for", func(ctx context.Context) error { return areAsAsked(ctx, sizes) })
	s.allGone(ceph, deleted)
	s.wantNotes(0)
	time.Sleep(silence(kills)) // what nobody waits for would be done too late: nothing may be
	if err := areAsAsked(t.Context(), sizes); err != nil {
		t.Errorf("later: %v", err)
	}
	live := slices.Collect(maps.Keys(sizes))
	s.oneVolumeEach([]*lives{{ceph: ceph, grown: live}})
	for claim, size := range sizes {
		s.wantVolume(ceph, claim, int64(size)*64<<20)
	}
	for _, claim := range live {
		if suite.recorder.shrunk("pvc-" + string(claim.UID)) {
			t.Errorf("the volume of claim %s got smaller", claim.Name)
		}
	}
	for _, claim := range deleted {
		if suite.recorder.shrunkInPlace("pvc-" + string(claim.UID)) {
			t.Errorf("the volume of claim %s, which is deleted, got smaller", claim.Name)
		}
	}
}

// silence is how long nothing happens before the last look.
func silence(kills int) time.Duration {
	if kills > defaultKills {
		return time.Minute
	}
	return 10 * time.Second
}

// wantVolume holds a bound claim against all that it must have in Ceph, and its secret.
func (s *scene) wantVolume(ceph *cephCluster, claim *corev1.PersistentVolumeClaim, wantBytes int64) {
	s.t.Helper()
	pv := s.bound(claim)
	s.wantSize(ceph, claim, pv, wantBytes)
	if pv.Spec.CephFS == nil || pv.Spec.CephFS.User != ownUser(claim) {
		return
	}
	if caps, err := ceph.caps(s.t.Context(), ownUser(claim)); err != nil || caps == nil {
		s.t.Errorf("claim %s has no user (%v)", claim.Name, err)
	}
	if key, err := ceph.key(s.t.Context(), ownUser(claim)); err != nil || key != s.keyIn(pv.Spec.CephFS.SecretRef) {
		s.t.Errorf("the secret of claim %s has not its user's key (%v)", claim.Name, err)
	}
}

func number(t testing.TB, variable string, otherwise int) int {
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	parsed, err := strconv.Atoi(text)
	if err != nil || parsed < 1 {
		t.Fatalf("%s must be a number greater than 0, not %q", variable, text)
	}
	return parsed
}

// chaosAsked is what all users have asked for.
type chaosAsked struct{ deletions, growths atomic.Int32 }

func (a *chaosAsked) tooLittle(kills int) bool {
	return int(a.deletions.Load()) < kills/2 || int(a.growths.Load()) < kills/4
}

// chaosUser is somebody with a few claims.
type chaosUser struct {
	s       *scene
	asked   *chaosAsked
	class   string
	dice    *rand.Rand
	sizes   map[*corev1.PersistentVolumeClaim]int // what was last asked for each that is there, in units of 64 MiB
	deleted []*corev1.PersistentVolumeClaim
}

const chaosClaims = 4 // that one user has at most

// work does something to a random claim, without waiting for what becomes of it.
func (u *chaosUser) work(ctx context.Context) {
	claims := suite.client.CoreV1().PersistentVolumeClaims(u.s.namespace)
	for pause := time.NewTicker(300 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
		if len(u.sizes) == 0 || len(u.sizes) < chaosClaims && u.dice.IntN(2) == 0 {
			if !u.isAhead(ctx) {
				u.s.tell(u.create(context.WithoutCancel(ctx)))
			}
			continue
		}
		claim := slices.SortedFunc(maps.Keys(u.sizes), byName)[u.dice.IntN(len(u.sizes))]
		now, err := getClaim(context.WithoutCancel(ctx), claim)
		switch {
		case err != nil:
			u.s.tell(err)
		case u.dice.IntN(3) == 0:
			u.s.tell(claims.Delete(context.WithoutCancel(ctx), claim.Name, metav1.DeleteOptions{}))
			u.deleted = append(u.deleted, claim)
			u.asked.deletions.Add(1)
			delete(u.sizes, claim)
		case now.Status.Phase == corev1.ClaimBound: // else Kubernetes refuses a new size
			u.sizes[claim]++
			u.asked.growths.Add(1)
			patch := fmt.Appendf(nil, `{"spec":{"resources":{"requests":{"storage":"%dMi"}}}}`, 64*u.sizes[claim])
			_, err := claims.Patch(context.WithoutCancel(ctx), claim.Name, types.MergePatchType, patch, metav1.PatchOptions{})
			u.s.tell(err)
		}
	}
}

// isAhead reports whether Kubernetes is still at claims that were deleted long ago, or at
// their volumes: it would be at ever more of them, and nothing would be done within anybody's
// patience.
func (u *chaosUser) isAhead(ctx context.Context) bool {
	before := len(u.deleted) - chaosClaims
	if before < 0 {
		return false
	}
	return claimAndVolumeAreGone(context.WithoutCancel(ctx), u.deleted[before]) != nil
}

func byName(a, b *corev1.PersistentVolumeClaim) int { return strings.Compare(a.Name, b.Name) }

func (u *chaosUser) create(ctx context.Context) error {
	claim, err := suite.client.CoreV1().PersistentVolumeClaims(u.s.namespace).Create(ctx, u.s.newClaim(u.class, "64Mi"), metav1.CreateOptions{})
	if err == nil {
		u.sizes[claim] = 1
	}
	return err
}

// tell is for what happens beside the test's own goroutine.
func (s *scene) tell(err error) {
	if err != nil {
		s.t.Error(err)
	}
}

// areAsAsked reports claims that are not Bound, or not of their sizes in units of 64 MiB.
func areAsAsked(ctx context.Context, sizes map[*corev1.PersistentVolumeClaim]int) error {
	var errs []error
	for claim, size := range sizes {
		err := isBound(ctx, claim)
		if err == nil && size > 1 {
			err = hasGrown(ctx, claim, int64(size)*64<<20)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("claim %s: %w", claim.Name, err))
		}
	}
	return errors.Join(errs...)
}
