package main

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/controller"

	ours "ceph.example/ceph-provisioner/provisioner"
	"ceph.example/ceph-provisioner/resizer"
	"ceph.example/ceph-provisioner/stalled"
)

// As the controller's defaults are; nothing fails here that would be tried again.
const (
	timeout    = time.Minute
	retryStart = time.Second
	retryMax   = 5 * time.Minute
)

// serve is a provisioner for the classes of one provisioner name, without a limit on
// its requests to the API server. It works until the context ends.
func serve(ctx context.Context, o options, steps steps) error {
	client, err := newClient(o.kubeconfig)
	if err != nil {
		return err
	}
	events := record.NewBroadcaster()
	events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	defer events.Shutdown()
	shared := informers.NewSharedInformerFactory(client, controller.DefaultResyncPeriod)
	provisions := newProvisionController(o, client, provisioner{o.kind, steps}, shared)
	growths, err := resizer.New(resizer.Options{
		Provisioners: []string{o.provisioner},
		Seats:        workers(o.threads),
		Timeout:      timeout,
		RetryStart:   retryStart,
		RetryMax:     retryMax,
		Stalled:      stalled.New(),
	}, client, access{steps}, events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "floor"}),
		shared.Core().V1().PersistentVolumeClaims(), shared.Core().V1().PersistentVolumes(), shared.Storage().V1().StorageClasses())
	if err != nil {
		return err
	}
	shared.Start(ctx.Done())
	go provisions.Run(ctx) // the library's Run does not return
	growths.Run(ctx)
	return nil
}

func newClient(kubeconfig string) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{}
	config.ContentType = runtime.ContentTypeProtobuf // as the controller does
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	return kubernetes.NewForConfig(config)
}

func newProvisionController(o options, client kubernetes.Interface, p provisioner, shared informers.SharedInformerFactory) *controller.ProvisionController {
	limiter := func() workqueue.RateLimiter {
		return workqueue.NewItemExponentialFailureRateLimiter(retryStart, retryMax)
	}
	return controller.NewProvisionController(client, o.provisioner, p,
		controller.LeaderElection(false),
		controller.ClaimsInformer(shared.Core().V1().PersistentVolumeClaims().Informer()),
		controller.VolumesInformer(ours.Watched(shared.Core().V1().PersistentVolumes().Informer())),
		controller.ClassesInformer(shared.Storage().V1().StorageClasses().Informer()),
		controller.Threadiness(o.threads),
		controller.RateLimiter(limiter()),
		controller.CreateProvisionedPVLimiter(limiter()),
		controller.FailedProvisionThreshold(0),
		controller.FailedDeleteThreshold(0),
	)
}

// workers take no turns.
type workers int

// OfVolume implements [resizer.Seats].
func (workers) OfVolume(context.Context, *corev1.PersistentVolume) (leave func(), err error) {
	return func() {}, nil
}

// Workers implements [resizer.Seats].
func (w workers) Workers() int { return int(w) }
