package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

// round is what a contender does with the claims of one class.
type round struct {
	*scene
	ceph     *cephCluster
	class    string
	sizeMiB  int
	client   kubernetes.Interface
	course   *course
	deleted  time.Time // when the first claim was
	measured []measurement
}

const (
	// requestsAtOnce is how many of the claims' users are at work at a time.
	requestsAtOnce = 32
	// trailing is time for what a contender does when its claims are done, such as
	// events, which costs CPU as well.
	trailing = 2 * time.Second
)

// patienceFor is many times what claims take.
func patienceFor(claims int) time.Duration { return patience + time.Duration(claims)*2*time.Second }

// newRound starts the contender, and has it make and delete a volume: its connections are
// open.
func newRound(b *testing.B, kind benchKind, start func(*scene)) *round {
	b.Helper()
	r := &round{scene: newScene(b), ceph: suite.ceph[0], sizeMiB: number(b, benchSizeVariable, defaultBenchSizeMiB)}
	start(r.scene)
	r.class = kind.class(r.scene, r.ceph)
	r.client = newBenchClient(b)
	r.course = follow(b, r.client, r.namespace)
	r.made(r.class, "1Gi")
	r.deleteClaims()
	return r
}

// live measures claims one after the other, and then many at once; and what comes when all
// of them are gone.
func (r *round) live(claims, alone int, gone ...func()) {
	r.t.Helper()
	r.oneByOne(alone)
	r.deleteClaims()
	r.awaitRest(r.ceph)
	r.atOnce("create", claims, isBoundClaim, r.create)
	r.atOnce("grow", claims, r.isGrown(), r.grow)
	r.deleted = time.Now()
	r.atOnce("delete", claims, nil, r.delete, gone...)
}

func (r *round) claims() typedcorev1.PersistentVolumeClaimInterface {
	return r.client.CoreV1().PersistentVolumeClaims(r.namespace)
}

func (r *round) create(name string) error {
	claim := r.newClaim(r.class, fmt.Sprintf("%dMi", r.sizeMiB), named(name))
	_, err := r.claims().Create(r.t.Context(), claim, metav1.CreateOptions{})
	return err
}

// grow asks for twice the size.
func (r *round) grow(name string) error {
	patch := fmt.Appendf(nil, `{"spec":{"resources":{"requests":{"storage":"%dMi"}}}}`, 2*r.sizeMiB)
	_, err := r.claims().Patch(r.t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

func (r *round) isGrown() goal { return isGrownTo(int64(2*r.sizeMiB) << 20) }

func (r *round) delete(name string) error {
	return r.claims().Delete(r.t.Context(), name, metav1.DeleteOptions{})
}

func (r *round) oneByOne(claims int) {
	r.t.Helper()
	m := measurement{step: "alone"}
	cpu := r.cpu()
	begin := time.Now()
	for i := range claims {
		m.times = append(m.times, r.one(fmt.Sprintf("alone-%d", i), isBoundClaim, r.create))
	}
	m.took = time.Since(begin)
	m.cpu = r.cpu() - cpu
	r.measured = append(r.measured, m)
}

// one measures from a request about a claim until that has got where it should.
func (r *round) one(name string, goal goal, request func(name string) error) time.Duration {
	r.t.Helper()
	r.course.begin(goal, 1)
	begin := time.Now()
	if err := request(name); err != nil {
		r.t.Fatal(err)
	}
	return r.arrived(1)[name].Sub(begin)
}

// atOnce measures from the requests about claims until each has got where it should.
func (r *round) atOnce(step string, claims int, goal goal, request func(name string) error, then ...func()) {
	r.t.Helper()
	r.course.begin(goal, claims)
	asked := make([]time.Time, claims)
	m := measurement{step: step}
	cpu := r.cpu()
	begin := time.Now()
	err := inParallel(claims, func(i int) error {
		asked[i] = time.Now()
		return request(benchName(i))
	})
	if err != nil {
		r.t.Fatal(err)
	}
	for name, at := range r.arrived(claims) {
		m.took = max(m.took, at.Sub(begin))
		m.times = append(m.times, at.Sub(asked[indexOf(name)]))
	}
	for _, measure := range then {
		measure()
	}
	time.Sleep(trailing) // nobody tells when the contender has nothing more to do
	m.cpu, m.peakMiB = r.cpu()-cpu, r.peakMiB()
	r.measured = append(r.measured, m)
}

func benchName(i int) string { return fmt.Sprintf("claim-%d", i) }

func indexOf(name string) (i int) {
	_, _ = fmt.Sscanf(name, "claim-%d", &i) // as benchName wrote it
	return i
}

// arrived waits for as many claims.
func (r *round) arrived(claims int) map[string]time.Time {
	r.t.Helper()
	select {
	case <-r.course.over():
	case <-time.After(patienceFor(claims)):
		r.t.Fatalf("only %d of %d claims arrived\n%s", len(r.course.arrivals()), claims, r.controller.logTail())
	}
	return r.course.arrivals()
}

// awaitReclaimed measures from the deletion until the space is back.
func (r *round) awaitReclaimed() {
	r.t.Helper()
	r.awaitRest(r.ceph)
	r.measured = append(r.measured, measurement{step: "reclaim", took: time.Since(r.deleted)})
}

// awaitRest waits until Ceph has nothing more to do for volumes that were deleted.
func (s *scene) awaitRest(ceph *cephCluster) {
	s.t.Helper()
	at := s.eventuallyIn(s.t.Context(), toolInterval, patienceFor(defaultBenchClaims), "what was deleted is gone", func(ctx context.Context) error {
		trash, err := ceph.trash(ctx, defaultPool)
		purges, mgrErr := ceph.entries("volumes", "_deleting")
		moved, ourErr := ceph.entries(claimRoot, ".deleting")
		if left := len(trash) + len(purges) + len(moved); left > 0 {
			err = errors.Join(err, fmt.Errorf("%d are left", left))
		}
		return errors.Join(err, mgrErr, ourErr)
	})
	if !at {
		s.t.FailNow()
	}
}

// inParallel returns all failures.
func inParallel(number int, do func(i int) error) error {
	var workers sync.WaitGroup
	next, errs := make(chan int), make([]error, number)
	for range requestsAtOnce {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for i := range next {
				errs[i] = do(i)
			}
		}()
	}
	for i := range number {
		next <- i
	}
	close(next)
	workers.Wait()
	return errors.Join(errs...)
}

func (r *round) cpu() time.Duration {
	r.t.Helper()
	used, err := r.controller.cpu()
	if err != nil {
		r.t.Fatal(err)
	}
	return used
}

func (r *round) peakMiB() int {
	r.t.Helper()
	held, err := r.controller.status()
	if err != nil {
		r.t.Fatal(err)
	}
	return held["VmHWM"] >> 10
}
