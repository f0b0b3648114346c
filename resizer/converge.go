package resizer

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// Reasons of events, as kube-controller-manager and external-resizer name them.
const (
	reasonResizing     = "Resizing"
	reasonSuccess      = "VolumeResizeSuccessful"
	reasonFailed       = "VolumeResizeFailed"
	reasonNodeRequired = "FileSystemResizeRequired"
)

// maxSteps is far more than any state needs. A run ends there if somebody, such
// as an admission webhook, undoes what it writes.
const maxSteps = 20

// failTimeout is for telling of a failure.
const failTimeout = 10 * time.Second

// run is one attempt at one claim. The objects are as the API server returned
// them last, or a cache.
type run struct {
	claim *corev1.PersistentVolumeClaim
	pv    *corev1.PersistentVolume
	class *storagev1.StorageClass // nil if it is gone
	seen  observation
	live  bool // the API server has returned the claim in this attempt

	backend cephclient.Backend // nil until it is needed
	volume  cephclient.Volume
}

// converge does one step after the other until there is none.
func (r *Resizer) converge(ctx context.Context, run *run) error {
	for range maxSteps {
		step := decide(run.claim, run.pv, run.class, run.seen, r.options)
		if step == stepNothing {
			r.told.forget(run.claim.UID)
			r.lookAgain(run.claim, run.seen)
			return nil
		}
		if err := r.advance(ctx, run, step); err != nil {
			return err
		}
	}
	return errors.New("what is written to the claim or its volume does not last: does an admission webhook change it?")
}

// advance does a step, or finds that the objects are not what the step was decided on.
// Each write depends on what was read before it, and fails if that has changed. So a growth
// of which the claim shows nothing yet may begin with what the caches say: it begins with
// a write.
func (r *Resizer) advance(ctx context.Context, run *run, step step) error {
	if !run.live && (step != stepBegin || isMarked(run.claim)) {
		return r.read(ctx, run)
	}
	err := r.perform(ctx, run, step)
	if apierrors.IsConflict(err) {
		return r.read(ctx, run)
	}
	return err
}

// read takes up what stands there now. It fails with "not found" if that is another volume
// by the same name; of another claim decide sees that they do not belong together.
func (r *Resizer) read(ctx context.Context, run *run) error {
	claim, err := r.client.CoreV1().PersistentVolumeClaims(run.claim.Namespace).Get(ctx, run.claim.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	pv, err := r.client.CoreV1().PersistentVolumes().Get(ctx, run.pv.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if pv.UID != run.pv.UID {
		return apierrors.NewNotFound(corev1.Resource("persistentvolumes"), pv.Name)
	}
	run.claim, run.pv, run.live = claim, pv, true
	run.seen = observation{size: run.seen.size} // which Ceph said; no volume gets smaller
	return nil
}

func (r *Resizer) perform(ctx context.Context, run *run, step step) (err error) {
	switch step {
	case stepBegin:
		return r.begin(ctx, run)
	case stepGrow:
		return r.grow(ctx, run)
	case stepVolume:
		return r.raiseVolume(ctx, run)
	case stepPending:
		err = r.patchClaimStatus(ctx, run, markNodePending)
	case stepFinish:
		return r.finish(ctx, run)
	case stepLook:
		run.seen.use, err = r.pods.use(ctx, run.claim, run.pv, capacity(run.claim.Status.Capacity), now)
	case stepPostpone:
		err = r.patchVolume(ctx, run, func(pv *corev1.PersistentVolume) { pvspec.Postpone(pv, *run.seen.size, time.Now()) })
	}
	return err
}

// begin makes sure that Ceph can be asked at all, and then says what is about to
// be done, so that what is half done shows.
func (r *Resizer) begin(ctx context.Context, run *run) error {
	if err := r.open(ctx, run); err != nil {
		return err
	}
	size := wanted(run.claim, run.pv)
	if err := r.patchClaimStatus(ctx, run, func(c *corev1.PersistentVolumeClaim) { markBegun(c, size) }); err != nil {
		return err
	}
	r.told.tell(run.claim, corev1.EventTypeNormal, reasonResizing, fmt.Sprintf("Growing volume %s to %s", run.pv.Name, size.String()))
	run.seen.begun = true
	return nil
}

func (r *Resizer) open(ctx context.Context, run *run) (err error) {
	if run.backend == nil {
		run.backend, run.volume, err = r.access.Open(ctx, run.pv)
	}
	if err != nil {
		return r.fail(ctx, run, err, false)
	}
	return nil
}

func (r *Resizer) grow(ctx context.Context, run *run) error {
	if err := r.open(ctx, run); err != nil {
		return err
	}
	size, err := pvspec.Bytes(wanted(run.claim, run.pv))
	if err != nil {
		return r.fail(ctx, run, err, true)
	}
	info, err := run.backend.Grow(ctx, run.volume, size)
	if err == nil && info.SizeBytes < size {
		err = fmt.Errorf("%s has %d bytes after growing to %d: somebody else changes its size", run.volume, info.SizeBytes, size)
	}
	if err != nil {
		return r.fail(ctx, run, err, !cephclient.MayBeHalfDone(err))
	}
	said := pvspec.Quantity(info.SizeBytes)
	run.seen.size = &said
	return nil
}

func (r *Resizer) raiseVolume(ctx context.Context, run *run) error {
	before, byNode := capacity(run.claim.Status.Capacity), needsNode(run.claim, run.pv)
	err := r.patchVolume(ctx, run, func(pv *corev1.PersistentVolume) { setCapacity(pv, *run.seen.size, before, byNode) })
	if err == nil && byNode && before.Cmp(*run.seen.size) < 0 {
		// Here and not with the mark, which kube-controller-manager may set before us.
		r.told.tell(run.claim, corev1.EventTypeNormal, reasonNodeRequired,
			"The RBD image has grown; the kubelet grows the file system on it where it is mounted, now or at the next mount")
	}
	return err
}

func (r *Resizer) finish(ctx context.Context, run *run) error {
	before, size := capacity(run.claim.Status.Capacity), *run.seen.size
	if needsNode(run.claim, run.pv) && before.Cmp(size) < 0 {
		size = before // the kubelet's to raise; but no file system is larger than its image
	}
	if err := r.patchClaimStatus(ctx, run, func(c *corev1.PersistentVolumeClaim) { markFinished(c, size) }); err != nil {
		return err
	}
	run.seen.use = useUnknown // pods that came before this write know the old size only
	if before.Cmp(size) < 0 {
		r.told.tell(run.claim, corev1.EventTypeNormal, reasonSuccess, fmt.Sprintf("Volume %s has grown to %s", run.pv.Name, size.String()))
	}
	return nil
}

// fail tells the user why the volume does not grow, and returns the cause for
// the queue. certain says that nothing has changed in Ceph.
func (r *Resizer) fail(ctx context.Context, run *run, cause error, certain bool) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return cause // this process ends, which is no failure: the next leader goes on
	}
	// The attempt's own time may be what is over.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), failTimeout)
	defer cancel()
	r.told.tell(run.claim, corev1.EventTypeWarning, reasonFailed, cause.Error())
	if asked := wanted(run.claim, run.pv); asked.Cmp(capacity(run.claim.Status.Capacity)) <= 0 {
		return cause // nothing was asked for
	}
	err := r.patchClaimStatus(ctx, run, func(c *corev1.PersistentVolumeClaim) { markFailed(c, cause.Error(), certain) })
	if err != nil && !apierrors.IsConflict(err) {
		return errors.Join(cause, err)
	}
	return cause
}
