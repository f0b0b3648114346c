// Package stalled brings failed work back soon after the cause of its failure is gone,
// however long the pauses between its own attempts have become by then.
//
// What waits for the same thing, such as the mgr of a cluster, or a class's key, is a
// group. Now and then one of each group is sent ahead, and when it does not fail that
// way any more the others follow. So a fault costs one attempt at a time, however much
// work waits for its end.
package stalled

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"ceph.example/ceph-provisioner/cephclient"
)

// interval is between two attempts of a group. Within half a minute of a fault's end one
// must begin and all others follow.
const interval = 10 * time.Second

// lostAfter is when work that was sent ahead is not expected back: nobody has tried it,
// since there was nothing to do.
const lostAfter = 10 * time.Minute

// causesOfOne say nothing about other volumes.
var causesOfOne = []*cephclient.Cause{
	cephclient.ErrNotFound, cephclient.ErrExists, cephclient.ErrInUse, cephclient.ErrInvalid,
	cephclient.ErrUnsupported, cephclient.ErrWouldShrink, cephclient.ErrQuotaMismatch,
}

// Work is what waits after a failure, in any number of queues. It is safe for
// concurrent use.
type Work struct {
	mu    sync.Mutex
	waits map[item]waiting
	ahead map[item]waiting // sent, and not back yet
}

// Queue is one sort of work, each of which has a key.
type Queue struct {
	work *Work
	wake func(key string)
}

type item struct {
	queue *Queue
	key   string
}

type waiting struct {
	group group
	since time.Time
}

// group is what waits for the same thing: for an answer, or for somebody to mend
// something about a class.
type group struct {
	awaits string
	queue  *Queue
	class  string
	cause  *cephclient.Cause // nil if it is not Ceph's
}

// New returns no work.
func New() *Work {
	return &Work{waits: map[item]waiting{}, ahead: map[item]waiting{}}
}

// Queue adds a queue. What comes back is woken, and must then be tried at once.
func (w *Work) Queue(wake func(key string)) *Queue { return &Queue{work: w, wake: wake} }

// Ended tells how an attempt at the work of a key, for a volume of a class, has ended.
func (q *Queue) Ended(key, class string, err error) {
	for _, follower := range q.work.ended(item{q, key}, class, err) {
		follower.queue.wake(follower.key)
	}
}

// Forget is for work that there is no more. It returns whether it has waited.
func (q *Queue) Forget(key string) (waited bool) {
	q.work.mu.Lock()
	defer q.work.mu.Unlock()
	_, waited = q.work.waits[item{q, key}]
	delete(q.work.waits, item{q, key})
	delete(q.work.ahead, item{q, key})
	return waited
}

// Len is how much waits in the queue.
func (q *Queue) Len() (n int) {
	q.work.mu.Lock()
	defer q.work.mu.Unlock()
	for each := range q.work.waits {
		if each.queue == q {
			n++
		}
	}
	return n
}

// Run sends work ahead until the context ends.
func (w *Work) Run(ctx context.Context) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			for _, each := range w.send() {
				each.queue.wake(each.key)
			}
		case <-ctx.Done():
			return
		}
	}
}

// send takes what has waited longest of each group.
func (w *Work) send() []item {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.ahead, func(_ item, sent waiting) bool { return time.Since(sent.since) > lostAfter })
	first := map[group]item{}
	for each, waits := range w.waits {
		if other, found := first[waits.group]; !found || waits.since.Before(w.waits[other].since) {
			first[waits.group] = each
		}
	}
	var sent []item
	for group, each := range first {
		delete(w.waits, each)
		w.ahead[each] = waiting{group, time.Now()}
		sent = append(sent, each)
	}
	return sent
}

// ended returns those who follow.
func (w *Work) ended(each item, class string, err error) (followers []item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	tried, wasAhead := w.ahead[each]
	delete(w.ahead, each)
	delete(w.waits, each)
	now, waits := groupOf(each.queue, class, err)
	if wasAhead && !(waits && now == tried.group) {
		for other, waits := range w.waits {
			if waits.group == tried.group {
				followers = append(followers, other)
				delete(w.waits, other)
			}
		}
	}
	if waits {
		w.waits[each] = waiting{now, time.Now()}
	}
	return followers
}

// groupOf is not ok for what waits for nobody but itself.
func groupOf(queue *Queue, class string, err error) (of group, ok bool) {
	var e *cephclient.Error
	switch {
	case err == nil:
		return group{}, false
	case !errors.As(err, &e):
		return group{queue: queue, class: class}, true
	case e.Awaits != "":
		return group{awaits: e.Awaits}, true
	}
	return group{queue: queue, class: class, cause: e.Cause}, !slices.Contains(causesOfOne, e.Cause)
}
