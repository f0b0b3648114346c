package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// contender is what a benchmark is run with: the controller, or a floor.
type contender struct {
	name    string
	measure func(*testing.B, benchKind) []measurement
}

const floorPackage = "ceph.example/ceph-provisioner/hack/floor"

// ourBenchFlags are an operator's, but for the limits on requests, so that it is seen
// what else there is to wait for.
var ourBenchFlags = append([]string{"--kube-api-qps=5000", "--kube-api-burst=5000"}, operatorFlags...)

const (
	// benchThreads is how many workers of the library the controller has by default.
	benchThreads = 256
	// forkThreads are the library's default, which the retired provisioners had.
	forkThreads = 4
	// bareCalls is how many volumes the controller works on at a time by default.
	bareCalls = 32
)

func contendersFor(b *testing.B, kind benchKind) []contender {
	b.Helper()
	floor := suite.buildFloor(b)
	claims, alone := number(b, benchClaimsVariable, defaultBenchClaims), number(b, benchAloneVariable, defaultBenchAlone)
	return []contender{
		{"ours", func(b *testing.B, kind benchKind) []measurement {
			flags := append(slices.Clone(ourBenchFlags), strings.Fields(os.Getenv(benchFlagsVariable))...)
			r := newRound(b, kind, func(s *scene) { s.serveAlone(flags...) })
			if kind.name == "rbd" {
				r.live(claims, alone, r.awaitReclaimed)
			} else {
				r.live(claims, alone)
			}
			return r.measured
		}},
		{"none", func(b *testing.B, kind benchKind) []measurement {
			r := newRound(b, kind, func(s *scene) { s.serveFloor(floor, "none", kind, benchThreads) })
			r.live(claims, alone)
			return r.measured
		}},
		{"bare", func(b *testing.B, kind benchKind) []measurement { return measureBare(b, floor, kind, claims, alone) }},
		{"forks", func(b *testing.B, kind benchKind) []measurement {
			r := newRound(b, kind, func(s *scene) { s.serveFloor(floor, "forks", kind, forkThreads) })
			r.live(number(b, benchForksVariable, defaultBenchForks), 1)
			return r.measured
		}},
	}
}

// buildFloor builds the floors once.
func (e *environment) buildFloor(b *testing.B) (binary string) {
	b.Helper()
	binary = filepath.Join(e.dir, "floor")
	if _, err := os.Stat(binary); err == nil {
		return binary
	}
	if built, err := exec.CommandContext(b.Context(), "go", "build", "-o", binary, floorPackage).CombinedOutput(); err != nil {
		b.Fatalf("build the floors: %v\n%s", err, built)
	}
	return binary
}

// serveFloor has the classes that are made from now on served by a floor.
func (s *scene) serveFloor(binary, name string, kind benchKind, threads int) {
	s.t.Helper()
	s.nameProvisioners()
	served := s.cephfs
	if kind.name == "rbd" {
		served = s.rbd
	}
	ceph := suite.ceph[0]
	c := &controller{cmd: child(ceph.Env(), binary, name,
		"--kind="+kind.name, "--file-system="+ceph.FileSystem,
		"--kubeconfig="+suite.cluster.Kubernetes.Kubeconfig, "--provisioner-name="+served, fmt.Sprintf("--threads=%d", threads))}
	s.controller = c
	if err := suite.launch(c); err != nil {
		s.t.Fatal(err)
	}
}

// measureBare has a floor make, grow and delete volumes without Kubernetes.
func measureBare(b *testing.B, floor string, kind benchKind, claims, alone int) (all []measurement) {
	b.Helper()
	ceph := suite.ceph[0]
	s := newScene(b)
	s.awaitRest(ceph)
	key, err := ceph.key(b.Context(), kind.admin)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.Context(), patienceFor(claims))
	defer cancel()
	cmd := exec.CommandContext(ctx, floor, "bare", "--kind="+kind.name, "--file-system="+ceph.FileSystem,
		"--monitors="+ceph.Monitors, "--id="+kind.admin,
		fmt.Sprintf("--size-mib=%d", number(b, benchSizeVariable, defaultBenchSizeMiB)),
		fmt.Sprintf("--volumes=%d", claims), fmt.Sprintf("--alone=%d", alone), fmt.Sprintf("--calls=%d", bareCalls))
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(key), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		b.Fatalf("%v: %s", err, stderr.String())
	}
	var results []struct {
		Step       string
		Seconds    float64
		CPUSeconds float64
		Times      []float64
	}
	if err := json.Unmarshal(stdout.Bytes(), &results); err != nil {
		b.Fatal(err)
	}
	for _, result := range results {
		m := measurement{step: result.Step, took: duration(result.Seconds), cpu: duration(result.CPUSeconds)}
		for _, each := range result.Times {
			m.times = append(m.times, duration(each))
		}
		all = append(all, m)
	}
	s.awaitRest(ceph)
	return all
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
