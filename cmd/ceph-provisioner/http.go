package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
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
	mux := http.NewServeMux()
	mux.Handle(o.metricsPath, promhttp.HandlerFor(newRegistry(ours), promhttp.HandlerOpts{}))
	mux.HandleFunc(healthzPath, probe(health.leader.Check))
	mux.HandleFunc(readyzPath, probe(func(*http.Request) error {
		if !health.ready.Load() {
			return errors.New("the API server has not answered yet")
		}
		return nil
	}))
	if err := serve(ctx, o.httpEndpoint, mux); err != nil {
		return fmt.Errorf("--http-endpoint: %w", err)
	}
	return nil
}

// mutexProfileFraction of contentions are noted while profiles are served.
const mutexProfileFraction = 10

// serveProfiles serves profiles of CPU, heap, mutexes and goroutines, for `go tool pprof`.
func serveProfiles(ctx context.Context, o options) error {
	if o.profilingEndpoint == "" {
		return nil
	}
	runtime.SetMutexProfileFraction(mutexProfileFraction)
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	if err := serve(ctx, o.profilingEndpoint, mux); err != nil {
		return fmt.Errorf("--profiling-endpoint: %w", err)
	}
	return nil
}

// serve answers requests until the context ends. It returns once the endpoint is open;
// an empty one is none.
func serve(ctx context.Context, endpoint string, handler http.Handler) error {
	if endpoint == "" {
		return nil
	}
	listener, err := net.Listen("tcp", endpoint)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			klog.FromContext(ctx).Error(err, "An HTTP endpoint is served no more", "endpoint", endpoint)
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
