package goceph

import (
	"context"
	"fmt"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ceph/go-ceph/cephfs"
)

const (
	// purgeRetryAfter is after which pause a purge that has failed is tried again.
	purgeRetryAfter = 20 * time.Second
	// purgeStalledAfter is without progress. An MDS may wait for a minute for a client that was
	// killed; a call of libcephfs (16.2) was seen to wait for ever while the MDS had nothing to do.
	purgeStalledAfter = 90 * time.Second
)

// purges keeps each root to one purge at a time in this process. A purge that is
// cut short is taken up when the next directory is removed there, or the next process
// mounts the root.
type purges struct {
	retryAfter   time.Duration
	stalledAfter time.Duration

	stopping atomic.Bool
	under    sync.WaitGroup

	mu      sync.Mutex
	latest  map[string]func() // with the connection of the last occasion
	running map[string]bool   // true if it is to look once more
	failed  map[string]string // the last failure that was told
	waiting map[string]bool   // for their next try
}

// start runs purge in the background, or has the one that runs look once more.
func (p *purges) start(key string, purge func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.latest == nil {
		p.latest = map[string]func(){}
	}
	p.latest[key] = purge
	if _, runs := p.running[key]; runs {
		p.running[key] = true
		return
	}
	if p.running == nil {
		p.running = map[string]bool{}
	}
	if p.stopping.Load() {
		return
	}
	p.running[key] = false
	p.under.Add(1)
	go func() {
		defer p.under.Done()
		purge()
		for p.again(key) {
			p.last(key)()
		}
	}()
}

// stop has all purges end after what they are just removing, and waits for that until
// the context ends. None begins any more.
func (p *purges) stop(ctx context.Context) {
	p.mu.Lock()
	p.stopping.Store(true)
	p.mu.Unlock()
	p.await(ctx)
}

// await waits until nothing is purged any more, or the context ends.
func (p *purges) await(ctx context.Context) {
	ended := make(chan struct{})
	go func() { defer close(ended); p.under.Wait() }()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

func (p *purges) last(key string) func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.latest[key]
}

func (p *purges) again(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	again := p.running[key] && !p.stopping.Load()
	if again {
		p.running[key] = false
	} else {
		delete(p.running, key)
	}
	return again
}

// later starts a purge that has failed after a pause, and once however often it has.
func (p *purges) later(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting[key] {
		return
	}
	if p.waiting == nil {
		p.waiting = map[string]bool{}
	}
	p.waiting[key] = true
	time.AfterFunc(p.retryAfter, func() {
		p.mu.Lock()
		delete(p.waiting, key)
		p.mu.Unlock()
		p.start(key, p.last(key))
	})
}

// isNews reports whether a failure was not told before. Success makes all failures
// news again.
func (p *purges) isNews(key string, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		delete(p.failed, key)
		return false
	}
	if p.failed == nil {
		p.failed = map[string]string{}
	}
	told := p.failed[key]
	p.failed[key] = err.Error()
	return told != err.Error()
}

// startPurge empties ROOT/.deleting in the background. It takes no slot: there is
// one a root, and nobody waits for it.
func (s *session) startPurge(at place) {
	aside := place{fileSystem: at.fileSystem, root: path.Join(at.root, deleting)}
	key := fmt.Sprintf("%q %q %q", strings.Join(s.cluster.Monitors, ","), aside.fileSystem, aside.root)
	s.pool.purges.start(key, func() {
		err := s.purge(aside)
		if err != nil {
			s.pool.purges.later(key)
		}
		if s.pool.purges.isNews(key, err) && s.pool.options.Unpurged != nil {
			s.pool.options.Unpurged(fmt.Errorf("purge %s of file system %q of %s: %w", aside.root, aside.fileSystem, s.cluster, err))
		}
	})
}

func (s *session) purge(aside place) error {
	mount, err := s.mount(aside)
	if err != nil {
		return err
	}
	purger := purger{mount: mount, stop: &s.pool.purges.stopping, progress: new(atomic.Int64)}
	ended := make(chan error, 1)
	go func() {
		err := purger.purge()
		unmount(mount)
		ended <- err
	}()
	return s.pool.purges.watch(ended, purger.progress)
}

// watch waits for a purge, and leaves it when nothing was removed for once or twice
// stalledAfter. It may go on beside the next one, which begins where the MDS answers.
func (p *purges) watch(ended <-chan error, progress *atomic.Int64) error {
	ticker := time.NewTicker(p.stalledAfter)
	defer ticker.Stop()
	for before := int64(-1); ; {
		select {
		case err := <-ended:
			return err
		case <-ticker.C:
		}
		now := progress.Load()
		if now == before {
			return errStalled
		}
		before = now
	}
}

// resumePurge starts a purge where an earlier process has left something.
func (s *session) resumePurge(mount *cephfs.MountInfo, at place) {
	entries, err := attributes{mount: mount, directory: deleting}.number(entriesAttribute)
	if err == nil && entries > 0 {
		s.startPurge(at)
	}
}
