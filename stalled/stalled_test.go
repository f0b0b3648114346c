package stalled

import (
	"errors"
	"slices"
	"testing"

	"ceph.example/ceph-provisioner/cephclient"
)

var (
	refused = cephclient.NewError(cephclient.ErrUnauthorized, "connect", "", false)
	full    = cephclient.NewError(cephclient.ErrNoSpace, "create", "", true)
	inUse   = cephclient.NewError(cephclient.ErrInUse, "delete", "", false)
	timeout = awaiting(cephclient.ErrTimeout, "mgr")
	resting = awaiting(cephclient.ErrUnreachable, "mgr")
	monitor = awaiting(cephclient.ErrUnreachable, "monitor")
)

func awaiting(cause *cephclient.Cause, whom string) error {
	e := cephclient.NewError(cause, "create", "", true)
	e.Awaits = whom
	return e
}

// world is the work of two queues, and what of it has been woken.
type world struct {
	*Work
	claims, volumes *Queue
	woken           []string
}

func newWorld() *world {
	w := &world{Work: New()}
	wake := func(key string) { w.woken = append(w.woken, key) }
	w.claims, w.volumes = w.Queue(wake), w.Queue(wake)
	return w
}

func (w *world) tick() {
	for _, each := range w.send() {
		each.queue.wake(each.key)
	}
}

func fail(queue *Queue, class string, err error, keys ...string) {
	for _, key := range keys {
		queue.Ended(key, class, err)
	}
}

func TestWhoIsSentAhead(t *testing.T) {
	for state, test := range map[string]struct {
		happens func(*world)
		want    []string
	}{
		"nothing failed":           {func(w *world) { w.claims.Ended("a", "fast", nil) }, nil},
		"one of a class":           {func(w *world) { fail(w.claims, "fast", refused, "a", "b", "c") }, []string{"a"}},
		"one of each class":        {func(w *world) { fail(w.claims, "fast", refused, "a"); fail(w.claims, "slow", refused, "b") }, []string{"a", "b"}},
		"of each cause":            {func(w *world) { fail(w.claims, "fast", full, "a", "b"); fail(w.claims, "fast", refused, "c") }, []string{"a", "c"}},
		"of each queue":            {func(w *world) { fail(w.claims, "fast", full, "a"); fail(w.volumes, "fast", full, "b") }, []string{"a", "b"}},
		"of a service":             {func(w *world) { fail(w.claims, "fast", timeout, "a"); fail(w.volumes, "slow", resting, "b") }, []string{"a"}},
		"of each service":          {func(w *world) { fail(w.claims, "fast", timeout, "a"); fail(w.claims, "fast", monitor, "b") }, []string{"a", "b"}},
		"not Ceph's":               {func(w *world) { fail(w.claims, "fast", errors.New("no such secret"), "a", "b") }, []string{"a"}},
		"its own cause":            {func(w *world) { fail(w.claims, "fast", inUse, "a", "b") }, nil},
		"its own cause after all":  {func(w *world) { fail(w.claims, "fast", full, "a"); fail(w.claims, "fast", inUse, "a") }, nil},
		"gone":                     {func(w *world) { fail(w.claims, "fast", full, "a", "b"); w.claims.Forget("a") }, []string{"b"}},
		"served meanwhile":         {func(w *world) { fail(w.claims, "fast", full, "a", "b"); w.claims.Ended("a", "fast", nil) }, []string{"b"}},
		"waited longer than again": {func(w *world) { fail(w.claims, "fast", full, "a", "b", "a") }, []string{"b"}},
	} {
		t.Run(state, func(t *testing.T) {
			w := newWorld()
			test.happens(w)
			w.tick()
			w.want(t, test.want)
		})
	}
}

func TestWhoFollows(t *testing.T) {
	for state, test := range map[string]struct {
		happens func(*world)
		want    []string
	}{
		"it is under way":       {func(*world) {}, nil},
		"it succeeds":           {func(w *world) { w.claims.Ended("a", "fast", nil) }, []string{"b", "c"}},
		"it fails again":        {func(w *world) { fail(w.claims, "fast", resting, "a") }, nil},
		"it fails otherwise":    {func(w *world) { fail(w.claims, "fast", full, "a") }, []string{"b", "c"}},
		"it is gone":            {func(w *world) { w.claims.Forget("a"); w.claims.Ended("a", "fast", nil) }, nil},
		"another one succeeds":  {func(w *world) { w.claims.Ended("b", "fast", nil) }, nil},
		"the next tick sends b": {func(w *world) { w.tick() }, []string{"b"}},
	} {
		t.Run(state, func(t *testing.T) {
			w := newWorld()
			fail(w.claims, "fast", timeout, "a", "b")
			fail(w.volumes, "slow", timeout, "c")
			fail(w.volumes, "slow", monitor, "d")
			fail(w.claims, "fast", refused, "e")
			w.tick()
			w.woken = nil
			test.happens(w)
			w.want(t, test.want)
		})
	}
}

func (w *world) want(t *testing.T, keys []string) {
	t.Helper()
	slices.Sort(w.woken)
	if !slices.Equal(w.woken, keys) {
		t.Errorf("woken are %v, want %v", w.woken, keys)
	}
}
