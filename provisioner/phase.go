package provisioner

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"ceph.example/ceph-provisioner/pvspec"
)

// Phases puts new volumes into the phase Bound where kube-controller-manager is late, which
// binds one claim after the other, with limits that make five claims wait for a second (20
// requests by default). It would write the phase first, and then the claim, so that a volume
// in that phase whose claim is not Bound yet is nothing new to anybody: it is what
// kube-controller-manager leaves if it ends in between. Where it is not late this writes
// nothing, as both would only conflict.
type Phases struct {
	names   []string
	after   time.Duration
	client  kubernetes.Interface
	claims  corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	late    workqueue.DelayingInterface // names of volumes
	refused sync.Once
}

// phasesTogether is how many requests are under way at a time.
const phasesTogether = 4

// NewPhases is for volumes of these provisioners, whose claims may wait for after.
func NewPhases(
	names []string, after time.Duration, client kubernetes.Interface,
	claims corelisters.PersistentVolumeClaimLister, volumes corelisters.PersistentVolumeLister,
) *Phases {
	return &Phases{names: names, after: after, client: client, claims: claims, volumes: volumes, late: workqueue.NewDelayingQueue()}
}

// Saw is told of each state of a volume.
func (p *Phases) Saw(pv *corev1.PersistentVolume) {
	if p.waits(pv) {
		p.late.AddAfter(pv.Name, p.after)
	}
}

// Run works until the context ends.
func (p *Phases) Run(ctx context.Context) {
	var workers sync.WaitGroup
	for range phasesTogether {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for {
				name, ended := p.late.Get()
				if ended {
					return
				}
				p.write(ctx, name.(string))
				p.late.Done(name)
			}
		}()
	}
	<-ctx.Done()
	p.late.ShutDown()
	workers.Wait()
}

// write writes the phase of a volume that still waits. Whatever goes wrong,
// kube-controller-manager will do it.
func (p *Phases) write(ctx context.Context, name string) {
	pv, err := p.volumes.Get(name)
	if err != nil || !p.waits(pv) || !p.isWaitedFor(pv) {
		return
	}
	patch := fmt.Appendf(nil, `{"metadata":{"resourceVersion":%q},"status":{"phase":%q}}`, pv.ResourceVersion, corev1.VolumeBound)
	_, err = p.client.CoreV1().PersistentVolumes().Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	log := klog.FromContext(ctx)
	switch {
	case err == nil || ctx.Err() != nil || apierrors.IsConflict(err) || apierrors.IsNotFound(err):
	case apierrors.IsForbidden(err):
		p.refused.Do(func() {
			log.Error(err, "The phase of new PersistentVolumes is left to kube-controller-manager: apply the manifests of this version, which allow to write it, or set --mark-bound-after=0")
		})
	default:
		log.Error(err, "The phase of a new PersistentVolume is left to kube-controller-manager", "persistentVolume", name)
	}
}

// waits reports whether a volume is one of ours that nobody has come to yet.
func (p *Phases) waits(pv *corev1.PersistentVolume) bool {
	return pv.Status.Phase == corev1.VolumePending && pv.DeletionTimestamp == nil &&
		pv.Spec.ClaimRef != nil && pv.Spec.ClaimRef.UID != "" && pvspec.ProvisionedBy(pv, p.names)
}

// isWaitedFor reports whether a claim waits for the volume: who deletes or binds it elsewhere
// has kube-controller-manager decide.
func (p *Phases) isWaitedFor(pv *corev1.PersistentVolume) bool {
	claim, err := p.claims.PersistentVolumeClaims(pv.Spec.ClaimRef.Namespace).Get(pv.Spec.ClaimRef.Name)
	return err == nil && claim.UID == pv.Spec.ClaimRef.UID && claim.DeletionTimestamp == nil && claim.Spec.VolumeName == ""
}
