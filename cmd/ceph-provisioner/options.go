package main

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
)

// options are the command line. Their names follow the CSI sidecars'.
type options struct {
	kubeconfig   string
	kubeAPIQPS   float64
	kubeAPIBurst int

	leaderElection leaderOptions

	httpEndpoint      string
	metricsPath       string
	profilingEndpoint string

	rbdProvisioners    nameList
	cephfsProvisioners nameList
	workerThreads      int
	cephCalls          int
	timeout            time.Duration
	retryStart         time.Duration
	retryMax           time.Duration
	raiseMounted       bool
	markBoundAfter     time.Duration
	secretNamespace    string
	auditInterval      time.Duration

	version bool
}

type leaderOptions struct {
	enabled       bool
	namespace     string
	leaseDuration time.Duration
	renewDeadline time.Duration
	retryPeriod   time.Duration
}

// Defaults. The lease times are those of kube-controller-manager, but for the retry period:
// a standby looks at the Lease after 1 to 2.2 of these. It sees the last renewal so much
// later, and tries to take the Lease so much after it ran out, so that 2 s would make the
// hand-over after a crash last up to 24 s. The rest is measured in docs/architecture.md.
const (
	defaultRBDProvisioner    = "ceph.example/rbd"
	defaultCephFSProvisioner = "ceph.example/cephfs"
	defaultQPS               = 200
	defaultBurst             = 400
	defaultWorkers           = 32
	defaultCephCalls         = 32 // more than librbd gains from
	defaultTimeout           = time.Minute
	defaultRetryStart        = time.Second
	defaultRetryMax          = 5 * time.Minute
	defaultMarkBoundAfter    = 100 * time.Millisecond // several times what kube-controller-manager takes that is not late
	defaultLeaseDuration     = 15 * time.Second
	defaultRenewDeadline     = 10 * time.Second
	defaultRetryPeriod       = time.Second
)

// parseOptions reads the command line, returns what is not a flag, and prints help
// where it is asked for or needed. Commands bind flags of their own.
func parseOptions(args []string, binds ...func(*flag.FlagSet)) (options, []string, error) {
	o := options{
		rbdProvisioners:    nameList{defaultRBDProvisioner},
		cephfsProvisioners: nameList{defaultCephFSProvisioner},
	}
	flags := flag.NewFlagSet("ceph-provisioner", flag.ContinueOnError)
	o.bind(flags)
	for _, bind := range binds {
		bind(flags)
	}
	klog.InitFlags(flags)
	if err := flags.Parse(args); err != nil {
		return options{}, nil, err
	}
	return o, flags.Args(), o.validate()
}

func (o *options) bind(flags *flag.FlagSet) {
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file; the pod's service account if empty")
	flags.Float64Var(&o.kubeAPIQPS, "kube-api-qps", defaultQPS, "requests per second to the API server, on average; events are limited likewise, but apart")
	flags.IntVar(&o.kubeAPIBurst, "kube-api-burst", defaultBurst, "requests to the API server at once")
	flags.BoolVar(&o.leaderElection.enabled, "leader-election", false, "work only while holding the Lease "+leaseName)
	flags.StringVar(&o.leaderElection.namespace, "leader-election-namespace", "", "namespace of the Lease; the pod's own if empty")
	flags.DurationVar(&o.leaderElection.leaseDuration, "leader-election-lease-duration", defaultLeaseDuration, "after which others may take an unrenewed Lease")
	flags.DurationVar(&o.leaderElection.renewDeadline, "leader-election-renew-deadline", defaultRenewDeadline, "after which a leader that can't renew gives up")
	flags.DurationVar(&o.leaderElection.retryPeriod, "leader-election-retry-period", defaultRetryPeriod, "between attempts to get or renew the Lease")
	flags.StringVar(&o.httpEndpoint, "http-endpoint", "", "host:port for metrics, /healthz and /readyz; none if empty")
	flags.StringVar(&o.metricsPath, "metrics-path", "/metrics", "where metrics are served")
	flags.StringVar(&o.profilingEndpoint, "profiling-endpoint", "", "loopback address and port for profiles, such as 127.0.0.1:6060 (/debug/pprof/); none if empty")
	flags.Var(&o.rbdProvisioners, "rbd-provisioner-name", "provisioner of RBD classes; after a comma further names that are served too")
	flags.Var(&o.cephfsProvisioners, "cephfs-provisioner-name", "provisioner of CephFS classes; after a comma further names that are served too")
	flags.IntVar(&o.workerThreads, "worker-threads", defaultWorkers, "creations, deletions and growths of each kind that are worked on at a time on each Ceph cluster")
	flags.IntVar(&o.cephCalls, "ceph-calls", defaultCephCalls, "calls at a time to the monitors, the OSDs and each MDS of a Ceph cluster; its mgr, which works on one at a time, gets two at most")
	flags.DurationVar(&o.timeout, "timeout", defaultTimeout, "for one attempt at one volume")
	flags.DurationVar(&o.retryStart, "retry-interval-start", defaultRetryStart, "pause after a first failure; doubled after each")
	flags.DurationVar(&o.retryMax, "retry-interval-max", defaultRetryMax, "longest pause after a failure")
	flags.BoolVar(&o.raiseMounted, "raise-mounted-cephfs-volumes", false, "raise the capacity of a CephFS PersistentVolume also while pods use it: kubelets up to 1.30 then log ten lines a second for each of these pods, until they start anew")
	flags.DurationVar(&o.markBoundAfter, "mark-bound-after", defaultMarkBoundAfter, "a new PersistentVolume that kube-controller-manager has not come to after this time is put into phase Bound, which spares it one of the five requests that it makes for a claim; 0 is for never")
	flags.StringVar(&o.secretNamespace, "secret-namespace", "", "where the secrets of CephFS volumes with a user of their own are made, unless their class has userSecretNamespace; the claim's namespace if empty")
	flags.DurationVar(&o.auditInterval, "audit-interval", 0, "the leader runs the audit at its start and with this pause after each one, and serves the counts as metrics (docs/audit.md); 1h suits most clusters, 0 is for no audit")
	flags.BoolVar(&o.version, "version", false, "print the version and end")
}

func (o *options) validate() error {
	var errs []error
	positive := func(name string, ok bool) {
		if !ok {
			errs = append(errs, fmt.Errorf("--%s must be greater than 0", name))
		}
	}
	positive("kube-api-qps", o.kubeAPIQPS > 0)
	positive("kube-api-burst", o.kubeAPIBurst > 0)
	positive("worker-threads", o.workerThreads > 0)
	positive("ceph-calls", o.cephCalls > 0)
	positive("timeout", o.timeout > 0)
	positive("retry-interval-start", o.retryStart > 0)
	if o.auditInterval < 0 {
		errs = append(errs, errors.New("--audit-interval must not be negative; 0 is for no audit"))
	}
	if o.markBoundAfter < 0 {
		errs = append(errs, errors.New("--mark-bound-after must not be negative; 0 is for never"))
	}
	if o.retryMax < o.retryStart {
		errs = append(errs, errors.New("--retry-interval-max must not be less than --retry-interval-start"))
	}
	if !strings.HasPrefix(o.metricsPath, "/") || o.metricsPath == healthzPath || o.metricsPath == readyzPath {
		errs = append(errs, fmt.Errorf("--metrics-path must begin with a slash and differ from %s and %s", healthzPath, readyzPath))
	}
	if !isLoopback(o.profilingEndpoint) {
		errs = append(errs, fmt.Errorf("--profiling-endpoint must be on a loopback address, such as 127.0.0.1:6060 or [::1]:6060, not %q", o.profilingEndpoint))
	}
	for _, name := range slices.Concat(o.rbdProvisioners, o.cephfsProvisioners) {
		if strings.HasPrefix(name, "kubernetes.io/") {
			errs = append(errs, fmt.Errorf("provisioner name %q belongs to kube-controller-manager, which works on its claims and volumes itself", name))
		}
	}
	for _, name := range o.rbdProvisioners {
		for _, other := range o.cephfsProvisioners {
			if name == other {
				errs = append(errs, fmt.Errorf("provisioner name %q stands in both --rbd-provisioner-name and --cephfs-provisioner-name", name))
			}
		}
	}
	return errors.Join(append(errs, o.leaderElection.validate())...)
}

// isLoopback reports whether nobody on another machine can reach an endpoint.
func isLoopback(endpoint string) bool {
	address, err := netip.ParseAddrPort(endpoint)
	return endpoint == "" || err == nil && address.Addr().IsLoopback()
}

func (l *leaderOptions) validate() error {
	switch {
	case !l.enabled:
		return nil
	case l.retryPeriod <= 0 || l.renewDeadline <= l.retryPeriod || l.leaseDuration <= l.renewDeadline:
		return errors.New("leader election needs 0 < retry period < renew deadline < lease duration")
	case l.namespace == "":
		return l.findNamespace()
	}
	return nil
}

// journalNamespace is that of the Lease, or of the pod.
func (o *options) journalNamespace() string {
	if o.leaderElection.namespace == "" && o.leaderElection.findNamespace() != nil {
		return metav1.NamespaceSystem // outside of a pod
	}
	return o.leaderElection.namespace
}

// podNamespaceFile is mounted into every pod that has a service account.
const podNamespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

func (l *leaderOptions) findNamespace() error {
	text, err := os.ReadFile(podNamespaceFile)
	if err != nil {
		return errors.New("--leader-election-namespace is required outside of a pod")
	}
	l.namespace = strings.TrimSpace(string(text))
	return nil
}

// nameList is a flag with names separated by commas.
type nameList []string

// String implements [flag.Value].
func (n *nameList) String() string { return strings.Join(*n, ",") }

// Set implements [flag.Value].
func (n *nameList) Set(text string) error {
	*n = nil
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); name == "" {
			return errors.New("a provisioner's name is empty")
		}
		*n = append(*n, name)
	}
	return nil
}
