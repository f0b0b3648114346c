package resizer

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"ceph.example/ceph-provisioner/pvspec"
)

// secretInterval is how soon a growth that failed is tried again once its secret
// has changed. Secrets are asked for one by one: a watch would be told of every
// secret there is.
const secretInterval = 5 * time.Second

// stalled are the claims whose last attempt has failed, with the secret that it
// used.
type stalled struct {
	access Access
	wake   func(key string)

	mu      sync.Mutex
	secrets map[string]secretVersion // by the claim's key in the queue
}

type secretVersion struct {
	ref     pvspec.SecretRef
	version string
}

// add remembers a run that has failed. It does without the secret if even that
// cannot be told: the class may be what is wrong.
func (s *stalled) add(ctx context.Context, run *run) {
	ref, err := s.access.AdminSecret(ctx, run.pv)
	if err != nil {
		return
	}
	version, err := s.access.SecretVersion(ctx, ref)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.secrets == nil {
		s.secrets = map[string]secretVersion{}
	}
	s.secrets[cache.MetaObjectToName(run.claim).String()] = secretVersion{ref, version}
}

func (s *stalled) remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.secrets, key)
}

// check wakes the claims whose secret is no longer what it was.
func (s *stalled) check(ctx context.Context) {
	versions := map[pvspec.SecretRef]string{}
	for ref := range s.refs() {
		version, err := s.access.SecretVersion(ctx, ref)
		if err != nil {
			klog.FromContext(ctx).V(4).Info("A secret can't be looked at", "secret", ref.String(), "err", err)
			continue
		}
		versions[ref] = version
	}
	for _, key := range s.outdated(versions) {
		s.wake(key)
	}
}

func (s *stalled) refs() sets.Set[pvspec.SecretRef] {
	s.mu.Lock()
	defer s.mu.Unlock()
	refs := sets.New[pvspec.SecretRef]()
	for _, used := range s.secrets {
		refs.Insert(used.ref)
	}
	return refs
}

func (s *stalled) outdated(versions map[pvspec.SecretRef]string) (keys []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, used := range s.secrets {
		if version, known := versions[used.ref]; known && version != used.version {
			keys = append(keys, key)
			delete(s.secrets, key)
		}
	}
	return keys
}
