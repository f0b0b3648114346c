package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// What `make bench` measures; docs/performance.md says how it is to be read.
const (
	benchClaimsVariable  = "BENCH_CLAIMS"   // at once
	benchRoundsVariable  = "BENCH_ROUNDS"   // of which the median counts
	benchAloneVariable   = "BENCH_ALONE"    // claims one after the other
	benchForksVariable   = "BENCH_FORKS"    // claims at once, where each step is a command
	benchFlagsVariable   = "BENCH_FLAGS"    // of the controller, besides the usual ones
	benchResultsVariable = "BENCH_RESULTS"  // directory
	benchSizeVariable    = "BENCH_SIZE_MIB" // of the volumes, which grow to twice as much
	defaultBenchClaims   = 500
	defaultBenchRounds   = 5
	defaultBenchAlone    = 20
	defaultBenchForks    = 20
	defaultBenchResults  = "../bench-results"
	// defaultBenchSizeMiB lets the OSD, which shares the machine, do little for each
	// volume: an image of 1 GiB has 256 objects to be looked for when it is removed.
	defaultBenchSizeMiB = 64
)

// benchKind is a kind of volume, as hack/floor and the results call it.
type benchKind struct {
	name  string
	class func(*scene, *cephCluster) string
	admin string // identity
}

var benchKinds = []benchKind{
	{"rbd", func(s *scene, c *cephCluster) string { return s.rbdClass(c) }, rbdAdminID},
	{"subvolume", func(s *scene, c *cephCluster) string { return s.cephfsClass(c) }, cephfsAdminID},
	{"subvolume-users", func(s *scene, c *cephCluster) string { return s.tenantClass(c) }, tenantAdminID},
	{"directory", func(s *scene, c *cephCluster) string { return s.sharedDirectoryClass(c) }, dirAdminID},
	{"directory-users", func(s *scene, c *cephCluster) string { return s.directoryClass(c) }, dirAdminID},
}

// sharedDirectoryClass makes one whose volumes are plain directories and share a user.
func (s *scene) sharedDirectoryClass(ceph *cephCluster, changes ...classChange) string {
	s.t.Helper()
	return s.directoryClass(ceph, append(changes, with("userId", cephfsUserID),
		with("userSecretName", cephfsUserName), with("userSecretNamespace", ceph.Name))...)
}

// BenchmarkClaims makes, grows and deletes many claims of one kind at once, in turn with
// the controller and with what it can't be faster than (hack/floor).
//
//	make bench
func BenchmarkClaims(b *testing.B) {
	suite.quiet(b)
	results := openResults(b)
	for _, kind := range benchKinds {
		b.Run(kind.name, func(b *testing.B) {
			for round := range number(b, benchRoundsVariable, defaultBenchRounds) {
				for _, contender := range contendersFor(b, kind) {
					b.Run(fmt.Sprintf("%d/%s", round, contender.name), func(b *testing.B) {
						for _, each := range contender.measure(b, kind) {
							each.limits, each.kind, each.round, each.contender = suite.limits, kind.name, round, contender.name
							results.add(each)
						}
						b.ReportMetric(0, "ns/op") // of no interest
					})
				}
			}
		})
	}
}

// quiet ends what else has to do with claims, until the benchmark ends: the machine may
// have few processors.
func (e *environment) quiet(b *testing.B) {
	b.Helper()
	e.recorder.stop()
	if err := e.controller.stop(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		err := e.recorder.listen(e.client)
		controller, startErr := e.startController(context.Background())
		if err := errors.Join(err, startErr); err != nil {
			b.Error(err)
		}
		e.controller = controller
	})
}

func openResults(b *testing.B) *results {
	b.Helper()
	dir := os.Getenv(benchResultsVariable)
	if dir == "" {
		dir = defaultBenchResults
	}
	r, err := appendTo(filepath.Join(dir, "claims.csv"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := r.close(); err != nil {
			b.Error(err)
		}
	})
	return r
}
