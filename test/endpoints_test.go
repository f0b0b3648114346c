package e2e

import (
	"net/http"
	"testing"
)

func TestEndpoints(t *testing.T) {
	s := newScene(t)
	s.made(s.rbdClass(suite.ceph[0]), "1Gi") // so that there is something to count
	tests := map[string][]string{
		"/healthz": {"ok"},
		"/readyz":  {"ok"},
		"/metrics": {
			"controller_persistentvolumeclaim_provision_total{",
			"controller_persistentvolumeclaim_provision_duration_seconds_bucket{",
			"go_goroutines", "process_open_fds",
		},
	}
	for path, want := range tests {
		status, body, err := suite.controller.get(t.Context(), path)
		if err != nil {
			t.Error(err)
			continue
		}
		if status != http.StatusOK || !containsAll(body, want) {
			t.Errorf("%s answers %d without %q: %s", path, status, want, body[:min(2000, len(body))])
		}
	}
	if status, _, err := suite.controller.get(t.Context(), "/debug/pprof/"); err != nil || status != http.StatusNotFound {
		t.Errorf("/debug/pprof/ answers %d (%v), want %d: nobody asked for it", status, err, http.StatusNotFound)
	}
}
