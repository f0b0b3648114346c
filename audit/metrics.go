package audit

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	findingsMetric = prometheus.NewDesc("ceph_provisioner_audit_findings",
		"What the last audit that could read Kubernetes has found, by kind.", []string{"kind"}, nil)
	successMetric = prometheus.NewDesc("ceph_provisioner_audit_last_success_timestamp_seconds",
		"When an audit that could read Kubernetes last ended.", nil, nil)
	completeMetric = prometheus.NewDesc("ceph_provisioner_audit_complete",
		"Whether the last audit could look at everything.", nil, nil)
	durationMetric = prometheus.NewDesc("ceph_provisioner_audit_duration_seconds",
		"How long the last audit took.", nil, nil)
)

// metrics are those of the last audit, and there are none before it has ended: a replica
// that does not audit must not look like one that has found nothing. It implements
// [prometheus.Collector].
type metrics struct {
	mu    sync.Mutex
	found []prometheus.Metric // by the last one that could read Kubernetes
	last  []prometheus.Metric // about the last one
}

// Describe implements [prometheus.Collector].
func (m *metrics) Describe(descs chan<- *prometheus.Desc) {
	for _, each := range []*prometheus.Desc{findingsMetric, successMetric, completeMetric, durationMetric} {
		descs <- each
	}
}

// Collect implements [prometheus.Collector].
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, each := range m.found {
		to <- each
	}
	for _, each := range m.last {
		to <- each
	}
}

func (m *metrics) succeeded(report Report, took time.Duration) {
	counts := report.counts()
	now := []prometheus.Metric{gauge(successMetric, float64(time.Now().Unix()))}
	for _, kind := range kinds {
		now = append(now, gauge(findingsMetric, float64(counts[kind]), string(kind)))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.found, m.last = now, ended(report.Summary.Complete, took)
}

// failed keeps what was found before: it has not gone away.
func (m *metrics) failed(took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = ended(false, took)
}

func ended(complete bool, took time.Duration) []prometheus.Metric {
	value := 0.0
	if complete {
		value = 1
	}
	return []prometheus.Metric{gauge(completeMetric, value), gauge(durationMetric, took.Seconds())}
}

func gauge(of *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(of, prometheus.GaugeValue, value, labels...)
}
