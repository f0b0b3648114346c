package main

import (
	"context"
	"net"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	storageinformers "k8s.io/client-go/informers/storage/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/controller"

	"ceph.example/ceph-provisioner/audit"
	"ceph.example/ceph-provisioner/cephaccess"
	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/cephclient/goceph"
	"ceph.example/ceph-provisioner/journal"
	"ceph.example/ceph-provisioner/provisioner"
	"ceph.example/ceph-provisioner/resizer"
	"ceph.example/ceph-provisioner/seats"
	"ceph.example/ceph-provisioner/stalled"
)

// controllers are the three loops and the audits, made but not yet running.
type controllers struct {
	rbd       *controller.ProvisionController
	cephfs    *controller.ProvisionController
	resizer   *resizer.Resizer
	audits    *audit.Job
	informers informers.SharedInformerFactory // one for all loops
	nodes     nodes
	events    record.EventBroadcaster
	ceph      *goceph.Pool
	purges    func(context.Context)
	finisher  *provisioner.Finisher
	phases    *provisioner.Phases // nil if kube-controller-manager is never helped
	stalled   *stalled.Work
}

// eventsKept are those of which repetitions are counted. The resizer tells each cause once,
// so client-go's 4,096, of some 2 KiB, would wait for nothing.
const eventsKept = 512

// closeTimeout bounds the wait for Ceph at the end. Ending the mounts of CephFS takes
// about a second.
const closeTimeout = 3 * time.Second

func newControllers(o options, client kubernetes.Interface, tenure *tenure) (*controllers, error) {
	ceph := newPool(o, tenure)
	access := newAccess(client, ceph)
	shared := informers.NewSharedInformerFactoryWithOptions(client, controller.DefaultResyncPeriod, informers.WithTransform(slim))
	c := &controllers{
		informers: shared,
		nodes:     newNodes(client),
		events:    record.NewBroadcaster(record.WithCorrelatorOptions(record.CorrelatorOptions{LRUCacheSize: eventsKept})),
		ceph:      ceph,
		stalled:   stalled.New(),
	}
	unfinished := provisioner.NewUnfinished(journal.New(client, o.journalNamespace()))
	recorder := c.events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "ceph-provisioner"})
	newProvisioner := func(kind cephclient.Kind) *provisioner.Provisioner {
		return provisioner.New(provisioner.Options{
			Kind: kind, Access: access, Client: client, Volumes: shared.Core().V1().PersistentVolumes().Lister(),
			Secrets: objects{client}, SecretNamespace: o.secretNamespace, Unfinished: unfinished,
		})
	}
	rbd, cephfs := newProvisioner(cephclient.RBD), newProvisioner(cephclient.CephFS)
	c.purges = func(ctx context.Context) { resumePurges(ctx, o, cephfs, shared.Storage().V1().StorageClasses()) }
	loop := func(names nameList) provisioner.ControllerOptions {
		return provisioner.ControllerOptions{
			Names: names, Threads: o.workerThreads, Timeout: o.timeout,
			Retries: func() workqueue.RateLimiter { return newLimiter(o) },
			Stalled: c.stalled,
			Claims:  shared.Core().V1().PersistentVolumeClaims().Informer(),
			Volumes: shared.Core().V1().PersistentVolumes().Informer(),
			Classes: shared.Storage().V1().StorageClasses().Informer(),
		}
	}
	warner := func(p *provisioner.Provisioner) *provisioner.NodeWarner {
		return &provisioner.NodeWarner{Provisioner: p, Nodes: c.nodes, Events: recorder}
	}
	c.rbd = provisioner.NewController(client, warner(rbd), loop(o.rbdProvisioners))
	c.cephfs = provisioner.NewController(client, warner(cephfs), loop(o.cephfsProvisioners))
	c.finisher = newFinisher(o, client, shared, unfinished, rbd, cephfs)
	err := tellOf(shared.Core().V1().PersistentVolumes().Informer(), unfinished.Stored)
	if err != nil {
		return nil, err
	}
	if o.markBoundAfter > 0 {
		c.phases = provisioner.NewPhases(slices.Concat(o.rbdProvisioners, o.cephfsProvisioners), o.markBoundAfter, client,
			shared.Core().V1().PersistentVolumeClaims().Lister(), shared.Core().V1().PersistentVolumes().Lister())
		if err := tellOf(shared.Core().V1().PersistentVolumes().Informer(), c.phases.Saw); err != nil {
			return nil, err
		}
	}
	if c.audits, err = newAuditJob(o, ceph); err != nil {
		return nil, err
	}
	c.resizer, err = resizer.New(resizer.Options{
		Provisioners: slices.Concat(o.rbdProvisioners, o.cephfsProvisioners),
		Seats:        seats.New(o.workerThreads),
		Timeout:      o.timeout,
		RetryStart:   o.retryStart,
		RetryMax:     o.retryMax,
		RaiseMounted: o.raiseMounted,
		Stalled:      c.stalled,
	}, client, access, recorder, shared.Core().V1().PersistentVolumeClaims(), shared.Core().V1().PersistentVolumes(),
		shared.Storage().V1().StorageClasses())
	return c, err
}

// slim drops what nobody reads here, which is more than half of most objects. The loops
// write differences, so it does not get lost; but sig-storage-lib writes whole claims that
// are not bound yet (a selected node that is gone) and volumes (an old finalizer of its
// own), for which the API server knows the managed fields, and nothing else.
func slim(object any) (any, error) {
	if object, ok := object.(metav1.Object); ok {
		object.SetManagedFields(nil)
	}
	if claim, ok := object.(*corev1.PersistentVolumeClaim); ok && claim.Spec.VolumeName != "" {
		delete(claim.Annotations, corev1.LastAppliedConfigAnnotation)
	}
	return object, nil
}

// tellOf tells of all events: a note that outlives its volume's first is erased at the
// next.
func tellOf(volumes cache.SharedIndexInformer, saw func(*corev1.PersistentVolume)) error {
	tell := func(object any) {
		if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = last.Obj
		}
		if pv, ok := object.(*corev1.PersistentVolume); ok {
			saw(pv)
		}
	}
	_, err := volumes.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: tell, UpdateFunc: func(_, now any) { tell(now) }, DeleteFunc: tell,
	})
	return err
}

// finish begins when it is known which claims and volumes there are.
func (c *controllers) finish(ctx context.Context) {
	c.informers.WaitForCacheSync(ctx.Done())
	c.finisher.Run(ctx)
}

func newFinisher(
	o options, client kubernetes.Interface, shared informers.SharedInformerFactory,
	unfinished *provisioner.Unfinished, rbd, cephfs *provisioner.Provisioner,
) *provisioner.Finisher {
	provisioners := map[string]*provisioner.Provisioner{}
	for _, name := range o.rbdProvisioners {
		provisioners[name] = rbd
	}
	for _, name := range o.cephfsProvisioners {
		provisioners[name] = cephfs
	}
	return &provisioner.Finisher{
		Unfinished: unfinished, Client: client, Provisioners: provisioners, Timeout: o.timeout,
		Claims: shared.Core().V1().PersistentVolumeClaims().Lister(), Volumes: shared.Core().V1().PersistentVolumes().Lister(),
		Retries: newLimiter(o),
	}
}

// resumePurges looks once at what classes with directories have left to be purged.
func resumePurges(ctx context.Context, o options, p *provisioner.Provisioner, classes storageinformers.StorageClassInformer) {
	if !cache.WaitForCacheSync(ctx.Done(), classes.Informer().HasSynced) {
		return
	}
	all, err := classes.Lister().List(labels.Everything())
	if err != nil {
		return // a lister's cache does not fail
	}
	for _, class := range all {
		if slices.Contains(o.cephfsProvisioners, class.Provisioner) {
			ctx, cancel := context.WithTimeout(ctx, o.timeout)
			p.ResumePurge(ctx, class)
			cancel()
		}
	}
}

func newPool(o options, tenure *tenure) *goceph.Pool {
	return goceph.NewPool(goceph.Options{
		Timeout:         o.timeout / 2, // so that Ceph's own answer comes before the attempt is over
		CallsPerService: o.cephCalls,
		MayChange:       tenure.check,
		Unpurged:        func(err error) { klog.Background().Error(err, "Deleted directories stay in CephFS") },
	})
}

func newAccess(client kubernetes.Interface, ceph *goceph.Pool) *cephaccess.Access {
	return &cephaccess.Access{
		Secrets:   cephaccess.NewRecent(objects{client}, cephaccess.RecentFor),
		Classes:   objects{client},
		Resolver:  net.DefaultResolver,
		Connector: ceph,
	}
}

func newLimiter(o options) workqueue.RateLimiter {
	return workqueue.NewItemExponentialFailureRateLimiter(o.retryStart, o.retryMax)
}

// run works until the context ends.
func (c *controllers) run(ctx context.Context, client kubernetes.Interface) {
	c.events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	defer c.events.Shutdown()
	c.informers.Start(ctx.Done())
	go c.nodes.run(ctx)
	go c.purges(ctx)
	go c.stalled.Run(ctx)
	go c.rbd.Run(ctx) // the library's Run does not return
	go c.cephfs.Run(ctx)
	var ending wait.Group // before the connections to Ceph do
	ending.StartWithContext(ctx, c.audits.Run)
	ending.StartWithContext(ctx, c.finish)
	ending.StartWithContext(ctx, c.resizer.Run)
	if c.phases != nil {
		ending.StartWithContext(ctx, c.phases.Run)
	}
	ending.Wait()
	closePool(ctx, c.ceph)
}

// closePool ends what is connected to Ceph, also when the context has ended.
func closePool(ctx context.Context, ceph *goceph.Pool) {
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	ceph.Close(ending)
}
