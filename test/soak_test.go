package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// cyclesVariable is how many volumes are made, grown and deleted; `make soak` asks for
// 10,000.
const (
	cyclesVariable = "SOAK_CYCLES"
	defaultCycles  = 120
	soakTogether   = 10 // volumes of each kind
	longTogether   = 30 // in a run of its own
	soakSamples    = 40 // rows of the table, at most

	// eventsKept is how many objects each of client-go's recorders of events remembers,
	// k8s.io/client-go/tools/record: maxLruCacheEntries.
	eventsKept = 4096
)

// A process that has made, grown and deleted volumes of all kinds holds in the end what
// it held after the first of them.
func TestNothingIsKept(t *testing.T) {
	t.Parallel()
	cycles, together, long := number(t, cyclesVariable, defaultCycles), soakTogether, os.Getenv(cyclesVariable) != ""
	if long {
		together = longTogether
	}
	ceph := suite.ceph[0]
	root := ownRoot(t, ceph) // what others have left to be purged in theirs is no business of this process
	s := newScene(t)
	s.serveAlone(operatorFlags...)
	fresh := s.atRest()
	classes := []string{s.rbdClass(ceph), s.cephfsClass(ceph), s.tenantClass(ceph), s.directoryClass(ceph, with("claimRoot", root))}
	if long {
		s.fillEventCaches(together, s.rbdClass(ceph, with("unknown", "x")), s.cephfsClass(ceph, with("unknown", "x")))
	}
	s.cycle(classes, together) // connections are open, and threads are there for all that runs at once
	before := s.atRest()
	t.Logf("%6d cycles: %s", 0, before)
	batch := together * len(classes)
	every := max(1, cycles/batch/soakSamples)
	var samples []held
	for done := batch; done <= cycles; done += batch {
		s.cycle(classes, together)
		if done/batch%every == 0 {
			now := s.atRest()
			samples = append(samples, now)
			t.Logf("%6d cycles: %s", done, now)
		}
	}
	s.wantNotes(0)
	s.wantNoMore(before, cycles/len(classes))
	if long {
		s.wantSteady(before, samples)
		s.wantAsFresh(fresh)
	}
}

// wantNoMore waits until the process holds no more than before, but for a part of what one
// piece for each of so many volumes of a kind would be. Mounts and connections that were
// replaced are ended as soon as Ceph lets them, and what librados keeps of them by the
// next run of the garbage collector; what leaks stays.
func (s *scene) wantNoMore(before held, volumes int) {
	s.t.Helper()
	few := min(volumes/3, soakMargin)
	s.eventuallyIn(s.t.Context(), toolInterval, 2*patience, "the process holds no more than before", func(ctx context.Context) error {
		// Ceph's threads are held to the margin; the Go runtime has as many as calls of C ever
		// ran at once, and keeps them.
		now, err := s.controller.held(ctx)
		if err == nil && (now.threads > before.threads+max(2*few, callsAtOnce) || now.cephThreads > before.cephThreads+few ||
			now.descriptors > before.descriptors+few || now.goroutines > before.goroutines+few) {
			err = fmt.Errorf("%d volumes of each kind later\nit holds: %s\nbefore:   %s", volumes, now, before)
		}
		return err
	})
}

const (
	// soakMargin is for connections that are open at one time and not at another.
	soakMargin = 20
	// callsAtOnce is --ceph-calls' default.
	callsAtOnce = 32
)

func (s *scene) cycle(classes []string, together int) {
	s.t.Helper()
	s.makeAndGrow(classes, together)
	s.deleteClaims()
}

// atRest is the least that the process holds within some seconds without work: mounts of
// CephFS that are not used are closed after one.
func (s *scene) atRest() (least held) {
	s.t.Helper()
	const looks, pause = 10, 200 * time.Millisecond
	for range looks {
		now, err := s.controller.held(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		least = least.least(now)
		time.Sleep(pause) // nothing is waited for: this is a sample
	}
	return least
}

// wantNotes waits until the journal has no more notes than so many on volumes of the test:
// one that stays takes up room that others need.
func (s *scene) wantNotes(atMost int) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("the journal has at most %d notes of the test", atMost), func(ctx context.Context) error {
		journal, err := suite.client.CoreV1().ConfigMaps(systemNamespace).Get(ctx, "ceph-provisioner-journal", metav1.GetOptions{})
		if err != nil {
			return err
		}
		notes := 0
		for _, note := range journal.Data {
			if strings.Contains(note, `"namespace":"`+s.namespace+`"`) {
				notes++
			}
		}
		if notes > atMost {
			return fmt.Errorf("it has %d", notes)
		}
		return nil
	})
}

// fillEventCaches has a controller tell of more claims than it remembers, none of which get
// a volume: those of these classes are refused.
func (s *scene) fillEventCaches(together int, classes ...string) {
	s.t.Helper()
	claims := suite.client.CoreV1().PersistentVolumeClaims(s.namespace)
	refused := func() int {
		_, metrics, err := s.controller.get(s.t.Context(), "/metrics")
		if err != nil {
			s.t.Fatal(err)
		}
		return metric(metrics, "controller_persistentvolumeclaim_provision_failed_total")
	}
	for told := 0; told <= eventsKept; told += together {
		want := refused() + together*len(classes)
		for range together {
			for _, class := range classes {
				s.claim(class, "1Gi")
			}
		}
		s.eventually("all claims are refused", func(context.Context) error {
			if got := refused(); got < want {
				return fmt.Errorf("%d attempts have failed, want %d", got, want)
			}
			return nil
		})
		if err := claims.DeleteCollection(s.t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// wantSteady compares memory of the last quarter of a long run with that of the beginning,
// when caches were full, and with that of the second quarter: after the first one the
// allocators' pools are filled, too. 5,000 cycles lie between the middles of those quarters
// of 10,000, so that 16 MiB are 3 KiB for each.
func (s *scene) wantSteady(before held, samples []held) {
	s.t.Helper()
	const (
		marginMiB = 16
		stacksMiB = 8 // of threads that the Go runtime has added since
	)
	quarter := len(samples) / 4
	median := func(samples []held, of func(held) int) int {
		var all []int
		for _, each := range samples {
			all = append(all, of(each))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	for name, of := range map[string]func(held) int{
		"resident memory": func(h held) int { return h.residentMiB },
		"Go heap":         func(h held) int { return h.heapMiB },
	} {
		second, last := median(samples[quarter:2*quarter+1], of), median(samples[len(samples)-quarter-1:], of)
		s.t.Logf("%s: %d MiB in the beginning, %d MiB in the second quarter, %d MiB in the last", name, of(before), second, last)
		if last > min(second, of(before)+stacksMiB)+marginMiB {
			s.t.Errorf("%s grows", name)
		}
	}
}

// wantAsFresh waits until idle connections are closed.
func (s *scene) wantAsFresh(fresh held) {
	s.t.Helper()
	const idle = 5 * time.Minute
	s.eventuallyIn(s.t.Context(), 10*time.Second, idle+patience, "connections are closed", func(ctx context.Context) error {
		now, err := s.controller.held(ctx)
		if err == nil && (now.descriptors > fresh.descriptors || now.goroutines > fresh.goroutines) {
			err = fmt.Errorf("it holds %s; at its start: %s", now, fresh)
		}
		return err
	})
}
