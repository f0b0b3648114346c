package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
)

func TestJobRun(t *testing.T) {
	for state, test := range map[string]struct {
		interval time.Duration
		endsIn   int // the audit in which the context ends
		want     int // audits
	}{
		"off":                          {0, 1, 0},
		"the context ends before":      {time.Hour, 0, 0},
		"the context ends in an audit": {time.Hour, 1, 1},
		"and in a later one":           {time.Nanosecond, 3, 3},
	} {
		t.Run(state, func(t *testing.T) {
			ctx, end := context.WithCancel(t.Context())
			defer end()
			audits := 0
			job := NewJob(test.interval, func(context.Context) (Report, error) {
				if audits++; audits == test.endsIn {
					end()
				}
				return newReport(here, time.Now(), nil), nil
			})
			if test.endsIn == 0 {
				end()
			}
			job.Run(ctx)
			if audits != test.want {
				t.Errorf("%d audits, want %d", audits, test.want)
			}
			if has, want := testutil.CollectAndCount(job) > 0, test.want > 1; has != want {
				t.Errorf("there are metrics: %t, want %t, as one that was cut short does not count", has, want)
			}
		})
	}
}

// jobWith has audits that end with these, findings or an error, one after the other.
func jobWith(results ...any) *Job {
	return NewJob(time.Hour, func(context.Context) (Report, error) {
		next := results[0]
		results = results[1:]
		if err, failed := next.(error); failed {
			return Report{}, err
		}
		return newReport(here, time.Now(), next.([]Finding)), nil
	})
}

var (
	lost        = Finding{Kind: MissingVolume, Name: "lost"}
	left        = Finding{Kind: OrphanImage, Name: "left"}
	other       = Finding{Kind: OrphanImage, Name: "other"}
	growing     = Finding{Kind: Growing, Name: "growing"}
	closedPlace = Finding{Kind: NotExamined, Name: "closed"}
	errAPI      = errors.New("the API server does not answer")
)

func TestJobMetrics(t *testing.T) {
	for state, test := range map[string]struct {
		results   []any
		complete  string
		findings  map[Kind]int // nil if none are to be shown
		succeeded bool
	}{
		"nothing was audited yet":        {},
		"Kubernetes could not be read":   {results: []any{errAPI}, complete: "0"},
		"nothing was found":              {results: []any{[]Finding{}}, complete: "1", findings: map[Kind]int{}, succeeded: true},
		"each kind is counted":           {results: []any{[]Finding{left, other, lost, growing}}, complete: "1", findings: map[Kind]int{OrphanImage: 2, MissingVolume: 1, Growing: 1}, succeeded: true},
		"what is gone is not counted":    {results: []any{[]Finding{left, lost}, []Finding{lost}}, complete: "1", findings: map[Kind]int{MissingVolume: 1}, succeeded: true},
		"not everything was looked at":   {results: []any{[]Finding{closedPlace}}, complete: "0", findings: map[Kind]int{NotExamined: 1}, succeeded: true},
		"a failure hides nothing":        {results: []any{[]Finding{left}, errAPI}, complete: "0", findings: map[Kind]int{OrphanImage: 1}, succeeded: true},
		"a success comes after failures": {results: []any{errAPI, []Finding{}}, complete: "1", findings: map[Kind]int{}, succeeded: true},
	} {
		t.Run(state, func(t *testing.T) {
			job := jobWith(test.results...)
			for range test.results {
				job.audit(t.Context())
			}
			var want strings.Builder
			if test.complete != "" {
				fmt.Fprintf(&want, "# HELP ceph_provisioner_audit_complete Whether the last audit could look at everything.\n"+
					"# TYPE ceph_provisioner_audit_complete gauge\nceph_provisioner_audit_complete %s\n", test.complete)
			}
			if test.findings != nil {
				fmt.Fprint(&want, "# HELP ceph_provisioner_audit_findings What the last audit that could read Kubernetes has found, by kind.\n"+
					"# TYPE ceph_provisioner_audit_findings gauge\n")
				for _, kind := range kinds {
					fmt.Fprintf(&want, "ceph_provisioner_audit_findings{kind=%q} %d\n", kind, test.findings[kind])
				}
			}
			if err := testutil.CollectAndCompare(job, strings.NewReader(want.String()), "ceph_provisioner_audit_complete", "ceph_provisioner_audit_findings"); err != nil {
				t.Error(err)
			}
			for name, has := range map[string]bool{
				"ceph_provisioner_audit_last_success_timestamp_seconds": test.succeeded,
				"ceph_provisioner_audit_duration_seconds":               len(test.results) > 0,
			} {
				if got := testutil.CollectAndCount(job, name) == 1; got != has {
					t.Errorf("%s is there: %t, want %t", name, got, has)
				}
			}
			if problems, err := testutil.CollectAndLint(job); err != nil || len(problems) > 0 {
				t.Errorf("%v %v", problems, err)
			}
		})
	}
}

func TestJobTells(t *testing.T) {
	many := make([]Finding, maxTold+5)
	for i := range many {
		many[i] = Finding{Kind: OrphanImage, Name: fmt.Sprintf("image-%03d", i)}
	}
	for state, test := range map[string]struct {
		results []any
		want    []string // about the last audit
	}{
		"what was found first":      {[]any{[]Finding{left, lost}}, []string{`name="lost"`, `name="left"`}},
		"what is there as before":   {[]any{[]Finding{left}, []Finding{left}}, nil},
		"what is new":               {[]any{[]Finding{left}, []Finding{left, other}}, []string{`name="other"`}},
		"what came back":            {[]any{[]Finding{left}, []Finding{}, []Finding{left}}, []string{`name="left"`}},
		"as before, after failures": {[]any{[]Finding{left}, errAPI, []Finding{left}}, nil},
		"another thing of the name": {[]any{[]Finding{left}, []Finding{{Kind: OrphanImage, Name: "left", ID: "another"}}}, []string{`name="left"`}},
		"what is for information":   {[]any{[]Finding{growing}}, nil},
		"a flood":                   {[]any{many}, append(slices.Repeat([]string{`name="image-`}, maxTold), "more=5")},
	} {
		t.Run(state, func(t *testing.T) {
			var log bytes.Buffer
			ctx := klog.NewContext(t.Context(), textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(&log), textlogger.Verbosity(2))))
			job := jobWith(test.results...)
			for range test.results {
				log.Reset()
				job.audit(ctx)
			}
			lines := strings.Split(strings.TrimSpace(log.String()), "\n")
			summary, told := lines[0], lines[1:]
			if !strings.Contains(summary, "problems=") || !strings.Contains(summary, "findings=") {
				t.Errorf("the first line is no summary: %s", summary)
			}
			if !slices.EqualFunc(told, test.want, strings.Contains) {
				t.Errorf("it tells %q, want %q", told, test.want)
			}
		})
	}
}
