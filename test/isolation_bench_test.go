package e2e

import (
	"testing"
	"time"
)

// Both controllers run with what an operator has by default.
var operatorFlags = []string{"--v=2", "--timeout=1m", "--retry-interval-max=5m"}

const (
	waitingClaims  = 200                    // on the cluster that hangs
	isolationPace  = 400 * time.Millisecond // from one claim on the healthy cluster to the next
	isolationRound = 20                     // of these claims, 8 s; eleven rounds end within the OSD's read lease of 120 s
	isolationRatio = 1.5                    // that p50 and p99 may have
)

// BenchmarkIsolation measures from a claim to Bound on a healthy cluster, in turn with
// two controllers: one has nothing else to do, and at the other 200 claims wait for a
// cluster that hangs. It begins with the moment at which those are made.
//
//	make bench
func BenchmarkIsolation(b *testing.B) {
	b.Run("hung after it was connected", func(b *testing.B) {
		hung := suite.ceph[1]
		measureIsolation(b, func(s *scene) (classes []string, resume func()) {
			classes = []string{s.rbdClass(hung), s.cephfsClass(hung)}
			for _, class := range classes {
				s.made(class, "1Gi")
			}
			return classes, hung.hang(b, "mon", "mgr", "osd")
		})
	})
	b.Run("never answered", func(b *testing.B) {
		measureIsolation(b, func(s *scene) (classes []string, resume func()) {
			monitors := with("monitors", newSilent(b).address)
			return []string{s.rbdClass(suite.ceph[0], monitors), s.cephfsClass(suite.ceph[0], monitors)}, nil
		})
	})
}

// measureIsolation begins with hang, which returns the classes on the hung cluster, and
// what ends that, if anything does.
func measureIsolation(b *testing.B, hang func(*scene) (classes []string, resume func())) {
	turns := []*stopwatch{
		newStopwatch(b, suite.ceph[0], operatorFlags...), newStopwatch(b, suite.ceph[0], operatorFlags...),
	}
	beside := turns[1]
	hung, resume := hang(beside.scene)
	for i := range waitingClaims {
		beside.claim(hung[i%len(hung)], "1Gi")
	}
	b.Run("claims", func(b *testing.B) { // is called more than once; what earlier calls have seen counts
		pace := time.NewTicker(isolationPace)
		defer pace.Stop()
		for i := range isolationRound * b.N {
			<-pace.C
			turn := turns[i%len(turns)]
			turn.start(turn.healthy[i/len(turns)%len(turn.healthy)])
		}
		reportIsolation(b, turns[0].times(), turns[1].times())
	})
	if resume != nil { // so that nothing half made is left
		resume()
		if err := beside.controller.stop(); err != nil {
			b.Error(err)
		}
		beside.restart(operatorFlags...) // which begins without pauses of minutes
		beside.all("Bound", isBoundClaim)
	}
}

func reportIsolation(b *testing.B, alone, beside []time.Duration) {
	for name, percent := range map[string]int{"p50": 50, "p99": 99} {
		without, with := percentile(alone, percent), percentile(beside, percent)
		b.ReportMetric(float64(without.Milliseconds()), "ms-alone-"+name)
		b.ReportMetric(float64(with.Milliseconds()), "ms-beside-"+name)
		ratio := float64(with) / float64(without)
		b.ReportMetric(ratio, "ratio-"+name)
		if len(beside) >= 100 && ratio > isolationRatio {
			b.Errorf("%s is %s beside the hung cluster, %s without it", name, with, without)
		}
	}
}

// percentile wants sorted times.
func percentile(times []time.Duration, percent int) time.Duration {
	return times[(len(times)*percent-1)/100]
}
