package audit

import (
	"context"
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
)

// maxTold bounds the lines of one audit in the log. The command prints all.
const maxTold = 100

// Job audits again and again. It serves what the last audit has found as metrics, and
// logs what the one before had not found.
type Job struct {
	*metrics
	interval time.Duration
	run      func(context.Context) (Report, error)
	told     map[identity]bool // problems of the last audit
}

// NewJob returns a job that pauses for interval after each audit. 0 is for none at all.
// An error of run says that there is no report.
func NewJob(interval time.Duration, run func(context.Context) (Report, error)) *Job {
	return &Job{metrics: &metrics{}, interval: interval, run: run}
}

// Run audits at once, and then after each pause, until the context ends. It returns when
// the audit under way has ended.
func (j *Job) Run(ctx context.Context) {
	if j.interval > 0 {
		wait.UntilWithContext(ctx, j.audit, j.interval)
	}
}

func (j *Job) audit(ctx context.Context) {
	startedAt := time.Now()
	report, err := j.run(ctx)
	took := time.Since(startedAt)
	switch {
	case ctx.Err() != nil: // it was cut short: nobody is to conclude anything from it
	case err != nil:
		j.failed(took)
		klog.FromContext(ctx).Error(err, "The audit has failed")
	default:
		j.succeeded(report, took)
		j.tell(klog.FromContext(ctx), report, took)
	}
}

func (j *Job) tell(logger klog.Logger, report Report, took time.Duration) {
	logger.Info("Kubernetes and Ceph were compared", "persistentVolumes", report.Summary.Volumes,
		"volumes", report.Summary.CephVolumes, "places", report.Summary.Places, "problems", report.Summary.Problems,
		"complete", report.Summary.Complete, "findings", report.counts(), "took", took.Round(time.Millisecond))
	news := j.news(report)
	for _, f := range news[:min(len(news), maxTold)] {
		logger.V(2).Info("The audit has found", "kind", f.Kind, "cluster", f.Cluster, "place", f.Place, "name", f.Name, "detail", f.Detail)
	}
	if len(news) > maxTold {
		logger.V(2).Info("The audit has found more: ceph-provisioner audit prints all of it", "more", len(news)-maxTold)
	}
}

// news are the problems that the last audit did not find.
func (j *Job) news(report Report) (news []Finding) {
	now := map[identity]bool{}
	if !report.Summary.Complete {
		now = maps.Clone(j.told) // what could not be looked at this time is no news the next
	}
	if now == nil {
		now = map[identity]bool{}
	}
	for _, finding := range report.Findings {
		if finding.Kind.isInformation() {
			continue
		}
		same := finding.identity()
		if now[same] = true; !j.told[same] {
			news = append(news, finding)
		}
	}
	j.told = now
	return news
}
