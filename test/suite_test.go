package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"ceph.example/ceph-provisioner/hack/localcluster"
)

// suite is what all tests share.
var suite environment

// environment is the clusters, and the controller that serves them.
type environment struct {
	cluster    *localcluster.Cluster
	recovers   bool   // with the feature gate RecoverVolumeExpansionFailure
	limits     string // of the kube-controller-manager
	owned      bool   // the cluster was started for this run
	dir        string // for this run's files; removed with the cluster
	client     kubernetes.Interface
	ceph       []*cephCluster
	recorder   *recorder
	machine    machine
	auditStart int64    // where this run begins in the API server's audit log
	leftBefore []string // what was in Ceph and Kubernetes before this run
	binary     string
	kubeconfig string // the controller's
	token      string // the only credential in it
	unready    []span // when the API server was starting

	controller  *controller // the one that leads
	mu          sync.Mutex
	controllers []*controller // all that were ever started
}

// controllerManagerQPS is far above the stock limits, which would be most of what
// the tests wait for.
const controllerManagerQPS = 200

// limitsVariable says which limits the kube-controller-manager has: raised, or stock, for
// benchmarks.
const (
	limitsVariable = "BENCH_LIMITS"
	raisedLimits   = "raised"
)

func (e *environment) setUp(ctx context.Context) error {
	if err := e.findCluster(ctx); err != nil {
		return err
	}
	steps := []func(context.Context) error{
		e.connect, e.resumeDaemons, e.prepareCeph, e.takeInventory, e.installManifests, e.buildController,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	controller, err := e.startController(ctx)
	e.controller = controller
	return err
}

// gatesVariable names the feature gates that Kubernetes runs with: the growth of
// volumes has to work with RecoverVolumeExpansionFailure off and on.
const gatesVariable = "E2E_FEATURE_GATES"

// findCluster takes the developer's running cluster, or starts one that ends
// with this process however it dies.
func (e *environment) findCluster(ctx context.Context) error {
	gates := os.Getenv(gatesVariable)
	e.recovers = strings.Contains(gates, "RecoverVolumeExpansionFailure=true")
	e.limits = cmp.Or(os.Getenv(limitsVariable), raisedLimits)
	if dir := os.Getenv("LOCALCLUSTER_DIR"); dir != "" {
		description, err := localcluster.Load(dir)
		if err != nil {
			return err
		}
		e.cluster = &localcluster.Cluster{Description: description}
		return nil
	}
	options := localcluster.DefaultOptions()
	options.CephClusters = 2
	options.FeatureGates = gates
	if e.limits == raisedLimits {
		options.ControllerManagerQPS = controllerManagerQPS
	}
	options.Progress = os.Stderr
	cluster, err := localcluster.Start(ctx, options)
	if err != nil {
		return err
	}
	e.cluster, e.owned = cluster, true
	return nil
}

func (e *environment) connect(context.Context) error {
	if len(e.cluster.Ceph) < 2 || e.cluster.Kubernetes == nil {
		return fmt.Errorf("the tests need two Ceph clusters and Kubernetes; %s has %d Ceph clusters: start it with --ceph-clusters=2", e.cluster.Dir, len(e.cluster.Ceph))
	}
	dir, err := os.MkdirTemp(e.cluster.Dir, "e2e-")
	if err != nil {
		return err
	}
	e.dir = dir
	config, err := clientcmd.BuildConfigFromFlags("", e.cluster.Kubernetes.Kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1 // no limit: dozens of tests share this client
	if e.client, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if e.recorder, err = startRecorder(e.client); err != nil {
		return err
	}
	if err := e.machine.watch(e); err != nil {
		return err
	}
	audit, err := os.Stat(e.cluster.Kubernetes.AuditLog)
	if err != nil {
		return err
	}
	e.auditStart = audit.Size()
	for i := range e.cluster.Ceph {
		e.ceph = append(e.ceph, &cephCluster{Ceph: e.cluster.Ceph[i]})
	}
	return nil
}

// resumeDaemons wakes what an earlier run that was killed had stopped.
func (e *environment) resumeDaemons(context.Context) error {
	var errs []error
	for _, daemon := range e.cluster.Daemons {
		errs = append(errs, e.cluster.Signal(daemon.Name, syscall.SIGCONT))
	}
	return errors.Join(errs...)
}

func (e *environment) takeInventory(ctx context.Context) (err error) {
	e.leftBefore, err = e.leftovers(ctx)
	return err
}

func (e *environment) tearDown() error {
	var errs []error
	for _, controller := range e.controllers {
		errs = append(errs, controller.stop())
	}
	if e.recorder != nil {
		e.recorder.stop()
	}
	for _, ceph := range e.ceph {
		if ceph.root != nil {
			errs = append(errs, ceph.root.unmount())
		}
	}
	if e.owned {
		return errors.Join(append(errs, e.cluster.Stop())...)
	}
	if e.dir != "" {
		fmt.Fprintln(os.Stderr, "The controller's logs:", filepath.Join(e.dir, "*.log"))
	}
	return errors.Join(errs...)
}
