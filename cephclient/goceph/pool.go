package goceph

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ceph/go-ceph/cephfs"
	"github.com/ceph/go-ceph/rados"
	"github.com/sony/gobreaker/v2"

	"ceph.example/ceph-provisioner/cephclient"
)

const (
	// callsOfManager keeps the mgr's module volumes busy, which works on one request at
	// a time: of 300 removals, 16 at once, most were not answered within 30 s.
	callsOfManager = 2
	// idleAfter is how long an unused connection stays open. A connection holds
	// some ten threads; opening one takes about 15 ms.
	idleAfter = 5 * time.Minute
	// After restAfter calls in a row that a service of a cluster has not answered,
	// it is left alone for restFor, and then asked by one call at a time, so that
	// it holds at most one worker.
	restAfter = 3
	restFor   = 5 * time.Second
)

// Options bound what a pool does to a cluster.
type Options struct {
	Timeout         time.Duration // after which a service that does not answer counts as hung
	CallsPerService int           // at once to the monitors, OSDs, mgr and MDS of a cluster each, over all identities
	// MayChange, if it is not nil, is asked right before each change in Ceph, which is not
	// made then if the answer is an error.
	MayChange func() error
	// Unpurged is told, if it is not nil, once for each reason why removed directories
	// can't be purged. That is tried again.
	Unpurged func(error)
}

// Pool shares connections to any number of clusters. It implements
// [cephclient.Connector] and is safe for concurrent use.
type Pool struct {
	options  Options
	changing keyedLock
	running  running

	connections *shared[*rados.Conn]
	mounts      *shared[*cephfs.MountInfo]
	purges      purges
	listings    sync.Map // of file systems, by identity

	mu       sync.Mutex
	services map[limited]*limits
	denied   map[string]time.Time // what an identity's caps do not allow, and since when
	allowed  map[string]bool      // what they do, as far as it was seen
}

// identity is what a connection is shared by, hashed because it includes the
// key: a changed key is another identity, so a rotated secret never meets an
// old connection.
type identity [sha256.Size]byte

func newIdentity(monitors string, credentials cephclient.Credentials) identity {
	return sha256.Sum256(fmt.Appendf(nil, "%q %q %q", monitors, credentials.ID, credentials.Key.Reveal()))
}

// limited is one service of a cluster, which is known by its monitors.
type limited struct {
	monitors string
	asks     service
}

// limits protect one service of a cluster, and our workers from it.
type limits struct {
	slots   chan struct{} // taken by each call until it ends, abandoned ones included
	breaker *gobreaker.TwoStepCircuitBreaker[any]
}

// NewPool returns an empty pool.
func NewPool(options Options) *Pool {
	return &Pool{
		options:     options,
		connections: newShared(idleAfter, (*rados.Conn).Shutdown),
		mounts:      newShared(mountIdleAfter, unmount),
		purges:      purges{retryAfter: purgeRetryAfter, stalledAfter: purgeStalledAfter},
		services:    map[limited]*limits{},
		denied:      map[string]time.Time{},
		allowed:     map[string]bool{},
	}
}

// AwaitPurges waits until directories that were deleted are purged, or the context ends.
func (p *Pool) AwaitPurges(ctx context.Context) { p.purges.await(ctx) }

// Close stops purges, and ends all connections, those in use when their calls have ended,
// until the context ends. Mounts of CephFS that are not ended make others wait for a
// minute. No call may follow.
func (p *Pool) Close(ctx context.Context) {
	var purging sync.WaitGroup
	purging.Add(1)
	go func() { defer purging.Done(); p.purges.stop(ctx) }()
	p.mounts.close(ctx)
	purging.Wait()
	p.connections.close(ctx)
}

// session is one cluster under one identity.
type session struct {
	pool        *Pool
	cluster     cephclient.Cluster
	credentials cephclient.Credentials
	identity    identity
	monitors    string
}

// Rests implements [cephclient.Connector]. What a volume of CephFS needs besides the
// monitors depends on how it is made.
func (p *Pool) Rests(kind cephclient.Kind, cluster cephclient.Cluster) error {
	s := p.session(cluster, cephclient.Credentials{})
	needed := []service{monitor}
	if kind == cephclient.RBD {
		needed = append(needed, osd)
	}
	for _, asks := range needed {
		if s.limits(asks).rest() {
			return s.resting(operation{name: "reach " + cluster.String(), asks: asks})
		}
	}
	return nil
}

// Backend implements [cephclient.Connector].
func (p *Pool) Backend(ctx context.Context, kind cephclient.Kind, cluster cephclient.Cluster, credentials cephclient.Credentials) (cephclient.Backend, error) {
	s, err := p.connected(ctx, cluster, credentials)
	if err != nil {
		return nil, err
	}
	switch kind {
	case cephclient.RBD:
		return cephclient.NewRBD(images{s}, images{s}), nil
	case cephclient.CephFS:
		return cephclient.NewCephFS(fileSystems{s}, subvolumes{s}, directories{s}), nil
	}
	return nil, cephclient.NewError(cephclient.ErrUnsupported, "open a backend", fmt.Sprintf("kind %q", kind), false)
}

// Users implements [cephclient.Connector].
func (p *Pool) Users(ctx context.Context, cluster cephclient.Cluster, credentials cephclient.Credentials) (cephclient.Users, error) {
	s, err := p.connected(ctx, cluster, credentials)
	if err != nil {
		return nil, err
	}
	return cephclient.NewUsers(users{s}), nil
}

// connected returns a session that has a live connection at this moment.
func (p *Pool) connected(ctx context.Context, cluster cephclient.Cluster, credentials cephclient.Credentials) (*session, error) {
	s := p.session(cluster, credentials)
	op := operation{name: "connect to " + cluster.String() + " as client." + credentials.ID, asks: monitor}
	_, err := call(ctx, s, op, func(*rados.Conn) (none, error) { return none{}, nil })
	return s, err
}

func (p *Pool) session(cluster cephclient.Cluster, credentials cephclient.Credentials) *session {
	monitors := strings.Join(cluster.Monitors, ",")
	return &session{
		pool: p, cluster: cluster, credentials: credentials, monitors: monitors,
		identity: newIdentity(monitors, credentials),
	}
}

// limits are shared by all sessions of a cluster.
func (s *session) limits(asks service) *limits {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	key := limited{s.monitors, asks}
	found, known := s.pool.services[key]
	if !known {
		found = newLimits(asks, callsOf(asks, s.pool.options.CallsPerService))
		s.pool.services[key] = found
	}
	return found
}

// callsOf bounds the calls to a service. Of those to the mgr more would only wait there,
// where waiting can't be told from hanging. Removals have up to ten requests each under way.
func callsOf(asks service, calls int) int {
	switch asks {
	case manager:
		return min(calls, callsOfManager)
	case removal:
		return max(1, calls/2)
	}
	return calls
}

func newLimits(asks service, calls int) *limits {
	return &limits{
		slots: make(chan struct{}, calls),
		breaker: gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
			Name:        string(asks),
			Timeout:     restFor,
			ReadyToTrip: func(counts gobreaker.Counts) bool { return counts.ConsecutiveFailures >= restAfter },
		}),
	}
}

// rest reports whether the next call would be refused.
func (l *limits) rest() bool {
	switch l.breaker.State() {
	case gobreaker.StateOpen:
		return true
	case gobreaker.StateHalfOpen:
		return l.breaker.Counts().Requests > 0 // somebody asks already
	}
	return false
}

// line is the session's connection to the cluster.
func (s *session) line() line[*rados.Conn] {
	return line[*rados.Conn]{
		among: s.pool.connections, key: string(s.identity[:]),
		open: func() (*rados.Conn, error) {
			conn, err := connect(s.cluster, s.credentials, s.pool.options.Timeout)
			s.pool.running.connected(s, err)
			return conn, err
		},
	}
}

// resting is the answer while a cluster is left alone.
func (s *session) resting(op operation) error {
	e := cephclient.NewError(cephclient.ErrUnreachable, op.name, "the "+string(op.asks)+" of "+s.cluster.String()+" has not answered lately", false)
	return s.awaiting(op, e)
}
