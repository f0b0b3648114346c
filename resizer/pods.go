package resizer

import (
	"context"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/pager"

	"ceph.example/ceph-provisioner/pvspec"
)

// now allows no answer that was looked up before the question. It is for what is
// then written: a pod that starts later mounts with the claim's new size, and
// does not matter.
const now = time.Duration(0)

// listingLifetime is how long an answer is kept for those who need none of now.
const listingLifetime = 10 * time.Minute

// pods knows which claims are in use. It lists the pods of a namespace when it
// is asked: watching all pods of a cluster would cost far more than these rare
// questions, and need more rights.
type pods struct {
	client   kubernetes.Interface
	asking   chan struct{}      // taken by who uses the listings
	listings map[string]listing // by namespace
}

func newPods(client kubernetes.Interface) *pods {
	return &pods{client: client, asking: make(chan struct{}, 1), listings: map[string]listing{}}
}

// listing is when the first of the pods has started that use a claim.
type listing struct {
	at     time.Time
	claims map[string]time.Time
}

// clockSkew is how far a node's clock may be from ours.
const clockSkew = time.Minute

// use tells whether pods use a claim whose volume has grown to size. Those that
// have started since that was noted on the volume do not count: their kubelets
// know the size.
func (p *pods) use(ctx context.Context, claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume, size resource.Quantity, maxAge time.Duration) (use, error) {
	claims, err := p.inUse(ctx, claim.Namespace, maxAge)
	if err != nil {
		return useUnknown, fmt.Errorf("find out whether pods use the volume: %w", err)
	}
	started, used := claims[claim.Name]
	since := pvspec.PostponedSince(pv)
	known := pvspec.IsPostponedTo(pv, size) && !since.IsZero() && started.After(since.Add(clockSkew))
	if !used || known {
		return useNone, nil
	}
	return useSome, nil
}

// inUse lists the claims that pods of a namespace use. Only one such question is
// answered at a time, and with it those that had been asked before it was looked up: many
// claims of one namespace that grow at once cost few lists.
func (p *pods) inUse(ctx context.Context, namespace string, maxAge time.Duration) (map[string]time.Time, error) {
	asked := time.Now()
	select {
	case p.asking <- struct{}{}:
		defer func() { <-p.asking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	maps.DeleteFunc(p.listings, func(_ string, l listing) bool { return time.Since(l.at) > listingLifetime })
	if listed, ok := p.listings[namespace]; ok && (listed.at.After(asked) || time.Since(listed.at) < maxAge) {
		return listed.claims, nil
	}
	at, claims := time.Now(), map[string]time.Time{}
	err := p.each(ctx, namespace, func(pod *corev1.Pod) {
		for _, name := range claimsOf(pod) {
			if first, ok := claims[name]; !ok || start(pod).Before(first) {
				claims[name] = start(pod)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	p.listings[namespace] = listing{at, claims}
	return claims, nil
}

// mayMount leaves out, at the API server, what [mounts] would: a namespace may have
// thousands of pods that have ended, and each may be large.
const mayMount = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"

// podsAtOnce bounds what is in memory: a pod of 1 MiB is possible.
const podsAtOnce = 50

// each calls use for all pods of a namespace that may have volumes mounted.
func (p *pods) each(ctx context.Context, namespace string, use func(*corev1.Pod)) error {
	pages := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		return p.client.CoreV1().Pods(namespace).List(ctx, options)
	})
	pages.PageSize, pages.PageBufferSize, pages.FullListIfExpired = podsAtOnce, 0, false
	return pages.EachListItem(ctx, metav1.ListOptions{FieldSelector: mayMount}, func(object runtime.Object) error {
		if pod := object.(*corev1.Pod); mounts(pod) {
			use(pod)
		}
		return nil
	})
}

// start is when a kubelet took a pod on, which it then had nothing of mounted.
func start(pod *corev1.Pod) time.Time {
	if pod.Status.StartTime != nil {
		return pod.Status.StartTime.Time
	}
	return pod.CreationTimestamp.Time
}

// mounts reports whether a kubelet may have mounted the pod's volumes (as
// k8s.io/kubernetes pkg/controller/volume/pvcprotection has it).
func mounts(pod *corev1.Pod) bool {
	ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	return pod.Spec.NodeName != "" && !ended
}

func claimsOf(pod *corev1.Pod) (names []string) {
	for _, volume := range pod.Spec.Volumes {
		switch {
		case volume.PersistentVolumeClaim != nil:
			names = append(names, volume.PersistentVolumeClaim.ClaimName)
		case volume.Ephemeral != nil:
			names = append(names, pod.Name+"-"+volume.Name) // k8s.io/component-helpers storage/ephemeral
		}
	}
	return names
}
