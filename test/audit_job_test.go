package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// Who leads serves as metrics what its audits find; nobody else serves any.
func TestAuditJob(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	s.serveAlone("--audit-interval=1s")
	standby, err := suite.startController(t.Context(), "--rbd-provisioner-name="+s.rbd, "--cephfs-provisioner-name="+s.cephfs, "--audit-interval=1s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := standby.stop(); err != nil {
			t.Error(err)
		}
	})
	pool := s.ownPool(ceph)
	pool.create()

	s.audits("complete 1", `findings{kind="orphan-image"} 0`, `findings{kind="missing-volume"} 0`)
	orphan := s.abandon(pool.class)
	s.audits("complete 1", `findings{kind="orphan-image"} 1`, `findings{kind="missing-volume"} 0`)
	ceph.run(t, "rbd", "rm", "--no-progress", pool.name+"/"+volumeName(orphan))
	s.audits("complete 1", `findings{kind="orphan-image"} 0`, `findings{kind="missing-volume"} 0`)

	for name, silent := range map[string]*controller{"a standby": standby, "a leader that was not told to audit": suite.controller} {
		if _, metrics, err := silent.get(t.Context(), "/metrics"); err != nil || strings.Contains(metrics, auditMetrics) {
			t.Errorf("%s serves metrics of audits (%v)", name, err)
		}
	}
	pool.remove()
}

const auditMetrics = "\nceph_provisioner_audit_"

// audits waits until the metrics of the test's own controller have all of these lines.
func (s *scene) audits(want ...string) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("the metrics of the audit say %q", want), func(ctx context.Context) error {
		_, metrics, err := s.controller.get(ctx, "/metrics")
		if err != nil {
			return err
		}
		for _, line := range want {
			if !strings.Contains(metrics, auditMetrics+line+"\n") {
				return fmt.Errorf("no %q in %q", line, strings.SplitAfter(metrics, auditMetrics)[1:])
			}
		}
		return nil
	})
}
