package provisioner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/controller"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// Finisher ends what was begun and whose claim is gone, as the library does while its
// process lives: the volume is made, and its PersistentVolume stored. Kubernetes sees
// that the claim is gone, and deletes both by the class's reclaim policy.
type Finisher struct {
	Unfinished *Unfinished
	Client     kubernetes.Interface
	// Claims and Volumes are all that there are. What they show need not be asked for.
	Claims  corelisters.PersistentVolumeClaimLister
	Volumes corelisters.PersistentVolumeLister
	// Provisioners make the volumes of classes, by the names of their provisioners.
	Provisioners map[string]*Provisioner
	Timeout      time.Duration // for one volume
	Retries      workqueue.RateLimiter
}

const (
	finishInterval = 10 * time.Second
	// flushInterval is for how long a note may outlive what it is for. A crash in that
	// time has the next process look at the volume once more.
	flushInterval  = time.Second
	finishTogether = 4
	finishTimeout  = 2 * time.Second // at the end
)

// Run works until the context ends.
func (f *Finisher) Run(ctx context.Context) {
	go wait.UntilWithContext(ctx, f.flush, flushInterval)
	wait.UntilWithContext(ctx, f.Pass, finishInterval)
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	f.flush(ending)
}

// Pass looks once at all that was begun.
func (f *Finisher) Pass(ctx context.Context) {
	if err := f.Unfinished.recall(ctx); err != nil {
		klog.FromContext(ctx).Error(err, "What an earlier process has begun is not known yet")
	}
	var workers errgroup.Group
	workers.SetLimit(finishTogether)
	for _, each := range f.Unfinished.resting() {
		workers.Go(func() error {
			f.try(ctx, each)
			return nil
		})
	}
	_ = workers.Wait() // what fails is tried again
}

// flush has notes erased that nobody needs any more.
func (f *Finisher) flush(ctx context.Context) {
	if err := f.Unfinished.journal.Flush(ctx); err != nil && ctx.Err() == nil {
		klog.FromContext(ctx).Error(err, "Notes on finished volumes are erased later")
	}
}

func (f *Finisher) try(ctx context.Context, each controller.ProvisionOptions) {
	log := klog.FromContext(ctx).WithValues("persistentVolume", each.PVName, "claim", klog.KObj(each.PVC), "storageClass", each.StorageClass.Name)
	err := f.look(klog.NewContext(ctx, log), each)
	switch {
	case ctx.Err() != nil: // the next leader will try
	case err == nil:
		f.Retries.Forget(each.PVName)
	default:
		f.Unfinished.postpone(each.PVName, f.Retries.When(each.PVName))
		log.Error(err, "What was begun for a claim that is gone can't be finished yet, and may be left in Ceph")
	}
}

// look decides what becomes of a volume that was begun. The library may still try it,
// too: both do the same, and what is stored twice is stored once.
func (f *Finisher) look(ctx context.Context, each controller.ProvisionOptions) error {
	p, ours := f.Provisioners[each.StorageClass.Provisioner]
	if !ours || f.isClaimed(each) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	_, err := f.Client.CoreV1().PersistentVolumes().Get(ctx, each.PVName, metav1.GetOptions{})
	if err == nil {
		f.Unfinished.forget(each.PVName)
		return nil
	}
	if !apierrors.IsNotFound(err) {
		return err
	}
	claim, err := claimNow(ctx, f.Client, each.PVC.Namespace, each.PVC.Name, each.PVC.UID)
	switch {
	case err != nil:
		return err
	case claim == nil:
	case claim.Spec.VolumeName == "":
		return nil // the library provisions for it
	case claim.Spec.VolumeName == each.PVName && (claim.Status.Phase == corev1.ClaimBound || claim.Status.Phase == corev1.ClaimLost):
		f.Unfinished.forget(each.PVName) // it was stored, and deleted since
		return nil
	}
	return f.finish(ctx, p, each)
}

// isClaimed reports whether a claim waits for the volume, as far as the informers know.
func (f *Finisher) isClaimed(each controller.ProvisionOptions) bool {
	claim, err := f.Claims.PersistentVolumeClaims(each.PVC.Namespace).Get(each.PVC.Name)
	return err == nil && claim.UID == each.PVC.UID && claim.Spec.VolumeName == ""
}

// finish makes the volume of a claim that is gone, so that it can be deleted. If another
// PersistentVolume has it by now, it was stored before: somebody has kept its data.
func (f *Finisher) finish(ctx context.Context, p *Provisioner, each controller.ProvisionOptions) error {
	log := klog.FromContext(ctx)
	keeper, err := f.keeper(string(each.PVC.UID))
	if err != nil {
		return err
	}
	if keeper != "" {
		log.Info("The volume of a claim that is gone is kept", "by", keeper)
		f.Unfinished.forget(each.PVName)
		return nil
	}
	pv, _, err := p.Provision(ctx, each)
	if errors.Is(err, cephclient.ErrExists) || errors.Is(err, errNotOurs) {
		log.Info("The name of a claim that is gone has come again, and its volume is another's", "reason", err.Error())
		f.Unfinished.forget(each.PVName)
		return nil
	}
	if err != nil {
		return err
	}
	pvspec.Complete(pv, each.StorageClass, each.PVC)
	_, err = f.Client.CoreV1().PersistentVolumes().Create(ctx, pv, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("store PersistentVolume %s: %w", pv.Name, err)
	}
	f.Unfinished.finish(pv.Name)
	log.Info("What was begun for a claim that is gone is finished, so that it can be deleted")
	return nil
}

// keeper is a PersistentVolume that says anything which was made for a claim.
func (f *Finisher) keeper(claimUID string) (name string, err error) {
	volumes, err := f.Volumes.List(labels.Everything())
	for _, pv := range volumes {
		if slices.ContainsFunc(pvspec.Mentions(pv), func(said string) bool { return strings.Contains(said, claimUID) }) {
			return pv.Name, err
		}
	}
	return "", err
}
