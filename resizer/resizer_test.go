package resizer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"

	"ceph.example/ceph-provisioner/cephclient"
	cephfake "ceph.example/ceph-provisioner/cephclient/fake"
	"ceph.example/ceph-provisioner/pvspec"
	"ceph.example/ceph-provisioner/stalled"
)

const gib = 1 << 30

// access leads to a backend in memory.
type access struct {
	backend *cephfake.Backend
}

func (a access) Open(_ context.Context, pv *corev1.PersistentVolume) (cephclient.Backend, cephclient.Volume, error) {
	source, err := pvspec.FromPersistentVolume(pv, nil)
	return a.backend, source.Volume, err
}

// world is a resizer with an API server and a Ceph in memory.
type world struct {
	client   *fake.Clientset
	backend  *cephfake.Backend
	recorder *record.FakeRecorder
	resizer  *Resizer
	claims   cache.Indexer // what its listers see
	volumes  cache.Indexer
}

// oneSeat is told who sits down.
type oneSeat func(*corev1.PersistentVolume) (leave func())

func (s oneSeat) OfVolume(_ context.Context, pv *corev1.PersistentVolume) (leave func(), err error) {
	return s(pv), nil
}

func (oneSeat) Workers() int { return 1 }

func noSeat(*corev1.PersistentVolume) (leave func()) { return func() {} }

func newWorld(t *testing.T, claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) *world {
	t.Helper()
	w, factory := newStillWorld(t, claim, pv)
	factory.Start(t.Context().Done())
	cache.WaitForCacheSync(t.Context().Done(), w.resizer.synced...)
	return w
}

// newStillWorld has listers that see nothing but what they are told.
func newStillWorld(t *testing.T, claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) (*world, informers.SharedInformerFactory) {
	t.Helper()
	w := &world{client: fake.NewSimpleClientset(claim, pv), backend: &cephfake.Backend{}, recorder: record.NewFakeRecorder(20)}
	factory := informers.NewSharedInformerFactory(w.client, 0)
	var err error
	w.resizer, err = New(Options{Provisioners: provisioners, Seats: oneSeat(noSeat), Timeout: time.Minute, RetryStart: time.Hour, RetryMax: time.Hour, Stalled: stalled.New()},
		w.client, access{backend: w.backend}, w.recorder, factory.Core().V1().PersistentVolumeClaims(),
		factory.Core().V1().PersistentVolumes(), factory.Storage().V1().StorageClasses())
	if err != nil {
		t.Fatal(err)
	}
	w.claims = factory.Core().V1().PersistentVolumeClaims().Informer().GetIndexer()
	w.volumes = factory.Core().V1().PersistentVolumes().Informer().GetIndexer()
	return w, factory
}

func (w *world) sync(t *testing.T) error {
	t.Helper()
	w.client.ClearActions()
	return w.resizer.sync(t.Context(), cache.NewObjectName("ns", "data"))
}

func (w *world) objects(t *testing.T) (*corev1.PersistentVolumeClaim, *corev1.PersistentVolume) {
	t.Helper()
	claim, err := w.client.CoreV1().PersistentVolumeClaims("ns").Get(t.Context(), "data", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pv, err := w.client.CoreV1().PersistentVolumes().Get(t.Context(), "pvc-1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return claim, pv
}

func (w *world) events() string {
	var all []string
	for len(w.recorder.Events) > 0 {
		all = append(all, <-w.recorder.Events)
	}
	return strings.Join(all, "\n")
}

func TestGrowth(t *testing.T) {
	for kind, c := range map[string]struct {
		change          change
		inCeph          int64 // before, in bytes
		wantVolume      string
		wantStatus      string
		wantNodePending bool
		wantEvent       string
	}{
		"file system on an image":    {nil, gib, "2Gi", "1Gi", true, reasonNodeRequired},
		"block":                      {block, gib, "2Gi", "2Gi", false, reasonSuccess},
		"CephFS":                     {cephfs, gib, "2Gi", "2Gi", false, reasonSuccess},
		"second, node still busy":    {nodePending, gib, "2Gi", "1Gi", true, reasonNodeRequired},
		"grown by hand to even more": {cephfs, 3 * gib, "3Gi", "3Gi", false, reasonSuccess},
	} {
		t.Run(kind, func(t *testing.T) {
			claim, pv := pair("2Gi", "1Gi", "1Gi")
			if c.change != nil {
				c.change(claim, pv)
			}
			w := newWorld(t, claim, pv)
			w.backend.Put("x", c.inCeph)
			if err := w.sync(t); err != nil {
				t.Fatal(err)
			}
			claim, pv = w.objects(t)
			volume, status := capacity(pv.Spec.Capacity), capacity(claim.Status.Capacity)
			if volume.String() != c.wantVolume || status.String() != c.wantStatus || isNodePending(claim) != c.wantNodePending {
				t.Errorf("volume %s, status %+v", volume.String(), claim.Status)
			}
			if events := w.events(); !strings.Contains(events, reasonResizing) || !strings.Contains(events, c.wantEvent) {
				t.Errorf("events %s", events)
			}
			if _, told := pv.Annotations[annotationPreResizeCapacity]; told != c.wantNodePending {
				t.Errorf("annotations %v", pv.Annotations)
			}
			if status, want := claim.Status.AllocatedResourceStatuses[corev1.ResourceStorage], corev1.PersistentVolumeClaimNodeResizePending; c.wantNodePending && status != want {
				t.Errorf("status %q, want %q", status, want)
			}
			for _, condition := range claim.Status.Conditions {
				if condition.Type == corev1.PersistentVolumeClaimResizing {
					t.Errorf("still marked as resizing: %+v", claim.Status.Conditions)
				}
			}
		})
	}
}

func TestGrowthFails(t *testing.T) {
	for state, c := range map[string]struct {
		cause      *cephclient.Cause
		wantStatus corev1.ClaimResourceStatus
	}{
		"may succeed later":           {cephclient.ErrTimeout, corev1.PersistentVolumeClaimControllerResizeInProgress},
		"cannot succeed by trying on": {cephclient.ErrDenied, corev1.PersistentVolumeClaimControllerResizeFailed},
	} {
		t.Run(state, func(t *testing.T) {
			claim, pv := pair("2Gi", "1Gi", "1Gi")
			w := newWorld(t, claim, pv)
			w.backend.Put("x", gib)
			w.backend.Fault = func(string, cephclient.Volume) error { return cephclient.NewError(c.cause, "grow", "", true) }
			if err := w.sync(t); !errors.Is(err, c.cause) {
				t.Fatalf("got %v", err)
			}
			claim, pv = w.objects(t)
			if size := capacity(pv.Spec.Capacity); size.String() != "1Gi" {
				t.Errorf("the volume says %s", size.String())
			}
			if got := claim.Status.AllocatedResourceStatuses[corev1.ResourceStorage]; got != c.wantStatus {
				t.Errorf("status %q, want %q", got, c.wantStatus)
			}
			if events := w.events(); !strings.Contains(events, "Warning "+reasonFailed) {
				t.Errorf("events %s", events)
			}
			w.backend.Fault = nil
			if err := w.sync(t); err != nil || w.backend.Sizes()["x"] != 2*gib {
				t.Errorf("does not recover: %v, %v", err, w.backend.Sizes())
			}
		})
	}
}

// noSecret is an access that fails before Ceph is asked.
type noSecret struct{}

func (noSecret) Open(context.Context, *corev1.PersistentVolume) (cephclient.Backend, cephclient.Volume, error) {
	return nil, cephclient.Volume{}, errors.New("secret kube-system/secret does not exist")
}

// What an earlier attempt has left in doubt is not settled by one that does not
// even reach Ceph.
func TestGrowthThatDoesNotReachCeph(t *testing.T) {
	for state, want := range map[string]corev1.ClaimResourceStatus{
		"at first":              "",
		"after one in doubt":    corev1.PersistentVolumeClaimControllerResizeInProgress,
		"after one that failed": corev1.PersistentVolumeClaimControllerResizeFailed,
	} {
		claim, pv := pair("2Gi", "1Gi", "1Gi")
		if want != "" {
			setResourceStatus(claim, want)
		}
		w := newWorld(t, claim, pv)
		w.resizer.access = noSecret{}
		if err := w.sync(t); err == nil {
			t.Fatal("no error")
		}
		claim, _ = w.objects(t)
		if got := claim.Status.AllocatedResourceStatuses[corev1.ResourceStorage]; got != want {
			t.Errorf("%s: status %q, want %q", state, got, want)
		}
		if len(claim.Status.Conditions) != 1 || !strings.Contains(claim.Status.Conditions[0].Message, "does not exist") {
			t.Errorf("%s: conditions %+v", state, claim.Status.Conditions)
		}
	}
}

// What somebody else has written is read, and the growth goes on from there.
func TestConflictEndsNothing(t *testing.T) {
	claim, pv := pair("2Gi", "1Gi", "1Gi")
	w := newWorld(t, claim, pv)
	w.backend.Put("x", gib)
	conflicts := 5
	w.client.PrependReactor("patch", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		conflicts--
		return conflicts > 0, nil, apierrors.NewConflict(corev1.Resource("x"), "x", errors.New("somebody has written"))
	})
	if err := w.sync(t); err != nil {
		t.Fatal(err)
	}
	if got := w.backend.Sizes()["x"]; conflicts > 0 || got != 2*gib {
		t.Errorf("the volume has %d bytes, with %d conflicts left", got, conflicts)
	}
	if events := w.events(); strings.Contains(events, "Warning") {
		t.Errorf("a conflict is told: %s", events)
	}
}

// A growth begins with what the caches say. If that may have been begun before, the API
// server is asked first.
func TestReadsBeforeGrowth(t *testing.T) {
	for state, c := range map[string]struct {
		change change
		want   int
	}{
		"a new request": {func(*corev1.PersistentVolumeClaim, *corev1.PersistentVolume) {}, 0},
		"one that has begun": {func(claim *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume) {
			markBegun(claim, capacity(claim.Spec.Resources.Requests))
		}, 2},
	} {
		t.Run(state, func(t *testing.T) {
			claim, pv := pair("2Gi", "1Gi", "1Gi")
			c.change(claim, pv)
			w := newWorld(t, claim, pv)
			w.backend.Put("x", gib)
			if err := w.sync(t); err != nil {
				t.Fatal(err)
			}
			reads := 0
			for _, action := range w.client.Actions() {
				if action.Matches("get", "persistentvolumeclaims") || action.Matches("get", "persistentvolumes") {
					reads++
				}
			}
			if reads != c.want {
				t.Errorf("%d reads, want %d: %v", reads, c.want, w.client.Actions())
			}
		})
	}
}

// A claim, or a volume, that was deleted and made again meanwhile is another one.
func TestAttemptEndsWithItsObjects(t *testing.T) {
	claim, pv := pair("2Gi", "1Gi", "1Gi")
	markBegun(claim, capacity(claim.Spec.Resources.Requests))
	otherClaim, otherVolume := claim.DeepCopy(), pv.DeepCopy()
	otherClaim.UID, otherVolume.UID = "another", "another"
	for resource, again := range map[string]runtime.Object{"persistentvolumeclaims": otherClaim, "persistentvolumes": otherVolume} {
		t.Run(resource, func(t *testing.T) {
			w := newWorld(t, claim, pv)
			w.backend.Put("x", gib)
			w.client.PrependReactor("get", resource, func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, again, nil
			})
			if err := w.sync(t); err != nil {
				t.Fatal(err)
			}
			if got := w.backend.Sizes()["x"]; got != gib {
				t.Errorf("the volume has %d bytes", got)
			}
		})
	}
}

// stubborn is a volume that somebody else shrinks as soon as it has grown.
type stubborn struct{ *cephfake.Backend }

func (stubborn) Grow(_ context.Context, volume cephclient.Volume, _ int64) (cephclient.Info, error) {
	return cephclient.Info{Volume: volume, SizeBytes: gib}, nil
}

type stubbornAccess struct{ access }

func (s stubbornAccess) Open(ctx context.Context, pv *corev1.PersistentVolume) (cephclient.Backend, cephclient.Volume, error) {
	_, volume, err := s.access.Open(ctx, pv)
	return stubborn{s.backend}, volume, err
}

func TestGrowthThatDoesNotLastIsAFailure(t *testing.T) {
	claim, pv := pair("2Gi", "1Gi", "1Gi")
	w := newWorld(t, claim, pv)
	w.resizer.access = stubbornAccess{access{backend: w.backend}}
	if err := w.sync(t); err == nil || !strings.Contains(err.Error(), "somebody else") {
		t.Errorf("got %v", err)
	}
}

func TestBackOffEndsOnlyWithWhatMayHelp(t *testing.T) {
	claim, pv := pair("2Gi", "1Gi", "1Gi")
	claim.Spec.StorageClassName = new(string)
	*claim.Spec.StorageClassName = "ceph"
	pv.Spec.StorageClassName = "ceph"
	marked := claim.DeepCopy()
	markBegun(marked, capacity(sizes("2Gi")))
	asked := marked.DeepCopy()
	asked.Spec.Resources.Requests = sizes("3Gi")
	edited := class(true)
	edited.ResourceVersion = "2"
	other := edited.DeepCopy()
	other.Name = "other"
	for what, c := range map[string]struct {
		happens func(*Resizer)
		want    int
	}{
		"our own mark":          {func(r *Resizer) { r.claimChanged(claim, marked) }, 0},
		"the volume":            {func(r *Resizer) { r.volumeChanged(pv) }, 0},
		"resync of the class":   {func(r *Resizer) { r.classChanged(class(true), class(true)) }, 0},
		"edit of another class": {func(r *Resizer) { r.classChanged(class(true), other) }, 0},
		"another request":       {func(r *Resizer) { r.claimChanged(marked, asked) }, 1},
		"the class, edited":     {func(r *Resizer) { r.classChanged(class(true), edited) }, 1},
		"the class, made again": {func(r *Resizer) { r.classChanged(nil, edited) }, 1},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, claim.DeepCopy(), pv.DeepCopy())
			w.backend.Fault = func(string, cephclient.Volume) error {
				return cephclient.NewError(cephclient.ErrDenied, "grow", "", true)
			}
			w.resizer.queue.Add("ns/data")
			for w.resizer.queue.Len() > 0 { // what the informers say on a start is one more name at most
				w.resizer.next(t.Context())
			}
			c.happens(w.resizer)
			if got := w.resizer.queue.Len(); got != c.want {
				t.Errorf("%d are looked at, want %d", got, c.want)
			}
		})
	}
}

// Seats are few, and are for claims that need Ceph.
func TestAnAttemptHasASeat(t *testing.T) {
	for state, c := range map[string]struct {
		asked string
		seats int
	}{"to grow": {"2Gi", 1}, "as it should be": {"1Gi", 0}} {
		t.Run(state, func(t *testing.T) {
			claim, pv := pair(c.asked, "1Gi", "1Gi")
			w := newWorld(t, claim, pv)
			w.backend.Put("x", gib)
			var taken, left int
			w.resizer.options.Seats = oneSeat(func(at *corev1.PersistentVolume) func() {
				if taken++; at.Name != pv.Name || len(w.client.Actions()) > 0 {
					t.Errorf("the seat is for volume %s, after %d requests", at.Name, len(w.client.Actions()))
				}
				return func() { left++ }
			})
			if err := w.sync(t); err != nil {
				t.Fatal(err)
			}
			if taken != c.seats || left != c.seats {
				t.Errorf("%d seats were taken and %d left, want %d", taken, left, c.seats)
			}
		})
	}
}

func TestDeletedClaimIsForgotten(t *testing.T) {
	claim, pv := pair("2Gi", "1Gi", "1Gi")
	w := newWorld(t, claim, pv)
	w.backend.Fault = func(string, cephclient.Volume) error {
		return cephclient.NewError(cephclient.ErrUnreachable, "grow", "", true)
	}
	if err := w.sync(t); !errors.Is(err, cephclient.ErrUnreachable) {
		t.Fatal(err)
	}
	r := w.resizer
	if r.stalled.Len() != 1 || len(r.told.claims) != 1 {
		t.Errorf("of a failure %d wait, and what was told is %v", r.stalled.Len(), r.told.claims)
	}
	r.claimDeleted(cache.DeletedFinalStateUnknown{Key: "ns/data", Obj: claim})
	if r.stalled.Len() != 0 || len(r.told.claims) != 0 {
		t.Errorf("left: %d that wait, and %v", r.stalled.Len(), r.told.claims)
	}
}

// When the process ends in the middle of a growth, nobody is told of a failure.
func TestTheEndOfTheProcessIsNoFailure(t *testing.T) {
	claim, pv := pair("2Gi", "1Gi", "1Gi")
	w := newWorld(t, claim, pv)
	w.backend.Put("x", gib)
	ctx, end := context.WithCancel(t.Context())
	w.backend.Fault = func(string, cephclient.Volume) error {
		end()
		return cephclient.NewError(cephclient.ErrTimeout, "grow", "", true)
	}
	if err := w.resizer.sync(ctx, cache.NewObjectName("ns", "data")); !errors.Is(err, cephclient.ErrTimeout) {
		t.Fatal(err)
	}
	if events := w.events(); strings.Contains(events, reasonFailed) {
		t.Error(events)
	}
	if claim, _ := w.objects(t); claim.Status.Conditions[0].Message != "" {
		t.Errorf("condition %+v", claim.Status.Conditions[0])
	}
}

func TestEachCauseIsToldOnce(t *testing.T) {
	claim, pv := pair("2Gi", "1Gi", "1Gi")
	w := newWorld(t, claim, pv)
	w.backend.Put("x", gib)
	fail := func(cause *cephclient.Cause) (events string) {
		w.backend.Fault = func(string, cephclient.Volume) error { return cephclient.NewError(cause, "grow", "", true) }
		for range 3 {
			if err := w.sync(t); !errors.Is(err, cause) {
				t.Fatal(err)
			}
			events += w.events()
		}
		claim, _ := w.objects(t)
		if at := claim.Status.Conditions[0]; at.Type != corev1.PersistentVolumeClaimResizing || !strings.Contains(at.Message, cause.Error()) {
			t.Errorf("condition %+v does not say %s", at, cause)
		}
		return events
	}
	for _, cause := range []*cephclient.Cause{cephclient.ErrTimeout, cephclient.ErrDenied} {
		if events := fail(cause); strings.Count(events, reasonFailed) != 1 {
			t.Errorf("three attempts told %s", events)
		}
	}
	w.backend.Fault = nil
	if err := w.sync(t); err != nil {
		t.Fatal(err)
	}
	if len(w.resizer.told.claims) > 0 {
		t.Errorf("still remembered: %v", w.resizer.told.claims)
	}
}

func TestNothingToDoCostsNothing(t *testing.T) {
	for state, c := range map[string]struct {
		requested string
		change    change
	}{
		"as large as asked for": {"1Gi", nil},
		"volume of another provisioner": {"2Gi", func(_ *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) {
			pv.Annotations["pv.kubernetes.io/provisioned-by"] = "example.com/other"
		}},
		"volume is CSI's by migration": {"2Gi", func(_ *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) {
			pv.Annotations["pv.kubernetes.io/migrated-to"] = "rbd.csi.ceph.com"
		}},
		"claim whose volume is not there": {"2Gi", func(c *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume) { c.Spec.VolumeName = "pvc-2" }},
	} {
		t.Run(state, func(t *testing.T) {
			claim, pv := pair(c.requested, "1Gi", "1Gi")
			if c.change != nil {
				c.change(claim, pv)
			}
			w := newWorld(t, claim, pv)
			if err := w.sync(t); err != nil {
				t.Fatal(err)
			}
			if actions := w.client.Actions(); len(actions) > 0 {
				t.Errorf("API calls: %v", actions)
			}
		})
	}
}

func TestMinimalPatch(t *testing.T) {
	claim, _ := pair("2Gi", "1Gi", "1Gi")
	same, err := minimalPatch(claim, claim.DeepCopy(), "7")
	if err != nil || same != nil {
		t.Errorf("no change makes a patch: %s, %v", same, err)
	}
	changed := claim.DeepCopy()
	markFinished(changed, capacity(sizes("2Gi")))
	patch, err := minimalPatch(claim, changed, "7")
	want := `{"metadata":{"resourceVersion":"7"},"status":{"allocatedResources":{"storage":"2Gi"},"capacity":{"storage":"2Gi"}}}`
	if err != nil || string(patch) != want {
		t.Errorf("got %s, %v\nwant %s", patch, err, want)
	}
}

// A start and a resync of a large cluster where nothing is to be done costs
// neither requests nor log lines, and Ceph hears nothing of it.
func TestSteadyClusterIsQuiet(t *testing.T) {
	const claims = 10_000
	kinds := []change{nil, block, cephfs, nodePending}
	claim, pv := pair("1Gi", "1Gi", "1Gi")
	w := newWorld(t, claim, pv)
	w.backend.Fault = func(method string, volume cephclient.Volume) error {
		t.Errorf("%s of %s", method, volume)
		return nil
	}
	for i := range claims {
		claim, pv := pair("1Gi", "1Gi", "1Gi")
		claim.Name, pv.Name = fmt.Sprint("data-", i), fmt.Sprint("pvc-", i)
		claim.Spec.VolumeName, pv.Spec.ClaimRef.Name = pv.Name, claim.Name
		if i%len(kinds) == 3 {
			pv.Spec.Capacity = sizes("2Gi") // the kubelet is waited for
		}
		if change := kinds[i%len(kinds)]; change != nil {
			change(claim, pv)
		}
		for _, add := range []error{w.claims.Add(claim), w.volumes.Add(pv)} {
			if add != nil {
				t.Fatal(add)
			}
		}
		w.resizer.claimChanged(claim, claim)
		w.resizer.volumeChanged(pv)
	}
	var log bytes.Buffer
	logger := klog.NewKlogr()
	klog.LogToStderr(false)
	klog.SetOutput(&log)
	defer klog.LogToStderr(true)
	w.client.ClearActions()
	looked := 0
	for ; w.resizer.queue.Len() > 0; looked++ {
		w.resizer.next(klog.NewContext(t.Context(), logger))
	}
	klog.Flush()
	if looked < claims {
		t.Errorf("%d claims were looked at, want %d", looked, claims)
	}
	if actions := w.client.Actions(); len(actions) > 0 {
		t.Errorf("%d requests, such as %v", len(actions), actions[0])
	}
	if log.Len() > 0 {
		t.Errorf("it logs %s", log.String())
	}
}
