package provisioner

import (
	"context"
	"errors"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/controller"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/util"

	"ceph.example/ceph-provisioner/stalled"
)

// comeback is a provisioner whose failed claims and volumes come back when what failed
// works again.
type comeback struct {
	guardedProvisioner
	claims, volumes           *stalled.Queue // by UID and by name, as in the library's queues
	claimEvents, volumeEvents *repeater      // what the library is to listen to
}

func newComeback(p guardedProvisioner, work *stalled.Work, claims, volumes cache.SharedIndexInformer) *comeback {
	c := &comeback{
		guardedProvisioner: p,
		claimEvents:        &repeater{SharedIndexInformer: Watched(claims)},
		volumeEvents:       &repeater{SharedIndexInformer: Watched(volumes)},
	}
	c.claims = work.Queue(func(uid string) {
		c.claimEvents.repeat(&corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid)}})
	})
	c.volumes = work.Queue(func(name string) {
		c.volumeEvents.repeat(&corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}})
	})
	c.claimEvents.forget = func(claim metav1.Object) {
		if c.claims.Forget(string(claim.GetUID())) {
			c.claimEvents.repeat(claim) // the library knows whether it must be made all the same
		}
	}
	c.volumeEvents.forget = func(pv metav1.Object) { c.volumes.Forget(pv.GetName()) }
	return c
}

// Provision implements [controller.Provisioner].
func (c *comeback) Provision(ctx context.Context, options controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	pv, state, err := c.guardedProvisioner.Provision(ctx, options)
	ended(c.claims, string(options.PVC.UID), options.StorageClass.Name, err)
	return pv, state, err
}

// Delete implements [controller.Provisioner].
func (c *comeback) Delete(ctx context.Context, pv *corev1.PersistentVolume) error {
	err := c.guardedProvisioner.Delete(ctx, pv)
	ended(c.volumes, pv.Name, util.GetPersistentVolumeClass(pv), err)
	return err
}

func ended(work *stalled.Queue, key, class string, err error) {
	var ignored *controller.IgnoredError
	if errors.As(err, &ignored) {
		work.Forget(key) // nothing was tried
		return
	}
	work.Ended(key, class, err)
}

// repeater is an informer that can be made to tell of an object once more: the queues
// of sig-storage-lib take nothing but what an informer tells.
type repeater struct {
	cache.SharedIndexInformer
	library cache.ResourceEventHandler
	forget  func(metav1.Object) // is told of what is deleted
}

// AddIndexers implements [cache.SharedIndexInformer]. Each of the library's loops adds the
// same index, which an informer takes once.
func (r *repeater) AddIndexers(indexers cache.Indexers) error {
	missing := maps.Clone(indexers)
	maps.DeleteFunc(missing, func(name string, _ cache.IndexFunc) bool { return r.GetIndexer().GetIndexers()[name] != nil })
	return r.SharedIndexInformer.AddIndexers(missing)
}

// AddEventHandlerWithResyncPeriod implements [cache.SharedInformer]. The library calls
// it once, before anything runs.
func (r *repeater) AddEventHandlerWithResyncPeriod(library cache.ResourceEventHandler, period time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	r.library = library
	if _, err := r.SharedIndexInformer.AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: r.deleted}); err != nil {
		return nil, err
	}
	return r.SharedIndexInformer.AddEventHandlerWithResyncPeriod(library, period)
}

func (r *repeater) deleted(last any) {
	if unseen, ok := last.(cache.DeletedFinalStateUnknown); ok {
		last = unseen.Obj
	}
	if object, ok := last.(metav1.Object); ok {
		r.forget(object)
	}
}

func (r *repeater) repeat(object any) { r.library.OnUpdate(object, object) }
