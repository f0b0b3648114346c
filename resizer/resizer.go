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
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// Access opens backends.
type Access interface {
	// Open leads from a PersistentVolume to a backend for its volume.
	Open(ctx context.Context, pv *corev1.PersistentVolume) (cephclient.Backend, cephclient.Volume, error)
}

// Options are what a Resizer works with and within.
type Options struct {
	Provisioners []string      // whose volumes are grown
	Workers      int           // claims at a time
	Timeout      time.Duration // for one attempt at one claim
	RetryStart   time.Duration // pause after the first failure; doubled after each
	RetryMax     time.Duration
}

// Resizer watches claims and grows their volumes.
type Resizer struct {
	options  Options
	client   kubernetes.Interface
	access   Access
	recorder record.EventRecorder
	queue    workqueue.RateLimitingInterface
	claims   corelisters.PersistentVolumeClaimLister
	volumes  corelisters.PersistentVolumeLister
	synced   []cache.InformerSynced
}

// New returns a resizer that hears of claims from the informer. The caller
// starts the informers.
func New(
	options Options, client kubernetes.Interface, access Access, recorder record.EventRecorder,
	claims coreinformers.PersistentVolumeClaimInformer, volumes coreinformers.PersistentVolumeInformer,
) (*Resizer, error) {
	limiter := workqueue.NewItemExponentialFailureRateLimiter(options.RetryStart, options.RetryMax)
	r := &Resizer{
		options: options, client: client, access: access, recorder: recorder,
		queue:   workqueue.NewRateLimitingQueueWithConfig(limiter, workqueue.RateLimitingQueueConfig{Name: "resize"}),
		claims:  claims.Lister(),
		volumes: volumes.Lister(),
		synced:  []cache.InformerSynced{claims.Informer().HasSynced, volumes.Informer().HasSynced},
	}
	_, err := claims.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(claim any) { r.enqueue(nil, claim) },
		UpdateFunc: r.enqueue,
	})
	return r, err
}

// enqueue has a claim looked at that is smaller than it asks to be. One that
// waits after a failure waits on, unless the user has asked for another size:
// our own marks in its status are updates too.
func (r *Resizer) enqueue(before, after any) {
	claim, ok := after.(*corev1.PersistentVolumeClaim)
	if !ok || !wantsGrowth(claim) {
		return
	}
	key := cache.MetaObjectToName(claim).String()
	if old, ok := before.(*corev1.PersistentVolumeClaim); ok {
		requested := capacity(claim.Spec.Resources.Requests)
		if requested.Cmp(capacity(old.Spec.Resources.Requests)) != 0 {
			r.queue.Forget(key)
		}
	}
	if r.queue.NumRequeues(key) == 0 {
		r.queue.Add(key)
	}
}

// Run works until the context ends, and returns when the last worker has.
func (r *Resizer) Run(ctx context.Context) {
	defer utilruntime.HandleCrash()
	if !cache.WaitForCacheSync(ctx.Done(), r.synced...) {
		return
	}
	var workers wait.Group
	for range r.options.Workers {
		workers.StartWithContext(ctx, func(ctx context.Context) {
			for r.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	r.queue.ShutDown()
	workers.Wait()
}

// next takes one claim off the queue. It is where failures are logged.
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
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	switch err := r.sync(ctx, name); {
	case err == nil:
		r.queue.Forget(key)
	case apierrors.IsConflict(err):
		r.queue.AddAfter(key, r.options.RetryStart) // somebody else wrote: start over from what stands there now
	default:
		klog.FromContext(ctx).Error(err, "Growing a volume failed", "PVC", name)
		r.queue.AddRateLimited(key)
	}
	return true
}

// sync looks in the caches whether there is anything to do, so that claims of
// other provisioners cost nothing, and decides on live objects.
func (r *Resizer) sync(ctx context.Context, name cache.ObjectName) error {
	claim, err := r.claims.PersistentVolumeClaims(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil || !wantsGrowth(claim) {
		return err
	}
	pv, err := r.volumes.Get(claim.Spec.VolumeName)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil || !pvspec.ProvisionedBy(pv, r.options.Provisioners) {
		return err
	}
	return r.syncLive(ctx, name, pv.Name)
}

func (r *Resizer) syncLive(ctx context.Context, name cache.ObjectName, volume string) error {
	claim, err := r.client.CoreV1().PersistentVolumeClaims(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	pv, err := r.client.CoreV1().PersistentVolumes().Get(ctx, volume, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return r.converge(ctx, claim, pv)
}
