package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// recorder keeps every state in which the API server showed events, claims,
// volumes and classes during the run, also of objects that are gone since.
type recorder struct {
	done chan struct{}

	mu     sync.Mutex
	states bytes.Buffer
	names  map[string]bool  // of volumes and classes
	sizes  map[string]int64 // of volumes, in bytes
	shrank map[string]bool  // volumes
}

func startRecorder(client kubernetes.Interface) (*recorder, error) {
	r := &recorder{names: map[string]bool{}, sizes: map[string]int64{}, shrank: map[string]bool{}}
	return r, r.listen(client)
}

// listen goes on until stop.
func (r *recorder) listen(client kubernetes.Interface) error {
	r.done = make(chan struct{})
	factory := informers.NewSharedInformerFactory(client, 0)
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    r.record,
		UpdateFunc: func(_, object any) { r.record(object) },
	}
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().Events().Informer(),
		factory.Core().V1().PersistentVolumeClaims().Informer(),
		factory.Core().V1().PersistentVolumes().Informer(),
		factory.Storage().V1().StorageClasses().Informer(),
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	factory.Start(r.done)
	for kind, synced := range factory.WaitForCacheSync(r.done) {
		if !synced {
			return errors.New("the recorder does not see " + kind.String())
		}
	}
	return nil
}

func (r *recorder) record(object any) {
	state, err := json.Marshal(object)
	if err != nil {
		panic(err) // an object of the API that is no JSON
	}
	meta := object.(metav1.Object)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.states.Write(state)
	r.states.WriteByte('\n')
	if meta.GetNamespace() == "" {
		r.names[meta.GetName()] = true
	}
	if pv, is := object.(*corev1.PersistentVolume); is {
		size := pv.Spec.Capacity.Storage().Value()
		r.shrank[pv.Name] = r.shrank[pv.Name] || size < r.sizes[pv.Name]
		r.sizes[pv.Name] = size
	}
}

// shrunk reports whether a volume ever had less capacity than before.
func (r *recorder) shrunk(pv string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shrank[pv]
}

// sawClusterObject reports whether a volume or class of this name ever existed.
func (r *recorder) sawClusterObject(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.names[name]
}

// everything is all recorded states, one line of JSON each.
func (r *recorder) everything() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.states.Bytes())
}

func (r *recorder) stop() { close(r.done) }
