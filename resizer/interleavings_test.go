package resizer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"

	"ceph.example/ceph-provisioner/cephclient"
	cephfake "ceph.example/ceph-provisioner/cephclient/fake"
	"ceph.example/ceph-provisioner/pvspec"
	"ceph.example/ceph-provisioner/stalled"
)

// model is one claim, its volume, and everybody who may touch them. Each move
// is one effect of one of them, so that a generated list of moves is an
// interleaving, with crashes, of whatever may happen at the same time.
type model struct {
	*cephfake.Backend // but for Grow

	t    *testing.T
	seed uint64
	rand *rand.Rand
	gate bool // RecoverVolumeExpansionFailure
	kind string

	claim       *corev1.PersistentVolumeClaim
	pv          *corev1.PersistentVolume
	claimBefore *corev1.PersistentVolumeClaim // the last write
	pvBefore    *corev1.PersistentVolume
	settling    bool // and informers are not late
	version     int  // of the last write to any object
	writes      int

	manager   manager
	outcome   outcome
	asked     int64              // the largest size that anybody may have given the volume
	mounted   bool               // by one pod
	knows     *resource.Quantity // the size that its kubelet compares the volume's with
	unnoticed bool               // Ceph may have more than the claim and the volume agree on
	resizers  [2]*Resizer
	runs      [2]*run // nil: the controller does nothing at the moment
	moves     []string
}

// outcome is what Ceph does with the next growth.
type outcome int

const (
	works  outcome = iota
	closed         // it cannot even be connected to
	denies
	unread // whether there is enough is not known
	timesOutBefore
	timesOutAfter
	outcomes
)

func newModel(t *testing.T, seed uint64) *model {
	m := &model{t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 0)), Backend: &cephfake.Backend{}, asked: gib}
	m.gate = m.rand.IntN(2) == 0
	m.claim, m.pv = pair("1Gi", "1Gi", "1Gi")
	m.claimBefore, m.pvBefore = m.claim, m.pv
	m.pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
	switch m.kind = []string{"file system", "block", "CephFS"}[m.rand.IntN(3)]; m.kind {
	case "block":
		block(m.claim, m.pv)
	case "CephFS":
		cephfs(m.claim, m.pv)
	}
	m.Put("x", gib)
	for i := range m.resizers {
		client := m.client()
		m.resizers[i] = &Resizer{
			options: Options{Provisioners: provisioners, Timeout: time.Minute},
			client:  client,
			access:  m,
			told:    &told{recorder: &record.FakeRecorder{}},
			pods:    newPods(client),
			stalled: stalled.New().Queue(nil),
		}
	}
	return m
}

// client is an API server that holds the model's objects and refuses outdated
// patches. Claims keep their allocated resources only if the gate is on.
func (m *model) client() *fake.Clientset {
	client := &fake.Clientset{}
	client.AddReactor("get", "persistentvolumeclaims", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, m.claim.DeepCopy(), nil
	})
	client.AddReactor("get", "persistentvolumes", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, m.pv.DeepCopy(), nil
	})
	client.AddReactor("patch", "persistentvolumeclaims", func(action clienttesting.Action) (bool, runtime.Object, error) {
		patched, err := patched(action, m.claim)
		if err == nil {
			m.writeClaim(patched, "the controller")
		}
		return true, m.claim.DeepCopy(), err
	})
	client.AddReactor("patch", "persistentvolumes", func(action clienttesting.Action) (bool, runtime.Object, error) {
		patched, err := patched(action, m.pv)
		if err == nil && !equality.Semantic.DeepEqual(patched, m.pv) {
			m.storeVolume(patched)
		}
		return true, m.pv.DeepCopy(), err
	})
	client.AddReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		list := &corev1.PodList{}
		if m.mounted {
			list.Items = append(list.Items, podWith("data"))
		}
		return true, list, nil
	})
	return client
}

func podWith(claim string) corev1.Pod {
	source := corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}
	return corev1.Pod{Spec: corev1.PodSpec{NodeName: "node", Volumes: []corev1.Volume{{Name: "v", VolumeSource: source}}}}
}

type object interface {
	runtime.Object
	GetName() string
	GetResourceVersion() string
	SetResourceVersion(string)
}

func patched[T object](action clienttesting.Action, stored T) (changed T, err error) {
	patch := action.(clienttesting.PatchAction)
	var claimed struct {
		Metadata struct{ ResourceVersion string }
	}
	if err := json.Unmarshal(patch.GetPatch(), &claimed); err != nil {
		return changed, err
	}
	if patch.GetName() != stored.GetName() || claimed.Metadata.ResourceVersion != stored.GetResourceVersion() {
		return changed, apierrors.NewConflict(corev1.Resource("x"), patch.GetName(), fmt.Errorf("outdated"))
	}
	before, err := json.Marshal(stored)
	if err != nil {
		return changed, err
	}
	after, err := strategicpatch.StrategicMergePatch(before, patch.GetPatch(), stored)
	if err != nil {
		return changed, err
	}
	if err := json.Unmarshal(after, &changed); err != nil {
		return changed, err
	}
	return changed, nil
}

func (m *model) storeClaim(claim *corev1.PersistentVolumeClaim) {
	m.claim, m.claimBefore = claim, m.claim
	m.wrote(claim)
}

func (m *model) storeVolume(pv *corev1.PersistentVolume) {
	m.pv, m.pvBefore = pv, m.pv
	m.wrote(pv)
}

func (m *model) wrote(written object) {
	m.version++
	m.writes++
	written.SetResourceVersion(strconv.Itoa(100 + m.version))
}

// writeClaim is for everybody but the controllers. What changes nothing is no
// write for the API server.
func (m *model) writeClaim(claim *corev1.PersistentVolumeClaim, who string) {
	if !m.gate {
		claim.Status.AllocatedResources, claim.Status.AllocatedResourceStatuses = nil, nil
	}
	if equality.Semantic.DeepEqual(claim, m.claim) {
		return
	}
	m.storeClaim(claim)
	m.note("%s writes request %s, %+v", who, claim.Spec.Resources.Requests.Storage(), claim.Status)
}

// Open implements Access, as Grow does cephclient.Backend.
func (m *model) Open(ctx context.Context, pv *corev1.PersistentVolume) (cephclient.Backend, cephclient.Volume, error) {
	_, volume, err := access{}.Open(ctx, pv)
	if m.outcome == closed {
		err = errors.New("the secret does not exist")
	}
	return m, volume, err
}

func (m *model) Grow(ctx context.Context, volume cephclient.Volume, sizeBytes int64) (cephclient.Info, error) {
	switch m.outcome {
	case unread:
		return cephclient.Info{}, &cephclient.Error{Cause: cephclient.ErrTimeout, Wrote: true}
	case denies:
		return cephclient.Info{}, cephclient.NewError(cephclient.ErrDenied, "grow", "", true)
	case timesOutAfter:
		if _, err := m.Backend.Grow(ctx, volume, sizeBytes); err != nil {
			return cephclient.Info{}, err
		}
		m.unnoticed = m.unnoticed || m.gate // see drop
		fallthrough
	case timesOutBefore:
		return cephclient.Info{}, cephclient.NewError(cephclient.ErrTimeout, "grow", "", true)
	}
	return m.Backend.Grow(ctx, volume, sizeBytes)
}

func (m *model) size() int64 { return m.Sizes()["x"] }

// move lets somebody do one thing.
func (m *model) move() {
	switch choice := m.rand.IntN(20); {
	case choice < 9:
		m.control(m.rand.IntN(2))
	case choice == 9:
		m.crash(m.rand.IntN(2))
	case choice < 12:
		m.ask()
	case choice < 15:
		m.controllerManager()
	case choice == 15:
		m.kubelet()
	case choice == 16:
		m.pod()
	case choice == 17:
		m.outcome = outcome(m.rand.IntN(int(outcomes)))
		m.note("Ceph's next answer: %d", m.outcome)
	case choice == 18:
		m.administrator()
	default:
		m.note("somebody writes")
		m.storeClaim(m.claim.DeepCopy())
		m.storeVolume(m.pv.DeepCopy())
	}
}

func (m *model) note(format string, args ...any) {
	m.moves = append(m.moves, fmt.Sprintf(format, args...))
}

// control does one step of a controller, and checks that it may do that.
func (m *model) control(i int) {
	if m.runs[i] == nil {
		m.runs[i] = m.cached()
		m.note("controller %d looks at its caches", i)
		return
	}
	step := decide(m.runs[i].claim, m.runs[i].pv, m.runs[i].class, m.runs[i].seen, m.resizers[i].options)
	if step == stepNothing {
		m.runs[i] = nil
		m.note("controller %d is done", i)
		return
	}
	status, volume := capacity(m.claim.Status.Capacity), capacity(m.pv.Spec.Capacity)
	err := m.resizers[i].advance(context.Background(), m.runs[i], step)
	m.note("controller %d: %s, %v", i, step, err)
	if err != nil {
		m.drop(i)
	}
	m.check(status, volume)
}

// cached is a run that begins with what the informers have: each is perhaps one write late.
func (m *model) cached() *run {
	claim, pv := m.claim, m.pv
	if !m.settling && m.rand.IntN(4) == 0 {
		claim = m.claimBefore
	}
	if !m.settling && m.rand.IntN(4) == 0 {
		pv = m.pvBefore
	}
	return &run{claim: claim.DeepCopy(), pv: pv.DeepCopy(), class: class(true)}
}

// check looks at what must hold after each step of a controller.
func (m *model) check(statusBefore, volumeBefore resource.Quantity) {
	status, volume := capacity(m.claim.Status.Capacity), capacity(m.pv.Spec.Capacity)
	if m.size() > m.asked {
		m.fail("the volume has %d bytes; nobody asked for more than %d", m.size(), m.asked)
	}
	if status.Cmp(statusBefore) != 0 {
		if m.kind == "file system" && (status.Cmp(statusBefore) > 0 || status.Value() != m.size()) {
			m.fail("the claim's capacity is the kubelet's to set")
		}
		if status.Value() > m.size() {
			m.fail("the claim says %s, Ceph %d", status.String(), m.size())
		}
	}
	if m.kind == "CephFS" && m.mounted && volume.Cmp(volumeBefore) > 0 && volume.Cmp(*m.knows) > 0 {
		m.fail("the volume says %s, its kubelet knows %s, and logs ten lines a second", volume.String(), m.knows.String())
	}
}

// drop ends a run. What Ceph said is lost with it: if the user then asks for less,
// and the other controller or the kubelet ends another growth, which clears all
// marks, the claim is content with less than there is (docs/expansion.md, Giving up).
func (m *model) drop(i int) {
	if run := m.runs[i]; run != nil && run.seen.size != nil && m.gate {
		m.unnoticed = true
	}
	m.runs[i] = nil
}

func (m *model) crash(i int) {
	m.drop(i)
	m.note("controller %d crashes", i)
}

// ask edits the claim's request as the API server allows it: less only with the
// gate on, and more than there is.
func (m *model) ask() {
	now, status := capacity(m.claim.Spec.Resources.Requests), capacity(m.claim.Status.Capacity)
	size := *resource.NewQuantity(now.Value()+m.rand.Int64N(gib), resource.BinarySI)
	if m.gate && m.rand.IntN(2) == 0 && now.Cmp(status) > 0 {
		size = *resource.NewQuantity(status.Value()+1+m.rand.Int64N(now.Value()-status.Value()), resource.BinarySI)
	}
	m.askFor(size)
}

func (m *model) askFor(size resource.Quantity) {
	now := capacity(m.claim.Spec.Resources.Requests)
	m.asked = max(m.asked, size.Value())
	m.manager.due = m.manager.due || size.Cmp(now) > 0
	claim := m.claim.DeepCopy()
	claim.Spec.Resources.Requests = with(nil, size)
	m.writeClaim(claim, "the user")
}

// manager is kube-controller-manager's expand controller, as far as it has come.
type manager struct {
	due   bool // it looks at claims that ask for more, and at what has failed
	claim *corev1.PersistentVolumeClaim
}

// controllerManager does one of its two writes for in-tree RBD volumes
// (k8s.io/kubernetes pkg/controller/volume/expand/expand_controller.go and
// pkg/volume/util/operationexecutor/operation_generator.go).
func (m *model) controllerManager() {
	asked, status, volume := capacity(m.claim.Spec.Resources.Requests), capacity(m.claim.Status.Capacity), capacity(m.pv.Spec.Capacity)
	switch {
	case m.manager.claim != nil:
		m.controllerManagerEnds(asked, volume)
	case m.kind == "CephFS" || !m.manager.due || asked.Cmp(status) <= 0:
		m.manager.due = false
	case m.gate:
		m.controllerManagerRecovers(asked, volume)
	default:
		claim := m.claim.DeepCopy()
		dropCondition(claim, corev1.PersistentVolumeClaimFileSystemResizePending)
		condition(claim, corev1.PersistentVolumeClaimResizing)
		m.writeClaim(claim, "kube-controller-manager")
		m.manager.claim = m.claim.DeepCopy()
	}
}

func (m *model) controllerManagerEnds(asked, volume resource.Quantity) {
	claim := m.manager.claim
	m.manager.claim = nil
	if volume.Cmp(asked) < 0 || claim.ResourceVersion != m.claim.ResourceVersion {
		return // it finds no rbd, or somebody has written: it tries again
	}
	m.manager.due = false
	if m.kind == "block" {
		markFinished(claim, asked)
	} else {
		dropCondition(claim, corev1.PersistentVolumeClaimResizing)
		condition(claim, corev1.PersistentVolumeClaimFileSystemResizePending)
	}
	m.writeClaim(claim, "kube-controller-manager")
}

func (m *model) controllerManagerRecovers(asked, volume resource.Quantity) {
	claim := m.claim.DeepCopy()
	state := claim.Status.AllocatedResourceStatuses[corev1.ResourceStorage]
	size := asked
	if allocated, ok := claim.Status.AllocatedResources[corev1.ResourceStorage]; ok && (state != "" || volume.Cmp(asked) >= 0) {
		size = allocated
	}
	if volume.Cmp(asked) >= 0 && state == corev1.PersistentVolumeClaimNodeResizePending {
		m.manager.due = false
		return
	}
	markBegun(claim, size) // and then it finds no rbd
	m.writeClaim(claim, "kube-controller-manager")
}

// kubelet grows the file system of a mounted image.
func (m *model) kubelet() {
	status, volume := capacity(m.claim.Status.Capacity), capacity(m.pv.Spec.Capacity)
	if m.kind != "file system" || !m.mounted || status.Cmp(volume) >= 0 {
		return
	}
	claim := m.claim.DeepCopy()
	markFinished(claim, volume)
	m.writeClaim(claim, "the kubelet")
	m.manager.due = true
}

func (m *model) pod() {
	if m.mounted = !m.mounted; m.mounted {
		size := capacity(m.claim.Status.Capacity)
		m.knows = &size
	}
	m.note("a pod uses the volume: %t", m.mounted)
}

// administrator grows the volume in Ceph, or writes a capacity to the
// PersistentVolume, as after restoring it from a backup.
func (m *model) administrator() {
	m.unnoticed = true
	if m.rand.IntN(2) == 0 {
		m.asked = max(m.asked, m.size()+m.rand.Int64N(gib))
		m.Put("x", max(m.size(), m.asked))
		m.note("administrator grows the volume to %d", m.size())
		return
	}
	size := *resource.NewQuantity(gib/2+m.rand.Int64N(2*gib), resource.BinarySI)
	if m.kind == "file system" && size.Value() > m.size() {
		return // the kubelet would believe it, and then nobody asks Ceph
	}
	pv := m.pv.DeepCopy()
	pv.Spec.Capacity = with(nil, size)
	m.storeVolume(pv)
	m.note("administrator writes %s to the PersistentVolume", size.String())
}

// settle lets everybody but the user go on until nobody has anything to do.
func (m *model) settle() {
	m.note("all faults end")
	m.outcome, m.settling = works, true
	defer func() { m.settling = false }()
	for range 30 {
		before := m.writes
		for i := range m.runs {
			for m.control(i); m.runs[i] != nil; m.control(i) {
			}
			for m.controllerManager(); m.manager.claim != nil; m.controllerManager() {
			}
			m.kubelet()
		}
		if m.writes == before {
			return
		}
	}
	m.fail("it never ends")
}

func (m *model) wantSettled() {
	size := resource.NewQuantity(m.size(), resource.BinarySI)
	asked, status, volume := capacity(m.claim.Spec.Resources.Requests), capacity(m.claim.Status.Capacity), capacity(m.pv.Spec.Capacity)
	later := m.kind == "CephFS" && m.mounted && volume.Cmp(*size) < 0
	switch {
	case asked.Cmp(*size) > 0:
		m.fail("the claim asks for %s, Ceph has %s", asked.String(), size.String())
	case volume.Cmp(*size) != 0 && !later:
		m.fail("the volume says %s, Ceph %s", volume.String(), size.String())
	case later && !pvspec.IsPostponedTo(m.pv, *size), !later && pvspec.IsPostponed(m.pv):
		m.fail("the volume's capacity %s; put off: %v", volume.String(), m.pv.Annotations)
	case m.kind == "file system" && !m.mounted && status.Cmp(*size) < 0:
		if !isNodePending(m.claim) || hasCondition(m.claim, corev1.PersistentVolumeClaimResizing) {
			m.fail("the kubelet is not waited for")
		}
	case m.kind == "file system" && status.Cmp(*size) < 0, m.kind != "file system" && status.Cmp(*size) != 0:
		m.fail("the claim says %s, Ceph %s", status.String(), size.String())
	case isMarked(m.claim):
		m.fail("marks are left")
	}
}

func (m *model) fail(format string, args ...any) {
	m.t.Helper()
	moves := ""
	for _, each := range m.moves {
		moves += "\n  " + each
	}
	m.t.Fatalf("seed %d, %s, gate %t: %s\nclaim: %+v\nvolume: %+v %v\nafter%s", m.seed, m.kind, m.gate, fmt.Sprintf(format, args...),
		m.claim.Status, m.pv.Spec.Capacity, m.pv.Annotations, moves)
}

// Whatever happens in between, and wherever a controller stops, what the user
// asked for is there in the end, and nothing else.
func TestInterleavings(t *testing.T) {
	seeds := []uint64{59252} // that found a fault once
	for seed := range uint64(1000) {
		seeds = append(seeds, seed)
	}
	for _, seed := range seeds {
		m := newModel(t, seed)
		for range 10 + m.rand.IntN(60) {
			m.move()
		}
		m.crash(0)
		m.crash(1)
		if m.unnoticed { // which nobody notices until there is another reason to ask Ceph
			m.askFor(*resource.NewQuantity(m.size()+1, resource.BinarySI))
		}
		m.settle()
		m.wantSettled()
		if m.mounted {
			m.pod()
			m.settle()
			m.wantSettled()
		}
	}
}
