// Package resizer grows volumes whose claims ask for more: the image or quota
// in Ceph first, then the sizes in Kubernetes, in an order that the
// kube-controller-manager and the kubelet converge with (docs/architecture.md).
package resizer

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	coreinformers "k8s.io/client-go/informers/core/v1"
	storageinformers "k8s.io/client-go/informers/storage/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/util"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
	"ceph.example/ceph-provisioner/stalled"
)

// Access leads to Ceph.
type Access interface {
	// Open leads from a PersistentVolume to a backend for its volume.
	Open(ctx context.Context, pv *corev1.PersistentVolume) (cephclient.Backend, cephclient.Volume, error)
}

// Seats bound how much is done for one Ceph cluster at a time.
type Seats interface {
	// OfVolume waits until a volume's turn has come, and fails only if the context ends.
	OfVolume(ctx context.Context, pv *corev1.PersistentVolume) (leave func(), err error)
	// Workers is how many are needed so that volumes which wait hold up no others.
	Workers() int
}

// Options are what a Resizer works with and within.
type Options struct {
	Provisioners []string      // whose volumes are grown
	Timeout      time.Duration // for one attempt at one claim
	RetryStart   time.Duration // pause after the first failure; doubled after each
	RetryMax     time.Duration // also between two looks at whether pods still use a volume
	Stalled      *stalled.Work // what waits after a failure; the caller runs it
	// RaiseMounted raises the capacity of a CephFS PersistentVolume at once, also
	// while pods use it. Otherwise it waits until none does (docs/expansion.md).
	RaiseMounted bool
	Seats        Seats // each attempt holds one
}

// Resizer watches claims and grows their volumes.
type Resizer struct {
	options Options
	client  kubernetes.Interface
	access  Access
	told    *told
	pods    *pods
	stalled *stalled.Queue                  // by the names in the queue
	queue   workqueue.RateLimitingInterface // of claims, and of volumes that have none any more
	claims  corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	classes storagelisters.StorageClassLister
	synced  []cache.InformerSynced
}

// New returns a resizer that hears of claims, volumes and classes from the
// informers. The caller starts them.
func New(
	options Options, client kubernetes.Interface, access Access, recorder record.EventRecorder,
	claims coreinformers.PersistentVolumeClaimInformer, volumes coreinformers.PersistentVolumeInformer,
	classes storageinformers.StorageClassInformer,
) (*Resizer, error) {
	limiter := workqueue.NewItemExponentialFailureRateLimiter(options.RetryStart, options.RetryMax)
	r := &Resizer{
		options: options, client: client, access: access,
		told:    &told{recorder: recorder},
		pods:    newPods(client),
		queue:   workqueue.NewRateLimitingQueueWithConfig(limiter, workqueue.RateLimitingQueueConfig{Name: "resize"}),
		claims:  claims.Lister(),
		volumes: volumes.Lister(),
		classes: classes.Lister(),
	}
	r.stalled = options.Stalled.Queue(func(key string) { r.queue.Add(key) })
	for informer, handler := range map[cache.SharedIndexInformer]cache.ResourceEventHandlerFuncs{
		claims.Informer(): {
			AddFunc:    func(claim any) { r.claimChanged(nil, claim) },
			UpdateFunc: r.claimChanged,
			DeleteFunc: r.claimDeleted,
		},
		volumes.Informer(): {AddFunc: r.volumeChanged, UpdateFunc: func(_, pv any) { r.volumeChanged(pv) }},
		classes.Informer(): {AddFunc: func(class any) { r.classChanged(nil, class) }, UpdateFunc: r.classChanged},
	} {
		registration, err := informer.AddEventHandler(handler)
		if err != nil {
			return nil, err
		}
		r.synced = append(r.synced, registration.HasSynced)
	}
	return r, nil
}

// Run works until the context ends, and returns when the last worker has.
func (r *Resizer) Run(ctx context.Context) {
	defer utilruntime.HandleCrash()
	if !cache.WaitForCacheSync(ctx.Done(), r.synced...) {
		return
	}
	var workers wait.Group
	for range r.options.Seats.Workers() {
		workers.StartWithContext(ctx, func(ctx context.Context) {
			for r.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	r.queue.ShutDown()
	workers.Wait()
}

// next takes one name off the queue. It is where failures are logged.
func (r *Resizer) next(ctx context.Context) bool {
	key, shutdown := r.queue.Get()
	if shutdown {
		return false
	}
	defer r.queue.Done(key)
	name, err := cache.ParseObjectName(key.(string))
	if err != nil {
		r.queue.Forget(key)
		return true
	}
	switch err := r.sync(ctx, name); {
	case err == nil:
		r.queue.Forget(key)
		r.stalled.Forget(key.(string))
	case apierrors.IsConflict(err):
		r.queue.AddAfter(key, r.options.RetryStart) // somebody else wrote: start over from what stands there now
	default:
		klog.FromContext(ctx).Error(err, "Growing a volume failed", "of", name)
		r.queue.AddRateLimited(key)
	}
	return true
}

func (r *Resizer) sync(ctx context.Context, name cache.ObjectName) error {
	var err error
	if name.Namespace == "" {
		err = r.syncReleased(ctx, name.Name)
	} else {
		err = r.syncClaim(ctx, name)
	}
	if apierrors.IsNotFound(err) {
		return nil // deleted meanwhile
	}
	return err
}

// syncClaim does what is due, once the claim has a seat.
func (r *Resizer) syncClaim(ctx context.Context, name cache.ObjectName) error {
	run, err := r.due(ctx, name)
	if err != nil || run == nil {
		return err
	}
	leave, err := r.options.Seats.OfVolume(ctx, run.pv)
	if err != nil {
		return nil // the process ends
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	err = r.converge(ctx, run)
	if !apierrors.IsNotFound(err) && (err != nil || run.seen.size != nil) { // else Ceph was not asked
		r.stalled.Ended(name.String(), util.GetPersistentVolumeClass(run.pv), err)
	}
	return err
}

// due looks in the caches whether there is anything to do, so that all claims that are
// as they should be cost nothing. It returns nil if there is not.
func (r *Resizer) due(ctx context.Context, name cache.ObjectName) (*run, error) {
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	claim, err := r.claims.PersistentVolumeClaims(name.Namespace).Get(name.Name)
	if err != nil {
		return nil, err
	}
	pv, err := r.volumes.Get(claim.Spec.VolumeName)
	if err != nil {
		return nil, err
	}
	class, err := r.classes.Get(util.GetPersistentVolumeClass(pv))
	if apierrors.IsNotFound(err) {
		class = nil
	} else if err != nil {
		return nil, err
	}
	var seen observation
	step := decide(claim, pv, class, seen, r.options)
	if step == stepLook {
		if seen.use, err = r.pods.use(ctx, claim, pv, capacity(claim.Status.Capacity), r.options.RetryMax); err != nil {
			return nil, err
		}
		step = decide(claim, pv, class, seen, r.options)
	}
	if step == stepNothing {
		r.lookAgain(claim, seen)
		return nil, nil
	}
	return &run{claim: claim, pv: pv, class: class}, nil
}

// syncReleased gives a volume the capacity that was put off while pods used it.
// Now that its claim is gone nobody does, and who binds it anew must see its size.
func (r *Resizer) syncReleased(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	pv, err := r.volumes.Get(name)
	if err != nil || !isReleased(pv, r.options) {
		return err
	}
	if pv, err = r.client.CoreV1().PersistentVolumes().Get(ctx, name, metav1.GetOptions{}); err != nil || !isReleased(pv, r.options) {
		return err
	}
	size, err := pvspec.Postponed(pv)
	if err != nil {
		return err
	}
	return r.patchVolume(ctx, &run{pv: pv}, func(pv *corev1.PersistentVolume) { setCapacity(pv, size, size, false) })
}
