package goceph

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ceph/go-ceph/rados"

	"ceph.example/ceph-provisioner/cephclient"
)

// errno is an error of go-ceph's form.
type errno syscall.Errno

func (e errno) Error() string  { return syscall.Errno(e).Error() }
func (e errno) ErrorCode() int { return -int(e) }

func TestCauses(t *testing.T) {
	for err, want := range map[error]*cephclient.Cause{
		errno(syscall.ENOENT):                            cephclient.ErrNotFound,
		fmt.Errorf("wrapped: %w", errno(syscall.EEXIST)): cephclient.ErrExists,
		rados.ErrNotConnected:                            cephclient.ErrUnreachable,
		errno(syscall.EOPNOTSUPP):                        cephclient.ErrUnsupported,
		errno(syscall.EDQUOT):                            cephclient.ErrNoSpace,
		errno(syscall.EIO):                               cephclient.ErrUnknown,
		errors.New("no errno at all"):                    cephclient.ErrUnknown,
		context.DeadlineExceeded:                         cephclient.ErrTimeout,
	} {
		if got := typed("x", true, err); !errors.Is(got, want) {
			t.Errorf("%v: got %v, want %v", err, got, want)
		}
	}
	if !cephclient.MayBeHalfDone(typed("create", true, errno(syscall.ETIMEDOUT))) {
		t.Error("a creation that timed out counts as not done")
	}
	if cephclient.MayBeHalfDone(typed("create", true, errno(syscall.EPERM))) {
		t.Error("a creation that was denied counts as half done")
	}
}

var key = cephclient.NewSecret("AQAAAAAAAAAAABAAc2l4dGVlbiBieXRlcy4uLg==")

// deaf accepts connections and never answers, like a monitor that hangs.
func deaf(t *testing.T) cephclient.Cluster {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return cephclient.Cluster{Monitors: []string{listener.Addr().String()}}
}

func TestAClusterThatNeverAnswers(t *testing.T) {
	pool := NewPool(Options{Timeout: time.Second, CallsPerService: 4})
	cluster := deaf(t)
	connect := func(timeout time.Duration) error {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		_, err := pool.Backend(ctx, cephclient.RBD, cluster, cephclient.Credentials{ID: "kube", Key: key})
		return err
	}
	if err := connect(10 * time.Millisecond); !errors.Is(err, cephclient.ErrTimeout) {
		t.Errorf("the caller's deadline is shorter: %v", err)
	}
	if err := connect(time.Minute); !errors.Is(err, cephclient.ErrUnreachable) {
		t.Errorf("librados gives up first: %v", err)
	}
	err := connect(time.Minute)
	for range restAfter {
		err = connect(time.Minute)
	}
	if !errors.Is(err, cephclient.ErrUnreachable) || !strings.Contains(err.Error(), "has not answered lately") {
		t.Errorf("the cluster is not left alone: %v", err)
	}
	if strings.Contains(err.Error(), key.Reveal()) {
		t.Error("the message has the key")
	}
	for _, kind := range []cephclient.Kind{cephclient.RBD, cephclient.CephFS} {
		if err := pool.Rests(kind, cluster); !errors.Is(err, cephclient.ErrUnreachable) {
			t.Errorf("a cluster that is left alone does not rest for %s: %v", kind, err)
		}
		if err := pool.Rests(kind, deaf(t)); err != nil {
			t.Errorf("a cluster that was never asked rests for %s: %v", kind, err)
		}
	}
}

// After its rest a service is asked by one call, and meanwhile rests for all others.
func TestRests(t *testing.T) {
	l := newLimits(monitor, 4)
	for range restAfter {
		report, err := l.breaker.Allow()
		if err != nil || l.rest() {
			t.Fatalf("it rests too early: %v", err)
		}
		report(false)
	}
	if !l.rest() {
		t.Error("it does not rest")
	}
	// The breaker has no clock to be set, and tells nobody when its time is over.
	for begun := time.Now(); l.rest(); time.Sleep(50 * time.Millisecond) {
		if time.Since(begun) > 10*restFor {
			t.Fatal("it rests for ever")
		}
	}
	report, err := l.breaker.Allow()
	if err != nil || !l.rest() {
		t.Errorf("it does not rest while one call asks it: %v", err)
	}
	report(true)
	if l.rest() {
		t.Error("it rests although it has answered")
	}
}

func TestHungOSDsMakeImagesRest(t *testing.T) {
	pool := NewPool(Options{Timeout: time.Second, CallsPerService: 4})
	cluster := cephclient.Cluster{Monitors: []string{"10.0.0.1:6789"}}
	for range restAfter {
		report, err := pool.session(cluster, cephclient.Credentials{}).limits(osd).breaker.Allow()
		if err != nil {
			t.Fatal(err)
		}
		report(false)
	}
	if pool.Rests(cephclient.RBD, cluster) == nil {
		t.Error("images do not rest")
	}
	if err := pool.Rests(cephclient.CephFS, cluster); err != nil {
		t.Errorf("CephFS rests: %v", err)
	}
}

func TestAKeyThatLibradosDoesNotTake(t *testing.T) {
	pool := NewPool(Options{Timeout: time.Second, CallsPerService: 4})
	_, err := pool.Backend(t.Context(), cephclient.RBD, deaf(t), cephclient.Credentials{ID: "kube", Key: cephclient.NewSecret("not base64!")})
	if err == nil || strings.Contains(err.Error(), "not base64!") {
		t.Errorf("got %v", err)
	}
}

func TestKeyedLock(t *testing.T) {
	var lock keyedLock
	unlock, err := lock.lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	other, err := lock.lock(t.Context(), "b")
	if err != nil {
		t.Fatal("another key waits")
	}
	other()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lock.lock(ended, "a"); err == nil {
		t.Fatal("the key is held twice")
	}
	unlock()

	var inside, total int
	var group sync.WaitGroup
	for range 50 {
		group.Add(1)
		go func() {
			defer group.Done()
			unlock, err := lock.lock(context.Background(), "a")
			if err != nil {
				t.Error(err)
				return
			}
			defer unlock()
			inside++ // the race detector watches
			total += inside
			inside--
		}()
	}
	group.Wait()
	if total != 50 || len(lock.held) != 0 {
		t.Errorf("total %d, left %d", total, len(lock.held))
	}
}

func TestMetadataOnFullPool(t *testing.T) {
	op := change("create", cephclient.Volume{Kind: cephclient.CephFS, Name: "x"}, manager)
	says := func(code syscall.Errno, text string) error { return fmt.Errorf("%w: %s", errno(code), text) }
	for text, want := range map[string]*cephclient.Cause{
		"exception in subvolume metadata: No space left on device": cephclient.ErrNoSpace,
		"exception in subvolume metadata: Disk quota exceeded":     cephclient.ErrNoSpace,
		"Invalid value specified for ceph.dir.subvolume":           cephclient.ErrInvalid,
	} {
		if got := typed(op.name, true, metadataOnFullPool(op, says(syscall.EINVAL, text))); !errors.Is(got, want) {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}

// Since Ceph 17.2 OSDs do not answer an identity without osd caps. Others are served meanwhile.
func TestAnIdentityThatWasNeverAnsweredRestsAlone(t *testing.T) {
	pool := NewPool(Options{Timeout: time.Second, CallsPerService: 1})
	cluster := cephclient.Cluster{Monitors: []string{"10.0.0.1:6789"}}
	timeout := cephclient.NewError(cephclient.ErrTimeout, "x", "", false)
	calls := 0
	ask := func(id string, answer error) error {
		s := pool.session(cluster, cephclient.Credentials{ID: id})
		on := numbers(nil, func() {})
		on.key = string(s.identity[:])
		_, err := callOn(t.Context(), s, operation{name: "x", asks: osd}, on, func(int) (none, error) { calls++; return none{}, answer })
		return err
	}
	for range restAfter {
		if err := ask("capless", timeout); !strings.Contains(err.Error(), "client.capless has osd caps") {
			t.Errorf("it is not told: %v", err)
		}
	}
	if err := ask("capless", nil); calls != restAfter || !strings.Contains(err.Error(), "has not answered lately") {
		t.Errorf("it is asked %d times: %v", calls, err)
	}
	if err := ask("right", nil); err != nil {
		t.Errorf("another identity is not served: %v", err)
	}
	for range restAfter {
		if err := ask("right", timeout); strings.Contains(err.Error(), "osd caps") {
			t.Errorf("it was answered before: %v", err)
		}
	}
	calls = 0
	for _, id := range []string{"right", "new"} {
		if err := ask(id, nil); calls > 0 || !errors.Is(err, cephclient.ErrUnreachable) {
			t.Errorf("an OSD that hangs is asked by %s: %v", id, err)
		}
	}
}
