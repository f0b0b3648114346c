package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// killedAfterEach runs a command that ends after its first write to Ceph or Kubernetes, then
// one that ends after its second, and so on; each time, once more to its end. prepare makes the same work for each, and returns what checks that it is done.
func killedAfterEach(t *testing.T, want []string, prepare func(*testing.T) (args []string, check func())) {
	t.Helper()
	kill := afterWrite(t)
	run := func(t *testing.T, point string) (printed string) {
		t.Helper()
		binary, environment := kill(point)
		args, check := prepare(t)
		output, err := child(append(environment, "CEPH_CONF=", "KUBECONFIG="), binary, args...).CombinedOutput()
		if killed := point != toTheEnd; killed != isKilled(err) || !killed && hasFailed(err) {
			t.Fatalf("%v: %s", err, output)
		}
		if again, err := child([]string{"CEPH_CONF=", "KUBECONFIG="}, suite.binary, args...).CombinedOutput(); hasFailed(err) {
			t.Errorf("when it is run again: %v: %s", err, again)
		}
		check()
		return string(output)
	}
	var all []string
	for _, passed := range killpoint.FindAllStringSubmatch(run(t, toTheEnd), -1) {
		all = append(all, passed[1])
	}
	for _, name := range want {
		if !slices.Contains(all, name) {
			t.Fatalf("%q is not written; all writes: %q", name, all)
		}
	}
	for _, point := range all {
		t.Run("after "+point, func(t *testing.T) { run(t, point) })
	}
}

// toTheEnd is the point of no write.
const toTheEnd = "0"

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
	killedAfterEach(t, []string{"1 remove", "1 make", "1 PUT secrets"}, func(t *testing.T) (args []string, check func()) {
		s := newScene(t)
		claim, pv := s.made(s.tenantClass(ceph), "8Mi")
		caps, err := ceph.caps(t.Context(), ownUser(claim))
		if err != nil || caps == nil {
			t.Fatalf("the volume's user has %v (%v)", caps, err)
		}
		before := s.keyIn(pv.Spec.CephFS.SecretRef)
		return []string{"rotate-key", "--kubeconfig=" + suite.kubeconfig, pv.Name}, func() {
			if s.keyIn(pv.Spec.CephFS.SecretRef) == before {
				t.Error("the key is the same")
			}
			if now, err := ceph.caps(t.Context(), ownUser(claim)); err != nil || fmt.Sprint(now) != fmt.Sprint(caps) {
				t.Errorf("the user has caps %v (%v), want %v", now, err, caps)
			}
			if _, err := s.asTenant(pv, "write", pv.Spec.CephFS.Path, "file", "text"); err != nil {
				t.Errorf("the user can't write: %v", err)
			}
		}
	})
}

// What an audit has begun to delete is deleted by the next with the same list, and nothing
// else is. Not parallel, like TestAudit.
func TestKilledInADeletionOfOrphans(t *testing.T) {
	ceph := suite.ceph[1]
	for kind, c := range map[string]struct {
		class  func(s *scene, root string) string
		writes []string
	}{
		"orphan-image":     {func(s *scene, _ string) string { return s.rbdClass(ceph) }, []string{"1 delete", "1 remove from the trash"}},
		"orphan-subvolume": {func(s *scene, _ string) string { return s.tenantClass(ceph) }, []string{"1 delete", "1 remove", "1 DELETE secrets"}},
		"orphan-directory": {func(s *scene, root string) string { return s.sharedDirectoryClass(ceph, with("claimRoot", root)) }, []string{"1 delete"}},
	} {
		t.Run(kind, func(t *testing.T) {
			killedAfterEach(t, c.writes, func(t *testing.T) (args []string, check func()) {
				root := ownRoot(t, ceph)
				s := newScene(t)
				class := c.class(s, root)
				kept, _ := s.made(class, "8Mi")
				orphan := s.abandon(class)
				want := map[string]string{volumeName(orphan): kind}
				if kind == "orphan-subvolume" {
					want[ownUser(orphan)], want[ownSecret(orphan)] = "orphan-user", "orphan-secret"
				}
				var report auditReport
				s.findings([]string{string(orphan.UID)}, want, &report)
				list := s.list(report, func(map[string]any) {})
				return auditArgs("--delete-orphans="+list, "--grace-period=0s"), func() {
					s.wantVolume(ceph, kept, 8<<20)
					s.deleteClaim(kept) // the controller also purges what a killed audit has moved aside in a root
					s.allGone(ceph, []*corev1.PersistentVolumeClaim{orphan, kept})
				}
			})
		})
	}
}
