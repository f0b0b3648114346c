package resizer

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/kubernetes"
)

// now allows no answer that was there before the question. It is for what is
// then written: a pod that starts later mounts with the claim's new size, and
// does not matter.
const now = time.Duration(0)

// listingLifetime is how long an answer is kept for those who need none of now.
const listingLifetime = 10 * time.Minute

// pods knows which claims are in use. It lists the pods of a namespace when it
// is asked: watching all pods of a cluster would cost far more than these rare
// questions, and need more rights.
type pods struct {
	client kubernetes.Interface

	mu       sync.Mutex
	listings map[string]listing // by namespace
}

type listing struct {
	at     time.Time
	claims sets.Set[string]
}

func (p *pods) use(ctx context.Context, claim *corev1.PersistentVolumeClaim, maxAge time.Duration) (use, error) {
	claims, err := p.inUse(ctx, claim.Namespace, maxAge)
	switch {
	case err != nil:
		return useUnknown, fmt.Errorf("find out whether pods use the volume: %w", err)
	case claims.Has(claim.Name):
		return useSome, nil
	}
	return useNone, nil
}

// inUse lists the claims that pods of a namespace use. Only one such question is
// answered at a time, so that many claims of one namespace cost one list.
func (p *pods) inUse(ctx context.Context, namespace string, maxAge time.Duration) (sets.Set[string], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.listings, func(_ string, l listing) bool { return time.Since(l.at) > listingLifetime })
	if listed, ok := p.listings[namespace]; ok && time.Since(listed.at) < maxAge {
		return listed.claims, nil
	}
	at := time.Now()
	// The API server's cache will do: its lag is shorter than a pod's way to a mount.
	all, err := p.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, err
	}
	claims := sets.New[string]()
	for i := range all.Items {
		if pod := &all.Items[i]; mounts(pod) {
			claims.Insert(claimsOf(pod)...)
		}
	}
	if p.listings == nil {
		p.listings = map[string]listing{}
	}
	p.listings[namespace] = listing{at, claims}
	return claims, nil
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
