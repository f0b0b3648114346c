package cephaccess

import (
	"context"
	"time"

	"golang.org/x/sync/singleflight"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/cache"

	"ceph.example/ceph-provisioner/pvspec"
)

const (
	// RecentFor is how old a secret may be. It is so much later that a new key is noticed,
	// and no later than the first pause after a failure.
	RecentFor = time.Second
	// recentSecrets are more than the classes of a cluster name.
	recentSecrets = 1000
	// readTimeout is for the one read that many wait for.
	readTimeout = time.Minute
)

// Recent is a SecretReader for many who ask for the same few secrets at a time, as the
// claims of a class do: they share one answer. It is safe for concurrent use.
type Recent struct {
	reader  SecretReader
	maxAge  time.Duration
	secrets *cache.LRUExpireCache
	reading singleflight.Group
}

// NewRecent shares what reader answers.
func NewRecent(reader SecretReader, maxAge time.Duration) *Recent {
	return &Recent{reader: reader, maxAge: maxAge, secrets: cache.NewLRUExpireCache(recentSecrets)}
}

// Secret implements [SecretReader]. The secret must not be changed. A failure is told to
// those who waited for that read, and not kept.
func (r *Recent) Secret(ctx context.Context, ref pvspec.SecretRef) (*corev1.Secret, error) {
	reading := r.reading.DoChan(ref.String(), func() (any, error) {
		if known, ok := r.secrets.Get(ref); ok {
			return known, nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
		defer cancel()
		begun := time.Now() // what is read may change while it is on its way
		secret, err := r.reader.Secret(ctx, ref)
		if err == nil {
			r.secrets.Add(ref, secret, r.maxAge-time.Since(begun))
		}
		return secret, err
	})
	select {
	case done := <-reading:
		return done.Val.(*corev1.Secret), done.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
