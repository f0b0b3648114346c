package resizer

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/util"

	"ceph.example/ceph-provisioner/pvspec"
)

// What the informers tell, and whom it concerns. Whether there is anything to do
// is decided when the name is taken off the queue.

// claimChanged has a claim looked at. One that waits after a failure waits on,
// unless the user has asked for another size: our own marks in its status are
// changes too.
func (r *Resizer) claimChanged(before, after any) {
	claim, ok := after.(*corev1.PersistentVolumeClaim)
	if !ok || claim.Status.Phase != corev1.ClaimBound {
		return
	}
	key := cache.MetaObjectToName(claim).String()
	if old, ok := before.(*corev1.PersistentVolumeClaim); ok {
		requested := capacity(claim.Spec.Resources.Requests)
		if requested.Cmp(capacity(old.Spec.Resources.Requests)) != 0 {
			r.queue.Forget(key)
		}
	}
	r.look(key)
}

func (r *Resizer) claimDeleted(last any) {
	if unseen, ok := last.(cache.DeletedFinalStateUnknown); ok {
		last = unseen.Obj
	}
	if claim, ok := last.(*corev1.PersistentVolumeClaim); ok {
		key := cache.MetaObjectToName(claim).String()
		r.told.forget(claim.UID)
		r.stalled.Forget(key)
		r.queue.Forget(key)
	}
}

func (r *Resizer) volumeChanged(after any) {
	pv, ok := after.(*corev1.PersistentVolume)
	if !ok || !pvspec.ProvisionedBy(pv, r.options.Provisioners) {
		return
	}
	if isReleased(pv, r.options) {
		r.look(pv.Name)
	} else if ref := pv.Spec.ClaimRef; ref != nil {
		r.look(cache.NewObjectName(ref.Namespace, ref.Name).String())
	}
}

// classChanged wakes the claims of a class that has been edited or made again.
func (r *Resizer) classChanged(before, after any) {
	class, ok := after.(*storagev1.StorageClass)
	if old, edited := before.(*storagev1.StorageClass); !ok || edited && old.ResourceVersion == class.ResourceVersion {
		return
	}
	claims, err := r.claims.List(labels.Everything())
	if err != nil {
		return // a lister's cache does not fail
	}
	for _, claim := range claims {
		if pv, err := r.volumes.Get(claim.Spec.VolumeName); err == nil && util.GetPersistentVolumeClass(pv) == class.Name {
			r.wake(cache.MetaObjectToName(claim).String())
		}
	}
}

// look has something looked at, unless it waits after a failure.
func (r *Resizer) look(key string) {
	if r.queue.NumRequeues(key) == 0 {
		r.queue.Add(key)
	}
}

// lookAgain comes back to a claim whose volume waits until no pod uses it, of
// which no informer tells.
func (r *Resizer) lookAgain(claim *corev1.PersistentVolumeClaim, seen observation) {
	if seen.use == useSome {
		r.queue.AddAfter(cache.MetaObjectToName(claim).String(), r.options.RetryMax)
	}
}

// wake has something looked at, also if it waits after a failure.
func (r *Resizer) wake(key string) {
	r.queue.Forget(key)
	r.queue.Add(key)
}

// isReleased reports whether a volume is kept without its claim, and its capacity
// has been put off.
func isReleased(pv *corev1.PersistentVolume, o Options) bool {
	_, err := pvspec.Postponed(pv)
	free := pv.Status.Phase == corev1.VolumeReleased || pv.Status.Phase == corev1.VolumeAvailable
	return err == nil && free && pv.DeletionTimestamp == nil &&
		pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRetain &&
		pvspec.ProvisionedBy(pv, o.Provisioners)
}
