package cephaccess

import (
	"context"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"ceph.example/ceph-provisioner/pvspec"
)

// RecentFor is how old a secret may be. It is so much later that a new key is noticed,
// and no later than the first pause after a failure.
const RecentFor = time.Second

// Recent is a SecretReader for many who ask for the same few secrets at a time, as the
// claims of a class do: they share one answer. Failures are not shared. It is safe for
// concurrent use.
type Recent struct {
	reader SecretReader
	maxAge time.Duration

	mu    sync.Mutex
	reads map[pvspec.SecretRef]*read
}

// read is the last one of a secret. Whoever has the turn may read it anew.
type read struct {
	turn    chan struct{}
	waiting int            // for the turn, or have it
	secret  *corev1.Secret // nil if there is none that could be shared
	at      time.Time
}

// NewRecent shares what reader answers.
func NewRecent(reader SecretReader, maxAge time.Duration) *Recent {
	return &Recent{reader: reader, maxAge: maxAge, reads: map[pvspec.SecretRef]*read{}}
}

// Secret implements [SecretReader]. The secret must not be changed.
func (r *Recent) Secret(ctx context.Context, ref pvspec.SecretRef) (*corev1.Secret, error) {
	last := r.join(ref)
	defer r.part(last)
	select {
	case last.turn <- struct{}{}:
		defer func() { <-last.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if secret := r.fresh(last); secret != nil {
		return secret, nil
	}
	begun := time.Now() // what is read may change while it is on its way
	secret, err := r.reader.Secret(ctx, ref)
	if err == nil {
		r.keep(last, secret, begun)
	}
	return secret, err
}

// join also drops what is too old to be of use.
func (r *Recent) join(ref pvspec.SecretRef) *read {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.reads, func(_ pvspec.SecretRef, last *read) bool {
		return last.waiting == 0 && time.Since(last.at) >= r.maxAge
	})
	last, known := r.reads[ref]
	if !known {
		last = &read{turn: make(chan struct{}, 1)}
		r.reads[ref] = last
	}
	last.waiting++
	return last
}

func (r *Recent) part(last *read) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last.waiting--
}

func (r *Recent) fresh(last *read) *corev1.Secret {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(last.at) >= r.maxAge {
		return nil
	}
	return last.secret
}

func (r *Recent) keep(last *read, secret *corev1.Secret, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last.secret, last.at = secret, at
}
