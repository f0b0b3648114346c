package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// BenchmarkCephFSGrowth measures how long after the edit of a claim a mount that
// was there before takes more data, and, in turn with that, how long after the
// quota itself was set by hand: what Ceph and the client need.
//
//	make bench
func BenchmarkCephFSGrowth(b *testing.B) {
	ceph := suite.ceph[0]
	s := newScene(b)
	claim, pv := s.made(s.cephfsClass(ceph), "8Mi", modes(corev1.ReadWriteMany))
	mounted := s.mount(pv)
	quotaDir := filepath.Join(ceph.root.dir, pv.Spec.CephFS.Path)
	const stepMiB = 16
	sizeMiB := 8
	// grown fills the volume, has it grown, and waits until it takes more.
	grown := func(grow func(size string)) time.Duration {
		if _, err := fill(mounted, 1<<20); !errors.Is(err, syscall.EDQUOT) {
			b.Fatalf("the quota does not hold: %v", err)
		}
		sizeMiB += stepMiB
		begin := time.Now()
		grow(strconv.Itoa(sizeMiB << 20))
		for writeMiB(filepath.Join(mounted, fmt.Sprint("after-", sizeMiB))) != nil {
			if time.Since(begin) > patience {
				b.Fatal("it never takes more")
			}
		}
		return time.Since(begin)
	}
	var byClaim, byHand time.Duration
	b.ResetTimer()
	for range b.N {
		byClaim += grown(func(size string) { s.request(claim, size) })
		s.eventually("the claim has grown", func(ctx context.Context) error {
			now, err := getClaim(ctx, claim)
			if err == nil && now.Status.Capacity.Storage().Value() < int64(sizeMiB)<<20 {
				err = errors.New("not yet")
			}
			return err
		})
		byHand += grown(func(size string) {
			if err := syscall.Setxattr(quotaDir, "ceph.quota.max_bytes", []byte(size), 0); err != nil {
				b.Fatal(err)
			}
		})
	}
	b.StopTimer()
	b.ReportMetric(float64(byClaim.Milliseconds())/float64(b.N), "ms-by-claim")
	b.ReportMetric(float64(byHand.Milliseconds())/float64(b.N), "ms-by-hand")
	b.ReportMetric(float64(byClaim)/float64(byHand), "ratio")
}
