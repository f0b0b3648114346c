package goceph

import (
	"context"
	"testing"
	"time"

	"ceph.example/ceph-provisioner/cephclient"
)

// What was told lately needs no cluster.
func TestRecentFileSystems(t *testing.T) {
	told := []cephclient.FileSystem{{Name: "a"}}
	for age, known := range map[time.Duration]bool{0: true, recentFor + time.Millisecond: false} {
		pool := NewPool(Options{Timeout: time.Minute, CallsPerService: 1})
		s := pool.session(cephclient.Cluster{Monitors: []string{"127.0.0.1:1"}}, cephclient.Credentials{ID: "u"})
		pool.listings.Store(s.identity, listing{time.Now().Add(-age), told})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		found, err := fileSystems{s}.RecentFileSystems(ctx)
		if got := err == nil && len(found) == 1; got != known {
			t.Errorf("told %s ago: got %v, %v", age, found, err)
		}
	}
}
