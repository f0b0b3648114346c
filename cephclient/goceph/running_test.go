package goceph

import (
	"context"
	"errors"
	"testing"
	"time"

	"ceph.example/ceph-provisioner/cephclient"
)

// A call under a revoked key never ends. It holds its volume and its slot, as any call
// that is not over, until the cluster has refused the key or taken a new one.
func TestCallsUnderAKeyThatIsVoidHoldNothing(t *testing.T) {
	cluster := cephclient.Cluster{Monitors: []string{"10.0.0.1:6789"}}
	for name, c := range map[string]struct {
		monitors, id, key string // of who connects
		err               error
		free              bool
	}{
		"another key is taken":          {"10.0.0.1:6789", "a", "new", nil, true},
		"the key is refused":            {"10.0.0.1:6789", "a", "old", cephclient.NewError(cephclient.ErrUnauthorized, "connect", "", false), true},
		"the key is taken":              {"10.0.0.1:6789", "a", "old", nil, false},
		"another key is refused":        {"10.0.0.1:6789", "a", "new", cephclient.NewError(cephclient.ErrUnauthorized, "connect", "", false), false},
		"nobody answers":                {"10.0.0.1:6789", "a", "new", cephclient.NewError(cephclient.ErrUnreachable, "connect", "", false), false},
		"another client is refused":     {"10.0.0.1:6789", "b", "old", cephclient.NewError(cephclient.ErrUnauthorized, "connect", "", false), false},
		"another cluster takes the key": {"10.0.0.2:6789", "a", "new", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			pool := NewPool(Options{Timeout: time.Minute, CallsPerService: 1})
			never := make(chan struct{})
			t.Cleanup(func() { close(never) })
			on := line[int]{among: newShared(time.Minute, func(int) {}), open: func() (int, error) { return 0, nil }}
			op := change("delete", cephclient.Volume{Name: "v"}, manager)
			do := func(key string, f func()) error {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				defer cancel()
				s := pool.session(cluster, cephclient.Credentials{ID: "a", Key: cephclient.NewSecret(key)})
				_, err := callOn(ctx, s, op, on, func(int) (none, error) { f(); return none{}, nil })
				return err
			}
			if err := do("old", func() { <-never }); !errors.Is(err, cephclient.ErrTimeout) {
				t.Fatal(err)
			}
			who := pool.session(cephclient.Cluster{Monitors: []string{c.monitors}}, cephclient.Credentials{ID: c.id, Key: cephclient.NewSecret(c.key)})
			pool.running.connected(who, c.err)
			if err := do("new", func() {}); (err == nil) != c.free {
				t.Errorf("the next call: %v; want it to be free: %t", err, c.free)
			}
		})
	}
}

// A process that does not lead any more changes nothing in Ceph, and reads what it likes.
func TestNothingIsChangedAfterTheTenure(t *testing.T) {
	over := errors.New("the lease was lost")
	pool := NewPool(Options{Timeout: time.Minute, CallsPerService: 1, MayChange: func() error { return over }})
	s := pool.session(cephclient.Cluster{Monitors: []string{"10.0.0.1:6789"}}, cephclient.Credentials{ID: "a", Key: cephclient.NewSecret("k")})
	on := line[int]{among: newShared(time.Minute, func(int) {}), open: func() (int, error) { return 0, nil }}
	for _, c := range []struct {
		op   operation
		runs bool
	}{
		{change("delete", cephclient.Volume{Name: "v"}, osd), false},
		{change("grow", cephclient.Volume{Name: "v"}, manager), false},
		{operation{name: "open", asks: osd}, true},
	} {
		ran := false
		_, err := callOn(t.Context(), s, c.op, on, func(int) (none, error) { ran = true; return none{}, nil })
		if ran != c.runs || (err == nil) != c.runs {
			t.Errorf("%s: it was done: %t, want %t (%v)", c.op.name, ran, c.runs, err)
		}
		if err != nil && cephclient.MayBeHalfDone(err) {
			t.Errorf("%s counts as half done, but was not begun: %v", c.op.name, err)
		}
	}
}

// Nor is what a guard refuses by then.
func TestNothingIsChangedThatAGuardRefuses(t *testing.T) {
	refused := errors.New("somebody wants it after all")
	s := NewPool(Options{Timeout: time.Minute, CallsPerService: 1}).session(cephclient.Cluster{Monitors: []string{"10.0.0.1:6789"}}, cephclient.Credentials{ID: "a"})
	on := line[int]{among: newShared(time.Minute, func(int) {}), open: func() (int, error) { return 0, nil }}
	for _, op := range []operation{change("delete", cephclient.Volume{Name: "v"}, osd), {name: "open", asks: osd}} {
		ran := false
		ctx := cephclient.WithGuard(t.Context(), func(context.Context) error { return refused })
		_, err := callOn(ctx, s, op, on, func(int) (none, error) { ran = true; return none{}, nil })
		if want := !op.mutating(); ran != want || (err == nil) != want || cephclient.MayBeHalfDone(err) {
			t.Errorf("%s: it was done: %t, want %t (%v)", op.name, ran, want, err)
		}
	}
}

// Who finds every slot taken by calls that a service has not answered is told of the
// service, not of the calls: they may never end.
func TestSlotsOfCallsThatAreNotAnswered(t *testing.T) {
	cluster := cephclient.Cluster{Monitors: []string{"10.0.0.1:6789"}}
	for name, c := range map[string]struct {
		timeout time.Duration // after which a service counts as hung
		slow    bool
		want    error
	}{
		"overdue":              {time.Millisecond, false, cephclient.ErrTimeout},
		"not overdue yet":      {time.Minute, false, cephclient.ErrBusy},
		"known to take longer": {time.Millisecond, true, cephclient.ErrBusy},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewPool(Options{Timeout: c.timeout, CallsPerService: 1}).session(cluster, cephclient.Credentials{ID: "a"})
			never := make(chan struct{})
			t.Cleanup(func() { close(never) })
			on := line[int]{among: newShared(time.Minute, func(int) {}), open: func() (int, error) { return 0, nil }}
			do := func(volume string) error {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				defer cancel()
				op := change("delete", cephclient.Volume{Name: volume}, manager)
				op.slow = c.slow
				_, err := callOn(ctx, s, op, on, func(int) (none, error) { <-never; return none{}, nil })
				return err
			}
			if err := do("held"); !errors.Is(err, cephclient.ErrTimeout) {
				t.Fatal(err)
			}
			if err := do("waiting"); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}
