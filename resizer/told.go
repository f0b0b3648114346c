package resizer

import (
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
)

// eventLifetime is how long kube-apiserver keeps an event (--event-ttl).
const eventLifetime = time.Hour

// told makes events, each once as long as it can be read: a growth that is tried
// again for hours would otherwise bury what else there is to know.
type told struct {
	recorder record.EventRecorder

	mu     sync.Mutex
	claims map[types.UID]map[telling]time.Time
}

type telling struct{ reason, message string }

func (t *told) tell(claim *corev1.PersistentVolumeClaim, kind, reason, message string) {
	if t.isNew(claim.UID, telling{reason, message}) {
		t.recorder.Event(claim, kind, reason, message)
	}
}

func (t *told) isNew(claim types.UID, said telling) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.claims[claim]
	maps.DeleteFunc(all, func(_ telling, at time.Time) bool { return time.Since(at) > eventLifetime })
	if _, before := all[said]; before {
		return false
	}
	if t.claims == nil {
		t.claims = map[types.UID]map[telling]time.Time{}
	}
	if all == nil {
		all = map[telling]time.Time{}
		t.claims[claim] = all
	}
	all[said] = time.Now()
	return true
}

// forget is for claims that have grown or are gone: what happens next is news.
func (t *told) forget(claim types.UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.claims, claim)
}
