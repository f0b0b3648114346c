package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/controller/metrics"
)

// health is what the probes ask about.
type health struct {
	leader *leaderelection.HealthzAdaptor // alive: a leader that can't renew its Lease is not
	ready  atomic.Bool                    // the API server has answered
}

const (
	healthzPath = "/healthz"
	readyzPath  = "/readyz"
)

// leaderGrace is how long after its Lease ran out a leader counts as alive.
const leaderGrace = 20 * time.Second

func newHealth() *health {
	return &health{leader: leaderelection.NewLeaderHealthzAdaptor(leaderGrace)}
}

// serveHTTP serves metrics and probes until the context ends. It returns once
// the endpoint is open.
func serveHTTP(ctx context.Context, o options, health *health, ours prometheus.Collector) error {
	if o.httpEndpoint == "" {
		return nil
	}
	listener, err := net.Listen("tcp", o.httpEndpoint)
	if err != nil {
		return fmt.Errorf("--http-endpoint: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle(o.metricsPath, promhttp.HandlerFor(newRegistry(ours), promhttp.HandlerOpts{}))
	mux.HandleFunc(healthzPath, probe(health.leader.Check))
	mux.HandleFunc(readyzPath, probe(func(*http.Request) error {
		if !health.ready.Load() {
			return errors.New("the API server has not answered yet")
		}
		return nil
	}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			klog.FromContext(ctx).Error(err, "Serving metrics and probes ended")
		}
	}()
	return nil
}

func probe(check func(*http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, request *http.Request) {
		if err := check(request); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	}
}

// newRegistry holds our metrics, the library's and those of the process.
func newRegistry(ours prometheus.Collector) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		ours,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		metrics.M.PersistentVolumeClaimProvisionTotal,
		metrics.M.PersistentVolumeClaimProvisionFailedTotal,
		metrics.M.PersistentVolumeClaimProvisionDurationSeconds,
		metrics.M.PersistentVolumeDeleteTotal,
		metrics.M.PersistentVolumeDeleteFailedTotal,
		metrics.M.PersistentVolumeDeleteDurationSeconds,
	)
	return registry
}
