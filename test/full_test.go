package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
)

// In a full pool no image can be made or (16.2; 17.2 does it) deleted, which is told; those
// that are there grow, as that takes no space. When the pool has room again all goes on.
func TestFullPool(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	pool := s.ownPool(ceph)
	pool.create()
	claim, pv := s.made(pool.class, "1Gi")
	ceph.run(t, "ceph", "osd", "pool", "set-quota", pool.name, "max_objects", "1")
	s.full(ceph, pool.name)

	refused := s.claim(pool.class, "1Gi")
	s.event(refused, "ProvisioningFailed", "no space or quota exceeded", "raise the pool's quota")
	s.request(claim, "2Gi")
	s.grown(claim, pv.Name, 2<<30)
	s.deleteClaim(claim)
	s.event(pv, "VolumeFailedDelete", "no space or quota exceeded", "raise the pool's quota")
	s.deleteClaim(refused)
	s.eventually("the claim is gone", claimIsGone(refused))
	if _, err := getVolume(t.Context(), pv.Name); err != nil {
		t.Errorf("the volume has gone before its image: %v", err)
	}
	ceph.run(t, "ceph", "osd", "pool", "set-quota", pool.name, "max_objects", "0")
	s.gone(pv.Name)
	s.noneBegun(refused) // an attempt may have been under way when the claim was deleted
	s.gone("pvc-" + string(refused.UID))
	s.eventuallyIn(t.Context(), toolInterval, patience, "the pool is empty", func(context.Context) error {
		if left := strings.Fields(ceph.run(t, "rbd", "ls", pool.name)); len(left) > 0 {
			return fmt.Errorf("it has images %v", left)
		}
		return nil
	})
	pool.remove()
}

// Where a file system's data pool is full, and where all of the cluster is, users whose
// volumes have to wait are told so, and all goes on by itself when there is room. Not
// parallel, as it stops everybody's writes.
func TestFullCluster(t *testing.T) {
	ceph := suite.ceph[1]
	s := newScene(t)
	s.serveAlone("--retry-interval-start=1h", "--retry-interval-max=1h", "--timeout=6s")
	classes := []string{s.cephfsClass(ceph), s.tenantClass(ceph), s.directoryClass(ceph)}
	work := s.prepare(append(classes, s.rbdClass(ceph)), 2)
	if err := writeMiB(ceph.path(s.namespace)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(ceph.path(s.namespace)) })
	const dataPool = "cephfs.cephfs.data"
	quota := func(objects string) {
		ceph.runAtEnd(t, "ceph", "osd", "pool", "set-quota", dataPool, "max_objects", objects)
	}
	quota("1")
	t.Cleanup(ceph.evictNobody(t))
	t.Cleanup(func() { quota("0") })
	s.full(ceph, dataPool)
	work.begin()
	work.answered("no space or quota exceeded")
	quota("0")
	work.done()

	ratios := func(nearfull, backfillfull, full string) { // no one counts if it is less than the one before
		ceph.runAtEnd(t, "ceph", "osd", "set-nearfull-ratio", nearfull)
		ceph.runAtEnd(t, "ceph", "osd", "set-backfillfull-ratio", backfillfull)
		ceph.runAtEnd(t, "ceph", "osd", "set-full-ratio", full)
	}
	hasRoom := func() { ratios("0.85", "0.9", "0.95") }
	t.Cleanup(hasRoom)
	ratios("0.001", "0.002", "0.003")
	s.full(ceph, defaultPool)
	work.begin()
	work.answered()
	hasRoom()
	work.done()
}

// full waits until Ceph takes a pool for full.
func (s *scene) full(ceph *cephCluster, name string) {
	s.t.Helper()
	s.eventuallyIn(s.t.Context(), toolInterval, patience, "pool "+name+" is full", func(ctx context.Context) error {
		var pools []struct {
			Name  string `json:"pool_name"`
			Flags string `json:"flags_names"`
		}
		if err := ceph.read(ctx, &pools, "ceph", "osd", "pool", "ls", "detail"); err != nil {
			return err
		}
		for _, pool := range pools {
			if pool.Name == name && strings.Contains(pool.Flags, "full") {
				return nil
			}
		}
		return fmt.Errorf("pools: %v", pools)
	})
}
