package resizer

import (
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
	claims map[types.UID]map[string]telling // by reason
}

type telling struct {
	message string
	at      time.Time
}

func (t *told) tell(claim *corev1.PersistentVolumeClaim, kind, reason, message string) {
	if t.isNew(claim.UID, reason, message) {
		t.recorder.Event(claim, kind, reason, message)
	}
}

func (t *told) isNew(claim types.UID, reason, message string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.claims[claim][reason]
	if last.message == message && time.Since(last.at) < eventLifetime {
		return false
	}
	if t.claims == nil {
		t.claims = map[types.UID]map[string]telling{}
	}
	if t.claims[claim] == nil {
		t.claims[claim] = map[string]telling{}
	}
	t.claims[claim][reason] = telling{message, time.Now()}
	return true
}

// forget is for claims that have grown or are gone: what happens next is news.
func (t *told) forget(claim types.UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.claims, claim)
}
