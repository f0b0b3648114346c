package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Not parallel: for a moment nobody leads.
func TestStandbyTakesOver(t *testing.T) {
	s := newScene(t)
	class := s.rbdClass(suite.ceph[0])
	s.made(class, "1Gi") // so that somebody leads
	s.directoryClass(suite.ceph[0])
	s.made(s.cephfsClass(suite.ceph[0]), "64Mi") // old volumes are directories below its group
	var leftovers []string
	for _, root := range []string{claimRoot, groupPath} {
		deleting := suite.ceph[0].path(root, ".deleting")
		leftover := filepath.Join(deleting, "of-an-earlier-process")
		if err := os.MkdirAll(filepath.Join(leftover, "folder"), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Remove(deleting) })
		leftovers = append(leftovers, leftover)
	}
	before := leader(t)

	standby, err := suite.startController(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if now := leader(t); now != before {
		t.Fatalf("the leader is %q after the start of a standby, want %q as before", now, before)
	}
	first := suite.controller
	suite.controller = standby
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	if now := leader(t); now == before {
		t.Error("the leader has not given the lease back")
	}
	s.eventually("the standby leads", func(context.Context) error {
		if now := leader(t); now == before || now == "" {
			return errors.New("the lease belongs to " + now)
		}
		return nil
	})
	s.made(class, "1Gi")
	s.eventually("what was left to be purged is gone", func(context.Context) error {
		for _, leftover := range leftovers {
			if _, err := os.Lstat(leftover); !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("%s is there (%v)", leftover, err)
			}
		}
		return nil
	})
}

// lease is as the API server has it now.
func lease(t *testing.T) coordinationv1.LeaseSpec {
	t.Helper()
	lease, err := suite.client.CoordinationV1().Leases(systemNamespace).Get(t.Context(), "ceph-provisioner", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return lease.Spec
}

// leader is who holds the lease; nobody if it was given back.
func leader(t *testing.T) string {
	t.Helper()
	if holder := lease(t).HolderIdentity; holder != nil {
		return *holder
	}
	return ""
}
