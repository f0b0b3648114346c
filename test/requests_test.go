package e2e

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

// What one claim costs the API server, with its controller having nothing else to do:
// docs/performance.md says what each request is for.
func TestRequestsForOneClaim(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	proxy := newAPIProxy(t)
	s := newScene(t)
	s.serveAlone("--kubeconfig=" + proxy.kubeconfig)
	s.eventually("the controller listens", func(context.Context) error {
		if proxy.requests()["GET configmaps"] == 0 {
			return fmt.Errorf("the journal is not read yet")
		}
		return nil
	})
	for kind, class := range map[string]string{
		"image": s.rbdClass(ceph), "subvolume": s.cephfsClass(ceph),
		"subvolume with its own user": s.tenantClass(ceph), "directory": s.directoryClass(ceph),
	} {
		claim := s.claim(class, "64Mi")
		for _, phase := range []struct {
			what string
			do   func()
		}{
			{"made", func() { s.bound(claim) }},
			{"grown", func() { s.request(claim, "128Mi"); s.isGrown(ceph, claim, 128<<20) }},
			{"deleted", func() { s.deleteClaim(claim); s.gone(volumeOf(claim)) }},
		} {
			before := proxy.requests()
			phase.do()
			time.Sleep(3 * time.Second)
			cost := map[string]int{}
			for request, n := range proxy.requests() {
				if n -= before[request]; n > 0 {
					cost[request] = n
				}
			}
			t.Logf("%s %s: %v", kind, phase.what, cost)
		}
	}
}

// requests are those that the controller has made, by verb and resource, without watches.
func (p *apiProxy) requests() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	made := maps.Clone(p.passed)
	maps.DeleteFunc(made, func(kind string, _ int) bool { return strings.HasSuffix(kind, "leases") })
	return made
}
