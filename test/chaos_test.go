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
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	all := make([]*chaosUser, chaosUsers)
	for i := range all {
		all[i] = &chaosUser{
			s: s, class: classes[i%len(classes)], dice: rand.New(rand.NewPCG(seed, uint64(i+1))),
			sizes: map[string]int{}, deleted: map[string]types.UID{},
		}
		users.Add(1)
		go func() {
			defer users.Done()
			all[i].work(ctx)
		}()
	}
	dice := rand.New(rand.NewPCG(seed, 0))
	for range kills {
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

	sizes, deleted := map[string]int{}, map[string]types.UID{}
	for _, each := range all {
		maps.Copy(sizes, each.sizes)
		maps.Copy(deleted, each.deleted)
	}
	t.Logf("%d kills, %d claims made, %d of them deleted", kills, len(sizes)+len(deleted), len(deleted))
	if len(deleted) < kills/2 {
		t.Errorf("only %d claims were deleted during %d kills: too little went on", len(deleted), kills)
	}
	s.eventually("all claims are as they were last asked for", func(ctx context.Context) error { return s.areAsAsked(ctx, sizes) })
	s.eventuallyIn(t.Context(), toolInterval, patience, "Ceph has one volume for each claim, and none besides", func(ctx context.Context) error {
		return s.oneVolumeForEach(ctx, ceph, root, sizes, deleted)
	})
	for uid := range s.uids(sizes, deleted) {
		if suite.recorder.shrunk("pvc-" + string(uid)) {
			t.Errorf("the volume of claim %s got smaller", uid)
		}
	}
}

func number(t *testing.T, variable string, otherwise int) int {
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

// chaosUser is somebody with a few claims.
type chaosUser struct {
	s       *scene
	class   string
	dice    *rand.Rand
	sizes   map[string]int       // what was last asked for each claim that is there, in GiB
	deleted map[string]types.UID // of the others
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
			u.s.tell(u.create(context.WithoutCancel(ctx)))
			continue
		}
		names := slices.Sorted(maps.Keys(u.sizes))
		name := names[u.dice.IntN(len(names))]
		now, err := claims.Get(context.WithoutCancel(ctx), name, metav1.GetOptions{})
		switch {
		case err != nil:
			u.s.tell(err)
		case u.dice.IntN(2) == 0:
			u.s.tell(claims.Delete(context.WithoutCancel(ctx), name, metav1.DeleteOptions{}))
			u.deleted[name] = now.UID
			delete(u.sizes, name)
		case now.Status.Phase == corev1.ClaimBound: // else Kubernetes refuses a new size
			u.sizes[name]++
			patch := fmt.Appendf(nil, `{"spec":{"resources":{"requests":{"storage":"%dGi"}}}}`, u.sizes[name])
			_, err := claims.Patch(context.WithoutCancel(ctx), name, types.MergePatchType, patch, metav1.PatchOptions{})
			u.s.tell(err)
		}
	}
}

func (u *chaosUser) create(ctx context.Context) error {
	claim, err := suite.client.CoreV1().PersistentVolumeClaims(u.s.namespace).Create(ctx, u.s.newClaim(u.class, "1Gi"), metav1.CreateOptions{})
	if err == nil {
		u.sizes[claim.Name] = 1
	}
	return err
}

// tell is for what happens beside the test's own goroutine.
func (s *scene) tell(err error) {
	if err != nil {
		s.t.Error(err)
	}
}

func (s *scene) areAsAsked(ctx context.Context, sizes map[string]int) error {
	var errs []error
	for name, size := range sizes {
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}}
		err := isBound(ctx, claim)
		if err == nil && size > 1 {
			err = hasGrown(ctx, claim, int64(size)<<30)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("claim %s: %w", name, err))
		}
	}
	volumes, err := s.volumes(ctx)
	if err == nil && len(volumes) != len(sizes) {
		err = fmt.Errorf("there are %d PersistentVolumes for %d claims", len(volumes), len(sizes))
	}
	return errors.Join(append(errs, err)...)
}

// oneVolumeForEach looks for images, subvolumes, directories, users and secrets.
func (s *scene) oneVolumeForEach(ctx context.Context, ceph *cephCluster, root string, sizes map[string]int, deleted map[string]types.UID) error {
	traces, err := ceph.allTraces(ctx)
	if err != nil {
		return err
	}
	directories, err := ceph.entries(root)
	if err != nil {
		return err
	}
	for _, name := range directories {
		traces[name] = append(traces[name], "directory "+name)
	}
	users, err := ceph.volumeUsers(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for uid, count := range s.uids(sizes, deleted) {
		found := traces["kubernetes-dynamic-pvc-"+string(uid)]
		if len(found) != count {
			errs = append(errs, fmt.Errorf("claim %s: Ceph has %v, want %d volumes", uid, found, count))
		}
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{UID: uid}}
		if _, err := s.ownSecret(claim); count == 0 && (slices.Contains(users, "client."+ownUser(claim)) || !apierrors.IsNotFound(err)) {
			errs = append(errs, fmt.Errorf("claim %s is deleted, its user or secret is left (%v)", uid, err))
		}
	}
	return errors.Join(errs...)
}

// uids tells how many volumes each claim that there ever was is to have.
func (s *scene) uids(sizes map[string]int, deleted map[string]types.UID) map[types.UID]int {
	s.t.Helper()
	want := map[types.UID]int{}
	for _, uid := range deleted {
		want[uid] = 0
	}
	for name := range sizes {
		claim, err := suite.client.CoreV1().PersistentVolumeClaims(s.namespace).Get(s.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			s.t.Fatal(err)
		}
		want[claim.UID] = 1
	}
	return want
}
