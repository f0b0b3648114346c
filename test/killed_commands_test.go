package e2e

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// killedAfterEach runs a command that ends after its first write to Ceph or Kubernetes,
// then after its second, and so on; each time, once more to its end. Both prepare the same
// work before, and check it afterwards.
func killedAfterEach(t *testing.T, want []string, prepare func() (args []string), check func(after string)) {
	t.Helper()
	kill := afterWrite(t)
	run := func(point string) (printed string) {
		binary, environment := kill(point)
		args := prepare()
		command := child(append(environment, "CEPH_CONF=", "KUBECONFIG="), binary, args...)
		output, err := command.CombinedOutput()
		if point == "0" {
			if hasFailed(err) {
				t.Fatalf("%v: %s", err, output)
			}
			check(point)
			return string(output)
		}
		if !isKilled(err) {
			t.Fatalf("after %q: %v, want it killed: %s", point, err, output)
		}
		again := child([]string{"CEPH_CONF=", "KUBECONFIG="}, suite.binary, args...)
		if output, err := again.CombinedOutput(); hasFailed(err) {
			t.Errorf("killed after %q, then: %v: %s", point, err, output)
		}
		check(point)
		return ""
	}
	var all []string
	for _, passed := range killpoint.FindAllStringSubmatch(run("0"), -1) {
		all = append(all, passed[1])
	}
	for _, name := range want {
		if !slices.Contains(all, name) {
			t.Fatalf("%q is not written; all writes: %q", name, all)
		}
	}
	for _, point := range all {
		run(point)
	}
}

// hasFailed is not so for audits that tell what they have found.
func hasFailed(err error) bool {
	var exit *exec.ExitError
	return err != nil && !(errors.As(err, &exit) && exit.ExitCode() > 1)
}

func isKilled(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
}

// A rotation that is cut short is completed by the next.
func TestKilledInARotation(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[1]
	s := newScene(t)
	claim, pv := s.made(s.tenantClass(ceph), "8Mi")
	caps, err := ceph.caps(t.Context(), ownUser(claim))
	if err != nil || caps == nil {
		t.Fatalf("the volume's user has %v (%v)", caps, err)
	}
	before := ""
	killedAfterEach(t, []string{"1 remove", "1 make", "1 PUT secrets"}, func() []string {
		before = s.keyIn(pv.Spec.CephFS.SecretRef)
		return []string{"rotate-key", "--kubeconfig=" + suite.kubeconfig, pv.Name}
	}, func(after string) {
		if s.keyIn(pv.Spec.CephFS.SecretRef) == before {
			t.Errorf("killed after %q, then rotated: the key is the same", after)
		}
		if now, err := ceph.caps(t.Context(), ownUser(claim)); err != nil || fmt.Sprint(now) != fmt.Sprint(caps) {
			t.Errorf("killed after %q, then rotated: the user has caps %v (%v), want %v", after, now, err, caps)
		}
		if _, err := s.asTenant(pv, "write", pv.Spec.CephFS.Path, "written", after); err != nil {
			t.Errorf("killed after %q, then rotated: the user can't write: %v", after, err)
		}
	})
}

// What an audit has begun to delete is deleted by the next with the same list, and nothing
// else is. Not parallel, like TestAudit.
func TestKilledInADeletionOfOrphans(t *testing.T) {
	ceph := suite.ceph[1]
	root := ownRoot(t, ceph)
	s := newScene(t)
	classes := []string{s.rbdClass(ceph), s.tenantClass(ceph), s.sharedDirectoryClass(ceph, with("claimRoot", root))}
	var kept, orphans []*corev1.PersistentVolumeClaim
	for _, class := range classes {
		claim, _ := s.made(class, "8Mi")
		kept = append(kept, claim)
	}
	writes := []string{"3 delete", "1 remove from the trash", "1 remove", "1 DELETE secrets"}
	killedAfterEach(t, writes, func() []string {
		want, names := map[string]string{}, []string{}
		orphans = nil
		for i, class := range classes {
			orphan := s.abandon(class)
			orphans, names = append(orphans, orphan), append(names, string(orphan.UID))
			want[volumeName(orphan)] = []string{"orphan-image", "orphan-subvolume", "orphan-directory"}[i]
			if i == 1 {
				want[ownUser(orphan)], want[ownSecret(orphan)] = "orphan-user", "orphan-secret"
			}
		}
		var report auditReport
		s.findings(names, want, &report)
		return auditArgs("--delete-orphans="+s.list(report, func(map[string]any) {}), "--grace-period=0s")
	}, func(after string) {
		users, err := ceph.users(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, orphan := range orphans {
			s.traceless(ceph, orphan)
			if users[ownUser(orphan)] != nil {
				t.Errorf("the user of claim %s is left", orphan.Name)
			}
			if _, err := s.ownSecret(orphan); !apierrors.IsNotFound(err) {
				t.Errorf("the secret of claim %s is left (%v)", orphan.Name, err)
			}
		}
		for _, claim := range kept {
			s.wantVolume(ceph, claim, 8<<20)
		}
		if t.Failed() {
			t.Fatalf("that is so when the audit was killed after %q, and run again", after)
		}
	})
	s.deleteClaims() // the controller purges also what a killed audit has moved aside in a root
	s.eventually("all of the root is purged", func(context.Context) error {
		if left, err := ceph.entries(filepath.Join(root, ".deleting")); len(left) > 0 {
			return fmt.Errorf("it has %v (%w)", left, err)
		}
		return nil
	})
}
