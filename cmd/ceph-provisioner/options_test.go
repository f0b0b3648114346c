package main

import (
	"strings"
	"testing"
	"time"
)

func TestParseOptions(t *testing.T) {
	o, _, err := parseOptions([]string{"--rbd-provisioner-name=ceph.example/rbd, ceph.com/rbd", "--timeout=20s", "--v=4"})
	if err != nil || o.rbdProvisioners.String() != "ceph.example/rbd,ceph.com/rbd" || o.timeout != 20*time.Second {
		t.Errorf("got %+v, %v", o, err)
	}
	if o.cephfsProvisioners.String() != defaultCephFSProvisioner || o.workerThreads != defaultWorkers {
		t.Errorf("defaults: %+v", o)
	}
}

func TestParseOptionsRefuses(t *testing.T) {
	for args, says := range map[string]string{
		"--worker-threads=0":     "--worker-threads",
		"--ceph-calls=0":         "--ceph-calls",
		"--kube-api-qps=-1":      "--kube-api-qps",
		"--timeout=0s":           "--timeout",
		"--audit-interval=-1s":   "--audit-interval",
		"--mark-bound-after=-1s": "--mark-bound-after",
		"--retry-interval-start=1m --retry-interval-max=1s":      "--retry-interval-max",
		"--metrics-path=metrics":                                 "slash",
		"--metrics-path=/healthz":                                "differ",
		"--rbd-provisioner-name=a --cephfs-provisioner-name=b,a": `"a"`,
		"--rbd-provisioner-name=a,kubernetes.io/rbd":             "kube-controller-manager",
		"--rbd-provisioner-name=a,,b":                            "empty",
		"--profiling-endpoint=:6060":                             "loopback",
		"--profiling-endpoint=10.0.0.1:6060":                     "loopback",
		"--profiling-endpoint=127.0.0.1":                         "loopback",
		"--leader-election --leader-election-retry-period=1h":    "retry period",
		"--leader-election":                                      "--leader-election-namespace", // outside of a pod
	} {
		_, _, err := parseOptions(strings.Fields(args))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: the message does not say %s: %v", args, says, err)
		}
	}
}

func TestRunRefusesCommands(t *testing.T) {
	for args, says := range map[string]string{
		"doctor":     `"doctor"`,
		"rotate-key": "name the PersistentVolumes",
	} {
		if err := run(strings.Fields(args)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: the message does not say %s: %v", args, says, err)
		}
	}
}
