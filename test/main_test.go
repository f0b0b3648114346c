// Package e2e tests the controller on real Ceph clusters and a real Kubernetes
// control plane. CONTRIBUTING.md says how to run one test against a cluster that
// stays up.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
)

// parallelTests is how many tests wait for the cluster at a time; almost all of
// their time is waiting, so the number of processors says nothing about it.
const parallelTests = "12"

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run returns the process's exit code: 0 only if set-up, tests and the audits
// over all that the tests did have succeeded.
func run(m *testing.M) (code int) {
	flag.Parse()
	if !isSet("test.parallel") {
		_ = flag.Set("test.parallel", parallelTests)
	}
	defer func() {
		if err := suite.tearDown(); err != nil {
			fmt.Fprintln(os.Stderr, "e2e: tear down:", err)
			code = 1
		}
	}()
	if err := suite.setUp(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: set up:", err)
		return 1
	}
	code = m.Run()
	for _, audit := range audits {
		if err := audit.check(); err != nil {
			fmt.Fprintf(os.Stderr, "--- FAIL: after all tests, %s: %v\n", audit.name, err)
			code = 1
		}
	}
	if code != 0 {
		fmt.Fprintf(os.Stderr, "The controller's last lines:\n%s", suite.controller.logTail())
	}
	return code
}

func isSet(name string) (set bool) {
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}
