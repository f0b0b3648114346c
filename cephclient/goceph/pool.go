package goceph

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ceph/go-ceph/rados"
	"github.com/sony/gobreaker/v2"
	"golang.org/x/sync/singleflight"

	"ceph.example/ceph-provisioner/cephclient"
)

const (
	// DefaultCallsPerCluster is more than librbd and the mgr gain from.
	DefaultCallsPerCluster = 32
	// idleAfter is how long an unused connection stays open. A connection holds
	// some ten threads; opening one takes about 15 ms.
	idleAfter = 5 * time.Minute
	// restAfter silent calls in a row, a cluster is left alone for restFor, and
	// then asked by one call at a time, so that a hung cluster holds at most one
	// worker.
	restAfter = 3
	restFor   = 5 * time.Second
)

// Options bound what a pool does to a cluster.
type Options struct {
	Timeout         time.Duration // of one wait of librados for a monitor, OSD or mgr
	CallsPerCluster int           // at once, over all identities and kinds
}

// Pool shares connections to any number of clusters. It implements
// [cephclient.Connector] and is safe for concurrent use.
type Pool struct {
	options  Options
	changing keyedLock

	mu          sync.Mutex
	clusters    map[string]*cluster
	connections map[identity]*connection
	connecting  singleflight.Group
}

// identity is what a connection is shared by: a changed key is another identity,
// so a rotated secret never meets an old connection.
type identity struct{ monitors, id, key string }

// cluster holds what is bounded by cluster rather than by identity.
type cluster struct {
	slots    chan struct{}
	breakers map[cephclient.Kind]*gobreaker.TwoStepCircuitBreaker[any]
}

type connection struct {
	conn    *rados.Conn
	users   int
	retired bool // never handed out again; closed when the last user is done
	idle    *time.Timer
}

// NewPool returns an empty pool.
func NewPool(options Options) *Pool {
	return &Pool{
		options:     options,
		clusters:    map[string]*cluster{},
		connections: map[identity]*connection{},
	}
}

// session is one kind of backend on one cluster under one identity.
type session struct {
	pool        *Pool
	cluster     cephclient.Cluster
	credentials cephclient.Credentials
	identity    identity
	slots       chan struct{}
	breaker     *gobreaker.TwoStepCircuitBreaker[any]
}

// Backend implements [cephclient.Connector].
func (p *Pool) Backend(ctx context.Context, kind cephclient.Kind, cluster cephclient.Cluster, credentials cephclient.Credentials) (cephclient.Backend, error) {
	s := p.session(kind, cluster, credentials)
	op := operation{name: "connect to " + cluster.String() + " as client." + credentials.ID}
	connected := func(*rados.Conn) (struct{}, error) { return struct{}{}, nil }
	if _, err := call(ctx, s, op, connected); err != nil {
		return nil, err
	}
	switch kind {
	case cephclient.RBD:
		return cephclient.NewRBD(images{s}), nil
	case cephclient.CephFS:
		return cephclient.NewCephFS(subvolumes{s}), nil
	}
	return nil, cephclient.NewError(cephclient.ErrUnsupported, op.name, fmt.Sprintf("kind %q", kind), false)
}

func (p *Pool) session(kind cephclient.Kind, target cephclient.Cluster, credentials cephclient.Credentials) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	monitors := strings.Join(target.Monitors, ",")
	known, ok := p.clusters[monitors]
	if !ok {
		known = newCluster(p.options.CallsPerCluster)
		p.clusters[monitors] = known
	}
	return &session{
		pool: p, cluster: target, credentials: credentials,
		identity: identity{monitors, credentials.ID, credentials.Key.Reveal()},
		slots:    known.slots,
		breaker:  known.breakers[kind],
	}
}

func newCluster(calls int) *cluster {
	c := &cluster{
		slots:    make(chan struct{}, calls),
		breakers: map[cephclient.Kind]*gobreaker.TwoStepCircuitBreaker[any]{},
	}
	for _, kind := range []cephclient.Kind{cephclient.RBD, cephclient.CephFS} {
		c.breakers[kind] = gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
			Name:        string(kind),
			Timeout:     restFor,
			ReadyToTrip: func(counts gobreaker.Counts) bool { return counts.ConsecutiveFailures >= restAfter },
		})
	}
	return c
}

// resting is the answer while a cluster is left alone.
func (s *session) resting(op operation) error {
	return cephclient.NewError(cephclient.ErrUnreachable, op.name, s.cluster.String()+" has not answered lately", false)
}
