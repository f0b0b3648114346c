package e2e

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// traffic is what is asked of the API server, by method and resource.
type traffic map[string]int

// What one claim costs the API server while its controller has nothing else to do:
// docs/performance.md says what each request is for. Not parallel: on a busy machine some
// are made twice, as the controller's cache is late with what was written.
func TestRequestsForOneClaim(t *testing.T) {
	ceph := suite.ceph[0]
	proxy := newAPIProxy(t)
	s := newScene(t)
	s.serveAlone("--kubeconfig="+proxy.kubeconfig, "--mark-bound-after=0") // or whether kube-controller-manager is late would count
	made := traffic{"POST persistentvolumes": 1, "POST events": 2, "PATCH configmaps": 2, "GET secrets": 2}
	grown := traffic{"GET secrets": 1, "PATCH persistentvolumes": 1, "PATCH persistentvolumeclaims/status": 2, "POST events": 2}
	grownImage := grown.and(traffic{ // kube-controller-manager writes its status, too
		"GET persistentvolumeclaims": 2, "GET persistentvolumes": 2, "PATCH persistentvolumeclaims/status": 1,
	})
	deleted := traffic{"GET persistentvolumeclaims": 1, "GET persistentvolumes": 1, "GET secrets": 1, "DELETE persistentvolumes": 1}
	ownUser, noUser := traffic{"POST secrets": 1}, traffic{"GET secrets": 1, "DELETE secrets": 1}
	mounted := traffic{"GET pods": 1}
	for kind, c := range map[string]struct {
		class string
		want  [3]traffic // made, grown, deleted
	}{
		"image":                       {s.rbdClass(ceph), [3]traffic{made, grownImage, deleted}},
		"subvolume":                   {s.cephfsClass(ceph), [3]traffic{made, grown.and(mounted), deleted}},
		"subvolume with its own user": {s.tenantClass(ceph), [3]traffic{made.and(ownUser), grown.and(mounted), deleted.and(noUser)}},
		"directory":                   {s.directoryClass(ceph), [3]traffic{made.and(ownUser), grown.and(mounted), deleted.and(noUser)}},
	} {
		t.Run(kind, func(t *testing.T) {
			var least [3]traffic
			var tooMany []string
			for range 10 { // others may be at work on the machine, kube-controller-manager on the claim
				tooMany = nil
				for phase, cost := range s.part(t).costs(ceph, proxy, c.class) {
					least[phase] = least[phase].least(cost)
					if more := least[phase].less(c.want[phase]); len(more) > 0 {
						tooMany = append(tooMany, fmt.Sprintf("%s: %v, of which %v are too many", []string{"made", "grown", "deleted"}[phase], least[phase], more))
					}
				}
				if tooMany == nil {
					return
				}
			}
			t.Error(tooMany)
		})
	}
}

// last are the requests of each phase that nobody else waits for.
var last = [3]traffic{{"POST events": 2, "PATCH configmaps": 2}, {"POST events": 2}, {}}

// costs makes, grows and deletes a claim.
func (s *scene) costs(ceph *cephCluster, proxy *apiProxy, class string) (costs [3]traffic) {
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
			if missing := last[phase].less(costs[phase]); len(missing) > 0 {
				return fmt.Errorf("missing are %v", missing)
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
