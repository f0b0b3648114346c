package goceph

import (
	"context"
	"sync"
)

// keyedLock is a mutex for each key. The zero value is ready.
type keyedLock struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when its holder is done
}

// lock waits for the key until the context ends.
func (l *keyedLock) lock(ctx context.Context, key string) (unlock func(), err error) {
	for {
		holder := l.tryLock(key)
		if holder == nil {
			return func() { l.unlock(key) }, nil
		}
		select {
		case <-holder:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// tryLock returns nil if the caller now holds the key, and otherwise what is
// closed when its holder is done.
func (l *keyedLock) tryLock(key string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if holder, busy := l.held[key]; busy {
		return holder
	}
	if l.held == nil {
		l.held = map[string]chan struct{}{}
	}
	l.held[key] = make(chan struct{})
	return nil
}

func (l *keyedLock) unlock(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.held[key])
	delete(l.held, key)
}
