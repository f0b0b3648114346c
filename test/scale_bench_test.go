package e2e

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	benchBoundVariable = "BENCH_BOUND" // claims that are there already
	defaultBenchBound  = 10_000
	scaleTurns         = 21 // of a claim, of which the median counts
	sizeTurns          = 5  // as removing a large image takes the mgr long
	idleTime           = time.Minute
)

// BenchmarkSize makes, grows and deletes images of 1 GiB and of 1 TiB, in turn.
//
//	make bench
func BenchmarkSize(b *testing.B) {
	suite.quiet(b)
	small := newRound(b, benchKinds[0], func(s *scene) { s.serveAlone(operatorFlags...) })
	large := *small
	small.sizeMiB, large.sizeMiB = 1<<10, 1<<20
	var ofSmall, ofLarge []turn
	for range sizeTurns {
		ofSmall = append(ofSmall, small.turn())
		ofLarge = append(ofLarge, large.turn())
	}
	report(b, "1GiB", ofSmall, "1TiB", ofLarge)
}

// BenchmarkScale measures a controller beside a few bound claims and their images, and
// then beside thousands; in turn with one that has nothing to do, since
// kube-controller-manager looks through all volumes for each claim.
//
//	make bench
func BenchmarkScale(b *testing.B) {
	suite.quiet(b)
	many := number(b, benchBoundVariable, defaultBenchBound)
	var own pool
	r := newRound(b, benchKind{name: "rbd", class: func(s *scene, ceph *cephCluster) string {
		own = s.ownPool(ceph)
		own.create()
		return own.class
	}}, func(s *scene) { s.serveAlone(operatorFlags...) })
	floor := suite.buildFloor(b)
	none := newRound(b, benchKinds[0], func(s *scene) { s.serveFloor(floor, "none", benchKinds[0], benchThreads) })
	beside := func() (s start, turns, idle []turn) {
		s = r.startAgain()
		for range scaleTurns {
			turns = append(turns, r.turn())
			idle = append(idle, none.turn())
		}
		return s, turns, idle
	}
	before, turnsBefore, idleBefore := beside()
	class := r.class
	r.class = r.rbdClass(r.ceph, retain, with("pool", own.name), with("adminId", own.id),
		with("adminSecretNamespace", r.namespace), with("adminSecretName", own.id))
	r.atOnce("create", many, isBoundClaim, r.create)
	r.class = class
	after, turnsAfter, idleAfter := beside()

	report(b, "few", turnsBefore, fmt.Sprint(many), turnsAfter)
	report(b, "few-none", idleBefore, fmt.Sprint(many, "-none"), idleAfter)
	before.report(b, "few")
	after.report(b, fmt.Sprint(many))
	b.ReportMetric(float64(after.held.residentMiB-before.held.residentMiB)*1024/float64(many), "KiB-resident/claim")

	r.atOnce("delete", many, nil, func(name string) error {
		pv := r.course.volume(name)
		return errors.Join(r.delete(name), r.client.CoreV1().PersistentVolumes().Delete(b.Context(), pv, metav1.DeleteOptions{}))
	})
	own.remove()
}

// turn is a claim's life.
type turn struct{ create, grow, remove time.Duration }

func (r *round) turn() turn {
	r.t.Helper()
	const name = "alone"
	t := turn{r.one(name, isBoundClaim, r.create), r.one(name, r.isGrown(), r.grow), r.one(name, nil, r.delete)}
	r.awaitRest(r.ceph)
	return t
}

// report compares medians.
func report(b *testing.B, less string, before []turn, more string, after []turn) {
	for step, of := range map[string]func(turn) time.Duration{
		"create": func(t turn) time.Duration { return t.create },
		"grow":   func(t turn) time.Duration { return t.grow },
		"delete": func(t turn) time.Duration { return t.remove },
	} {
		was, is := median(before, of), median(after, of)
		b.ReportMetric(milliseconds(was), "ms-"+step+"-"+less)
		b.ReportMetric(milliseconds(is), "ms-"+step+"-"+more)
		b.ReportMetric(float64(is)/float64(was), "ratio-"+step+"-"+more)
	}
	b.ReportMetric(0, "ns/op") // of no interest
}

func median(turns []turn, of func(turn) time.Duration) time.Duration {
	var times []time.Duration
	for _, each := range turns {
		times = append(times, of(each))
	}
	slices.Sort(times)
	return percentile(times, 50)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// start is what it costs to start, and to be there.
type start struct {
	ready, bound time.Duration // from the start, to the volume of a claim that waited
	cpu, idle    time.Duration // CPU of the start, and of a minute without work
	held         held
	peakMiB      int
}

// startAgain starts the controller anew while a claim waits for it.
func (r *round) startAgain() (s start) {
	r.t.Helper()
	if err := r.controller.stop(); err != nil {
		r.t.Fatal(err)
	}
	const name = "first"
	r.course.begin(isBoundClaim, 1)
	if err := r.create(name); err != nil {
		r.t.Fatal(err)
	}
	begin := time.Now()
	r.restart(operatorFlags...)
	s.ready = time.Since(begin)
	s.bound = r.arrived(1)[name].Sub(begin)
	r.one(name, nil, r.delete)
	r.awaitRest(r.ceph)
	s.cpu = r.cpu()
	time.Sleep(idleTime) // nothing is waited for: this is what is measured
	s.idle = r.cpu() - s.cpu
	var err error
	if s.held, err = r.controller.held(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	s.peakMiB = r.peakMiB()
	return s
}

func (s start) report(b *testing.B, beside string) {
	b.ReportMetric(milliseconds(s.ready), "ms-to-ready-"+beside)
	b.ReportMetric(milliseconds(s.bound), "ms-to-bound-"+beside)
	b.ReportMetric(milliseconds(s.cpu), "ms-cpu-of-start-"+beside)
	b.ReportMetric(milliseconds(s.idle), "ms-cpu-per-idle-minute-"+beside)
	b.ReportMetric(float64(s.held.residentMiB), "MiB-resident-"+beside)
	b.ReportMetric(float64(s.held.heapMiB), "MiB-Go-heap-"+beside)
	b.ReportMetric(float64(s.peakMiB), "MiB-peak-"+beside)
}
