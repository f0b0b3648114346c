package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// recorder keeps every state in which the API server showed events, claims, volumes, classes,
// Leases, the journal's notes and what secrets are called during the run, also of objects that
// are gone since.
type recorder struct {
	done chan struct{}

	mu     sync.Mutex
	states bytes.Buffer
	names  map[string]bool   // of volumes and classes
	sizes  map[string]int64  // of volumes, in bytes, by name and by UID
	shrank map[string]bool   // names of volumes
	fell   map[string]bool   // names of volumes of which one and the same shrank
	keys   map[string]string // of Ceph, that stood in secrets, and in which
	notes  map[string]bool   // of the journal
}

func startRecorder(client kubernetes.Interface) (*recorder, error) {
	r := &recorder{
		names: map[string]bool{}, sizes: map[string]int64{}, shrank: map[string]bool{}, fell: map[string]bool{},
		keys: map[string]string{}, notes: map[string]bool{},
	}
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
		factory.Coordination().V1().Leases().Informer(),
		factory.Core().V1().ConfigMaps().Informer(),
		factory.Core().V1().Secrets().Informer(),
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
	r.mu.Lock()
	defer r.mu.Unlock()
	switch object := object.(type) {
	case *corev1.Secret:
		r.recordSecret(object)
		return
	case *corev1.ConfigMap:
		r.recordNotes(object)
		return
	}
	r.write(object)
	meta := object.(metav1.Object)
	if meta.GetNamespace() == "" {
		r.names[meta.GetName()] = true
	}
	if pv, is := object.(*corev1.PersistentVolume); is {
		r.shrank[pv.Name] = r.isLess(pv.Name, pv) || r.shrank[pv.Name]
		r.fell[pv.Name] = r.isLess(string(pv.UID), pv) || r.fell[pv.Name]
	}
}

// isLess compares a volume with what was last seen under a key.
func (r *recorder) isLess(key string, pv *corev1.PersistentVolume) bool {
	size, before := pv.Spec.Capacity.Storage().Value(), r.sizes[key]
	r.sizes[key] = size
	return size < before
}

func (r *recorder) write(object any) {
	state, err := json.Marshal(object)
	if err != nil {
		panic(err) // an object of the API that is no JSON
	}
	r.states.Write(state)
	r.states.WriteByte('\n')
}

// cephxKey is what `ceph auth` calls a key, of cipher aes or aes256k.
var cephxKey = regexp.MustCompile(`^(AQ[A-Za-z0-9+/]{36}==|Ag[A-Za-z0-9+/]{57}=)$`)

// recordSecret keeps keys apart from all else.
func (r *recorder) recordSecret(secret *corev1.Secret) {
	r.write(secret.ObjectMeta)
	for _, value := range secret.Data {
		if key := strings.TrimSpace(string(value)); cephxKey.MatchString(key) {
			r.keys[key] = "the key in secret " + secret.Namespace + "/" + secret.Name
		}
	}
}

// recordNotes writes each value once: the whole would be written again for each note.
func (r *recorder) recordNotes(notes *corev1.ConfigMap) {
	for _, note := range notes.Data {
		if !r.notes[note] {
			r.notes[note] = true
			r.write(note)
		}
	}
}

// keysSeen are names by keys.
func (r *recorder) keysSeen() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.keys)
}

// shrunk reports whether there ever was less capacity under a volume's name than before.
func (r *recorder) shrunk(pv string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shrank[pv]
}

// shrunkInPlace does not count a volume that has come again under the name: a controller that
// was killed before a note was erased has the next one finish, for a claim that is gone, what
// is gone as well.
func (r *recorder) shrunkInPlace(pv string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fell[pv]
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
