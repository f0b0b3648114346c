package e2e

import (
	"maps"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// goal is where claims and their volumes shall get. Nil is for both to be gone.
type goal func(*corev1.PersistentVolumeClaim, *corev1.PersistentVolume) bool

// course follows the claims of a namespace, by name, and notes when the API server's
// watches first show them at their goal.
type course struct {
	mu      sync.Mutex
	claims  map[string]*corev1.PersistentVolumeClaim
	volumes map[string]*corev1.PersistentVolume // by the name of the claim
	goal    goal
	missing int
	reached map[string]time.Time
	done    chan struct{}
}

// newBenchClient has no limits, and costs the machine little.
func newBenchClient(b *testing.B) kubernetes.Interface {
	b.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", suite.cluster.Kubernetes.Kubeconfig)
	if err != nil {
		b.Fatal(err)
	}
	config.QPS = -1
	config.ContentType = runtime.ContentTypeProtobuf
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		b.Fatal(err)
	}
	return client
}

func follow(b *testing.B, client kubernetes.Interface, namespace string) *course {
	b.Helper()
	c := &course{claims: map[string]*corev1.PersistentVolumeClaim{}, volumes: map[string]*corev1.PersistentVolume{}}
	c.begin(isBoundClaim, 0)
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	see := func(object any, gone bool) {
		switch it := object.(type) {
		case *corev1.PersistentVolumeClaim:
			note(c, c.claims, it.Name, it, gone)
		case *corev1.PersistentVolume:
			if ref := it.Spec.ClaimRef; ref != nil && ref.Namespace == namespace {
				note(c, c.volumes, ref.Name, it, gone)
			}
		}
	}
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().PersistentVolumeClaims().Informer(), factory.Core().V1().PersistentVolumes().Informer(),
	} {
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(object any) { see(object, false) }, UpdateFunc: func(_, object any) { see(object, false) },
			DeleteFunc: func(object any) { see(object, true) },
		}); err != nil {
			b.Fatal(err)
		}
	}
	factory.Start(b.Context().Done())
	factory.WaitForCacheSync(b.Context().Done())
	return c
}

// begin forgets what was, and waits for claims to reach a goal.
func (c *course) begin(goal goal, claims int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.goal, c.missing, c.reached, c.done = goal, claims, map[string]time.Time{}, make(chan struct{})
}

func note[T any](c *course, all map[string]T, name string, object T, gone bool) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if all[name] = object; gone {
		delete(all, name)
	}
	if _, before := c.reached[name]; before || !c.is(c.claims[name], c.volumes[name]) {
		return
	}
	c.reached[name] = now
	if c.missing--; c.missing == 0 {
		close(c.done)
	}
}

func (c *course) is(claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) bool {
	if c.goal == nil {
		return claim == nil && pv == nil
	}
	return claim != nil && pv != nil && c.goal(claim, pv)
}

// volume is the name of a claim's volume.
func (c *course) volume(claim string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.volumes[claim].Name
}

// over is closed when all have arrived.
func (c *course) over() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}

// arrivals are the claims at their goal, and when they got there.
func (c *course) arrivals() map[string]time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.reached)
}
