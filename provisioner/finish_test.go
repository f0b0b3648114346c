package provisioner_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/controller"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/cephclient/fake"
	"ceph.example/ceph-provisioner/provisioner"
)

// notes are a journal in memory. Erasing waits for Flush, as it may in a real one.
type notes struct {
	stored map[string]string
	erased []string
	err    error
}

func (n *notes) Write(_ context.Context, key, note string) error {
	if n.err == nil {
		n.stored[key] = note
	}
	return n.err
}

func (n *notes) Erase(key string) { n.erased = append(n.erased, key) }

func (n *notes) Flush(context.Context) error {
	for _, key := range n.erased {
		delete(n.stored, key)
	}
	n.erased = nil
	return nil
}

func (n *notes) Settle(_ context.Context, key string) error {
	if slices.Contains(n.erased, key) {
		delete(n.stored, key)
	}
	return nil
}

func (n *notes) Read(context.Context) (map[string]string, error) { return maps.Clone(n.stored), n.err }

// process is one life of the controller.
type process struct {
	*provisioner.Provisioner
	unfinished *provisioner.Unfinished
	finisher   *provisioner.Finisher
}

func newProcess(journal provisioner.Journal, client kubernetes.Interface, backend *fake.Backend) process {
	return newProcessWith(journal, client, access{backend: backend})
}

func newProcessWith(journal provisioner.Journal, client kubernetes.Interface, access access) process {
	claims, volumes := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{}), cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	listed, _ := client.CoreV1().PersistentVolumes().List(context.Background(), metav1.ListOptions{})
	for i := range listed.Items {
		_ = volumes.Add(&listed.Items[i])
	}
	unfinished := provisioner.NewUnfinished(journal)
	known := corelisters.NewPersistentVolumeLister(volumes)
	p := provisioner.New(provisioner.Options{Kind: cephclient.RBD, Access: access, Client: client, Volumes: known, Unfinished: unfinished})
	return process{p, unfinished, &provisioner.Finisher{
		Unfinished: unfinished, Client: client,
		Claims: corelisters.NewPersistentVolumeClaimLister(claims), Volumes: known, Provisioners: map[string]*provisioner.Provisioner{"ours": p},
		Timeout: time.Second, Retries: workqueue.NewItemExponentialFailureRateLimiter(0, 0),
	}}
}

func ownOptions() controller.ProvisionOptions {
	o := options()
	o.StorageClass.Name, o.StorageClass.Provisioner = "fast", "ours"
	return o
}

func TestNothingIsMadeThatIsNotWrittenDown(t *testing.T) {
	backend := &fake.Backend{}
	journal := &notes{err: errors.New("no API server")}
	_, state, err := newProcess(journal, cluster(), backend).Provision(t.Context(), ownOptions())
	if err == nil || state != controller.ProvisioningNoChange || len(backend.Sizes()) != 0 {
		t.Errorf("%s, %v, volumes %v; want an error before anything is made", state, err, backend.Sizes())
	}
}

func TestNotesAreErased(t *testing.T) {
	refused := &fake.Backend{Fault: func(string, cephclient.Volume) error {
		return cephclient.NewError(cephclient.ErrDenied, "create", "", false)
	}}
	for when, c := range map[string]struct {
		backend *fake.Backend
		then    func(process)
	}{
		"when the PersistentVolume is stored": {&fake.Backend{}, func(p process) {
			p.unfinished.Stored(&corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pvc-1-2-3"}})
		}},
		"when nothing was made": {refused, func(process) {}},
	} {
		t.Run(when, func(t *testing.T) {
			journal := &notes{stored: map[string]string{}}
			p := newProcess(journal, cluster(), c.backend)
			_, _, _ = p.Provision(t.Context(), ownOptions())
			if len(journal.stored) != 1 {
				t.Fatalf("notes %v, want one", journal.stored)
			}
			c.then(p)
			_ = journal.Flush(t.Context())
			if len(journal.stored) != 0 {
				t.Errorf("notes %v, want none", journal.stored)
			}
		})
	}
}

// What may have been made at an earlier try is not forgotten because nothing was made at
// the last.
func TestNotesOfWhatMayBeHalfMadeStay(t *testing.T) {
	wrote := true
	backend := &fake.Backend{Fault: func(string, cephclient.Volume) error {
		return cephclient.NewError(cephclient.ErrTimeout, "create", "", wrote)
	}}
	journal := &notes{stored: map[string]string{}}
	p := newProcess(journal, cluster(), backend)
	for range 2 {
		_, _, _ = p.Provision(t.Context(), ownOptions())
		wrote = false
	}
	_ = journal.Flush(t.Context())
	if len(journal.stored) != 1 {
		t.Errorf("notes %v, want one", journal.stored)
	}
}

// A process has made an image and ended. What the next one does depends on the claim.
func TestTheNextProcessFinishes(t *testing.T) {
	claim := func(change func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
		c := options().PVC.DeepCopy()
		change(c)
		return c
	}
	for state, c := range map[string]struct {
		objects  []runtime.Object
		spoil    func(*notes)
		finished bool // a PersistentVolume is stored
		erased   bool
	}{
		"claim gone":            {finished: true, erased: true},
		"claim made again":      {objects: []runtime.Object{claim(func(c *corev1.PersistentVolumeClaim) { c.UID = "4-5-6" })}, finished: true, erased: true},
		"claim bound elsewhere": {objects: []runtime.Object{claim(func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = "another" })}, finished: true, erased: true},
		"claim waiting":         {objects: []runtime.Object{claim(func(*corev1.PersistentVolumeClaim) {})}},
		"claim that was bound": {objects: []runtime.Object{claim(func(c *corev1.PersistentVolumeClaim) {
			c.Spec.VolumeName, c.Status.Phase = "pvc-1-2-3", corev1.ClaimLost
		})}, erased: true},
		"claim whose owner has named the volume": {objects: []runtime.Object{claim(func(c *corev1.PersistentVolumeClaim) {
			c.Spec.VolumeName, c.Status.Phase = "pvc-1-2-3", corev1.ClaimPending
		})}, finished: true, erased: true},
		"image of another PersistentVolume": {objects: []runtime.Object{&corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: "rescued"},
			Spec: corev1.PersistentVolumeSpec{PersistentVolumeSource: corev1.PersistentVolumeSource{
				RBD: &corev1.RBDPersistentVolumeSource{RBDImage: name},
			}},
		}}, erased: true},
		"another's": {spoil: func(n *notes) {
			n.change(func(o *controller.ProvisionOptions) { o.StorageClass.Provisioner = "theirs" })
		}},
		"beside a broken note": {spoil: func(n *notes) { n.stored["broken"] = "{" }, finished: true},
	} {
		t.Run(state, func(t *testing.T) {
			journal, backend := &notes{stored: map[string]string{}}, &fake.Backend{}
			client := cluster(c.objects...)
			if _, _, err := newProcess(journal, client, backend).Provision(t.Context(), ownOptions()); err != nil {
				t.Fatal(err)
			}
			if c.spoil != nil {
				c.spoil(journal)
			}
			newProcess(journal, client, backend).finisher.Pass(t.Context())
			_ = journal.Flush(t.Context())

			pv, err := client.CoreV1().PersistentVolumes().Get(t.Context(), "pvc-1-2-3", metav1.GetOptions{})
			if c.finished == apierrors.IsNotFound(err) {
				t.Fatalf("PersistentVolume %v, %v; stored: want %t", pv, err, c.finished)
			}
			if len(journal.stored) == 0 != c.erased {
				t.Errorf("notes %v; erased: want %t", journal.stored, c.erased)
			}
			if !c.finished {
				return
			}
			if ref := pv.Spec.ClaimRef; ref == nil || ref.UID != "1-2-3" || ref.Namespace != "ns" || ref.Name != "data" ||
				pv.Spec.StorageClassName != "fast" || pv.Annotations["pv.kubernetes.io/provisioned-by"] != "ours" {
				t.Errorf("%+v: want it to be that of the claim and the class", pv)
			}
		})
	}
}

// change edits the only note.
func (n *notes) change(edit func(*controller.ProvisionOptions)) {
	for key, text := range n.stored {
		var note struct {
			StorageClass json.RawMessage `json:"storageClass"`
			Claim        json.RawMessage `json:"claim"`
		}
		o := controller.ProvisionOptions{}
		_ = json.Unmarshal([]byte(text), &note)
		_ = json.Unmarshal(note.StorageClass, &o.StorageClass)
		edit(&o)
		note.StorageClass, _ = json.Marshal(o.StorageClass)
		edited, _ := json.Marshal(note)
		n.stored[key] = string(edited)
	}
}

// The library forgets a claim when its class is deleted. The same process then finishes
// what it has begun.
func TestWhatTheLibraryHasForgottenIsFinished(t *testing.T) {
	journal, client := &notes{stored: map[string]string{}}, cluster()
	fails := true
	backend := &fake.Backend{Fault: func(string, cephclient.Volume) error {
		if fails {
			return cephclient.NewError(cephclient.ErrTimeout, "create", "", true)
		}
		return nil
	}}
	p := newProcess(journal, client, backend)
	if _, state, err := p.Provision(t.Context(), ownOptions()); err == nil || state != controller.ProvisioningInBackground {
		t.Fatalf("%s, %v", state, err)
	}
	for _, c := range []struct {
		when  string
		fails bool
		want  int
	}{
		{"while it can't be made", true, 0},
		{"later", false, 1},
	} {
		fails = c.fails
		p.finisher.Pass(t.Context())
		_ = journal.Flush(t.Context())
		volumes, err := client.CoreV1().PersistentVolumes().List(t.Context(), metav1.ListOptions{})
		if err != nil || len(volumes.Items) != c.want || len(journal.stored) != 1-c.want {
			t.Errorf("%s: %d PersistentVolumes, notes %v, %v; want %d", c.when, len(volumes.Items), journal.stored, err, c.want)
		}
	}
}

// The library may try once more what has been finished, and deleted since.
func TestWhatIsFinishedIsNotMadeAgain(t *testing.T) {
	journal, client, backend := &notes{stored: map[string]string{}}, cluster(), &fake.Backend{}
	p := newProcess(journal, client, backend)
	if _, _, err := p.Provision(t.Context(), ownOptions()); err != nil {
		t.Fatal(err)
	}
	p.finisher.Pass(t.Context())
	if err := backend.Delete(t.Context(), cephclient.Volume{Name: name}); err != nil {
		t.Fatal(err)
	}
	_, state, err := p.Provision(t.Context(), ownOptions())
	var ignored *controller.IgnoredError
	if !errors.As(err, &ignored) || state != controller.ProvisioningFinished || len(backend.Sizes()) > 0 {
		t.Errorf("%s, %v, volumes %v", state, err, backend.Sizes())
	}
}

// The note on a volume is gone before the volume is, whichever process has begun it, and
// whenever it ends: the next one would make it once more.
func TestWhatIsDeletedIsNotMadeAgain(t *testing.T) {
	for begunBy, c := range map[string]struct{ ended, stored bool }{
		"this process":     {stored: true},
		"an earlier one":   {ended: true, stored: true},
		"one that is late": {ended: true},
	} {
		t.Run(begunBy, func(t *testing.T) {
			journal, backend := &notes{stored: map[string]string{}}, &fake.Backend{}
			pv := released(t, backend)
			client := cluster(pv)
			p := newProcess(journal, client, backend)
			if _, _, err := p.Provision(t.Context(), ownOptions()); err != nil || len(journal.stored) != 1 {
				t.Fatal(err, journal.stored)
			}
			if c.ended {
				p = newProcess(journal, client, backend)
			}
			if c.stored {
				p.unfinished.Stored(pv)
			}
			if err := p.Delete(t.Context(), pv); err != nil || len(backend.Sizes()) > 0 {
				t.Fatal(err, backend.Sizes())
			}
			if len(journal.stored) > 0 {
				t.Errorf("notes %v, want none", journal.stored)
			}
		})
	}
}

// A namespace that is deleted takes the nodes' secret with it. What was begun for a claim in it
// is finished nevertheless; what was not, is not begun.
func TestTheNextProcessFinishesWithoutTheSecretsOfTheNamespace(t *testing.T) {
	for state, begun := range map[string]bool{"begun": true, "not begun": false} {
		t.Run(state, func(t *testing.T) {
			journal, client, backend := &notes{stored: map[string]string{}}, cluster(), &fake.Backend{}
			if begun {
				if _, _, err := newProcess(journal, client, backend).Provision(t.Context(), ownOptions()); err != nil {
					t.Fatal(err)
				}
			}
			next := newProcessWith(journal, client, access{backend: backend, fails: "NodesKey"})
			next.finisher.Pass(t.Context())
			if !begun {
				if _, _, err := next.Provision(t.Context(), ownOptions()); err == nil {
					t.Error("it is begun")
				}
			}
			if volumes, err := client.CoreV1().PersistentVolumes().List(t.Context(), metav1.ListOptions{}); err != nil || len(volumes.Items) == 1 != begun {
				t.Errorf("%v, %v", volumes.Items, err)
			}
		})
	}
}

// While a try is under way, the PersistentVolume that another has stored does not end the
// note, because what the one still makes would be forgotten; and nobody else begins.
func TestNotesStayWhileATryIsUnderWay(t *testing.T) {
	journal, client := &notes{stored: map[string]string{}}, cluster()
	var p process
	looked := false
	backend := &fake.Backend{Fault: func(string, cephclient.Volume) error {
		if !looked {
			looked = true
			p.unfinished.Stored(&corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pvc-1-2-3"}})
			p.finisher.Pass(t.Context())
		}
		return nil
	}}
	p = newProcess(journal, client, backend)
	if _, _, err := p.Provision(t.Context(), ownOptions()); err != nil {
		t.Fatal(err)
	}
	volumes, err := client.CoreV1().PersistentVolumes().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(volumes.Items) != 0 || len(journal.stored) != 1 {
		t.Errorf("%d PersistentVolumes, notes %v, %v; want the note and nothing else", len(volumes.Items), journal.stored, err)
	}
}

// What an earlier process may have made is not forgotten because this one makes nothing
// at its first try.
func TestNotesOfEarlierProcessesStay(t *testing.T) {
	wrote := true
	backend := &fake.Backend{Fault: func(string, cephclient.Volume) error {
		return cephclient.NewError(cephclient.ErrTimeout, "create", "", wrote)
	}}
	journal := &notes{stored: map[string]string{}}
	for range 2 {
		_, _, _ = newProcess(journal, cluster(), backend).Provision(t.Context(), ownOptions())
		wrote = false
	}
	_ = journal.Flush(t.Context())
	if len(journal.stored) != 1 {
		t.Errorf("notes %v, want one", journal.stored)
	}
}

// A tenant can't fill the journal with a claim.
func TestNotesAreShort(t *testing.T) {
	journal := &notes{stored: map[string]string{}}
	o := ownOptions()
	for range 50_000 {
		o.PVC.Spec.AccessModes = append(o.PVC.Spec.AccessModes, corev1.ReadWriteOnce)
	}
	o.PVC.Annotations = map[string]string{"a": strings.Repeat("x", 1<<18)}
	if _, _, err := newProcess(journal, cluster(), &fake.Backend{}).Provision(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if size := len(journal.stored["pvc-1-2-3"]); size > 1024 {
		t.Errorf("the note has %d bytes", size)
	}
}

// Chosen names come again: what the second claim of a name has is not the first's.
func TestTheVolumeOfANameThatHasComeAgainIsNotTheFirsts(t *testing.T) {
	journal, client := &notes{stored: map[string]string{}}, cluster()
	if _, _, err := newProcess(journal, client, &fake.Backend{}).Provision(t.Context(), ownOptions()); err != nil {
		t.Fatal(err)
	}
	taken := &fake.Backend{Fault: func(string, cephclient.Volume) error {
		return cephclient.NewError(cephclient.ErrExists, "create", "it belongs to another claim", false)
	}}
	newProcess(journal, client, taken).finisher.Pass(t.Context())
	_ = journal.Flush(t.Context())
	if len(journal.stored) != 0 {
		t.Errorf("notes %v, want none", journal.stored)
	}
}
