package e2e

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// shared reads are made once a second at most, for all claims of a class together.
const shared = "GET secrets"

// traffic is what is asked of the API server, by method and resource.
type traffic map[string]int

// What one claim costs the API server while its controller has nothing else to do:
// docs/performance.md says what each request is for.
func TestRequestsForOneClaim(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	proxy := newAPIProxy(t)
	s := newScene(t)
	s.serveAlone("--kubeconfig=" + proxy.kubeconfig)
	made := traffic{"POST persistentvolumes": 1, "POST events": 2, "PATCH configmaps": 2, "GET secrets": 2}
	grown := traffic{
		"GET persistentvolumeclaims": 1, "GET persistentvolumes": 1, "GET secrets": 1,
		"PATCH persistentvolumes": 1, "PATCH persistentvolumeclaims/status": 2, "POST events": 2,
	}
	deleted := traffic{"GET persistentvolumeclaims": 1, "GET persistentvolumes": 1, "GET secrets": 1, "DELETE persistentvolumes": 1}
	ownUser := traffic{"POST secrets": 1}
	mounted := traffic{"GET pods": 1}
	for kind, c := range map[string]struct {
		class string
		want  [3]traffic // made, grown, deleted
	}{
		"image":                       {s.rbdClass(ceph), [3]traffic{made, grown, deleted}},
		"subvolume":                   {s.cephfsClass(ceph), [3]traffic{made, grown.and(mounted), deleted}},
		"subvolume with its own user": {s.tenantClass(ceph), [3]traffic{made.and(ownUser), grown.and(mounted), deleted.and(traffic{"DELETE secrets": 1})}},
		"directory":                   {s.directoryClass(ceph), [3]traffic{made.and(ownUser), grown.and(mounted), deleted.and(traffic{"DELETE secrets": 1})}},
	} {
		t.Run(kind, func(t *testing.T) {
			var least [3]traffic
			for range 3 { // a busy machine has some requests made twice
				for phase, cost := range s.part(t).costs(ceph, proxy, c.class, c.want) {
					least[phase] = least[phase].least(cost)
				}
			}
			for phase, cost := range least {
				want := c.want[phase].and(nil)
				want[shared] = min(want[shared], cost[shared])
				if !maps.Equal(cost.and(nil), want.and(nil)) {
					t.Errorf("%s: %v, want %v", []string{"made", "grown", "deleted"}[phase], cost, c.want[phase])
				}
			}
		})
	}
}

// costs makes, grows and deletes a claim, and waits each time for at least the requests
// that are wanted.
func (s *scene) costs(ceph *cephCluster, proxy *apiProxy, class string, want [3]traffic) (costs [3]traffic) {
	s.t.Helper()
	var claim *corev1.PersistentVolumeClaim
	for phase, do := range []func(){
		func() { claim = s.claim(class, "64Mi"); s.bound(claim) },
		func() { s.request(claim, "128Mi"); s.isGrown(ceph, claim, 128<<20) },
		func() { s.deleteClaim(claim); s.gone(volumeOf(claim)) },
	} {
		before := proxy.requests()
		do()
		s.eventually("the requests are made", func(context.Context) error {
			costs[phase] = proxy.requests().less(before)
			for request, n := range want[phase] {
				if costs[phase][request] < n && request != shared {
					return fmt.Errorf("%s: %d, want %d", request, costs[phase][request], n)
				}
			}
			return nil
		})
	}
	return costs
}

// requests are those of the controller, but for its Lease.
func (p *apiProxy) requests() traffic {
	p.mu.Lock()
	defer p.mu.Unlock()
	made := traffic(maps.Clone(p.passed))
	maps.DeleteFunc(made, func(kind string, _ int) bool { return strings.HasSuffix(kind, "leases") })
	return made
}

// and is the sum of both.
func (r traffic) and(more traffic) traffic {
	both := traffic{}
	for _, each := range []traffic{r, more} {
		for request, n := range each {
			if n > 0 {
				both[request] += n
			}
		}
	}
	return both
}

func (r traffic) less(before traffic) traffic {
	rest := traffic{}
	for request, n := range r {
		if n > before[request] {
			rest[request] = n - before[request]
		}
	}
	return rest
}

// least is the lesser of each; nil is for not known.
func (r traffic) least(other traffic) traffic {
	if r == nil {
		return other
	}
	both := traffic{}
	for request, n := range r {
		both[request] = min(n, other[request])
	}
	return both
}
