package provisioner

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/controller"
)

// Journal keeps notes beyond the end of this process.
type Journal interface {
	// Write returns when the note is stored; after an error it may be or not.
	Write(ctx context.Context, key, note string) error
	// Erase happens some time.
	Erase(key string)
	// Flush has it happened.
	Flush(ctx context.Context) error
	// Settle returns when it has happened to one note.
	Settle(ctx context.Context, key string) error
	Read(ctx context.Context) (map[string]string, error)
}

// Unfinished knows what is being provisioned: from before anything is made in Ceph until
// the PersistentVolume is stored. The library knows it, too, but forgets it when the
// process ends, and when a class is deleted: if the claim is deleted as well, nothing
// else in Kubernetes leads to what was made.
type Unfinished struct {
	journal   Journal
	recalling sync.Mutex
	recalled  bool // what earlier processes have begun is known

	mu       sync.Mutex
	begun    map[string]*begun    // by the PersistentVolume's name
	finished map[string]time.Time // the same, of claims that are gone, and since when
}

// finishedFor is longer than the library waits between two tries.
const finishedFor = time.Hour

// begun is one volume that is being provisioned.
type begun struct {
	controller.ProvisionOptions
	tries  int       // that are under way
	finish time.Time // not before
}

// note is what the journal says of it.
type note struct {
	StorageClass *storagev1.StorageClass       `json:"storageClass"`
	Claim        *corev1.PersistentVolumeClaim `json:"claim"`
}

// NewUnfinished knows nothing until it has read the journal.
func NewUnfinished(journal Journal) *Unfinished {
	return &Unfinished{journal: journal, begun: map[string]*begun{}, finished: map[string]time.Time{}}
}

// begin is called before anything is made, and ended when the try has ended: made says
// that it may have made something.
func (u *Unfinished) begin(ctx context.Context, options controller.ProvisionOptions) (ended func(made bool), err error) {
	if u == nil {
		return func(bool) {}, nil // a command that provisions nothing
	}
	if err := u.recall(ctx); err != nil {
		return nil, err
	}
	if u.tryAgain(options.PVName) {
		return func(bool) { u.ended(options.PVName) }, nil // an earlier try may have made something
	}
	text, err := json.Marshal(noteOf(options))
	if err != nil {
		return nil, err
	}
	if err := u.journal.Write(ctx, options.PVName, string(text)); err != nil {
		u.journal.Erase(options.PVName) // it may be stored after all
		return nil, fmt.Errorf("nothing is made before it is written down: %w", err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.begun[options.PVName] = &begun{ProvisionOptions: options, tries: 1}
	return func(made bool) {
		u.ended(options.PVName)
		if !made {
			u.forget(options.PVName)
		}
	}, nil
}

// finish is called when the PersistentVolume of a claim that is gone is stored. The library,
// which may still have the claim in mind, is not to make it once more.
func (u *Unfinished) finish(volume string) {
	u.forget(volume)
	u.mu.Lock()
	defer u.mu.Unlock()
	maps.DeleteFunc(u.finished, func(_ string, since time.Time) bool { return time.Since(since) > finishedFor })
	u.finished[volume] = time.Now()
}

func (u *Unfinished) isFinished(volume string) bool {
	if u == nil {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	_, finished := u.finished[volume]
	return finished
}

// knows reports whether an earlier try may have made something.
func (u *Unfinished) knows(volume string) bool {
	if u == nil {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.begun[volume] != nil
}

func (u *Unfinished) tryAgain(volume string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	known := u.begun[volume]
	if known != nil {
		known.tries++
	}
	return known != nil
}

func (u *Unfinished) ended(volume string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if known := u.begun[volume]; known != nil {
		known.tries--
	}
}

// forget is called when the PersistentVolume is stored, or when nothing was made. While
// tries are under way, what they make would be forgotten.
func (u *Unfinished) forget(volume string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if known := u.begun[volume]; known != nil && known.tries == 0 {
		delete(u.begun, volume)
		u.journal.Erase(volume)
	}
}

// Stored is told of PersistentVolumes that the API server has.
func (u *Unfinished) Stored(pv *corev1.PersistentVolume) { u.forget(pv.Name) }

// settle returns when the journal has no note of a volume whose PersistentVolume is about to
// be deleted. The next process would take it for one that was never stored, and make it once
// more, to finish it.
func (u *Unfinished) settle(ctx context.Context, volume string) error {
	if u == nil {
		return nil // a command that provisions nothing
	}
	if err := u.recall(ctx); err != nil {
		return err
	}
	u.forget(volume)
	return u.journal.Settle(ctx, volume)
}

// recall adds what earlier processes have begun, once.
func (u *Unfinished) recall(ctx context.Context) error {
	u.recalling.Lock()
	defer u.recalling.Unlock()
	if u.recalled {
		return nil
	}
	notes, err := u.journal.Read(ctx)
	if err != nil {
		return err
	}
	u.recalled = true
	u.mu.Lock()
	defer u.mu.Unlock()
	for volume, text := range notes {
		var written note
		err := json.Unmarshal([]byte(text), &written)
		switch {
		case err != nil || written.StorageClass == nil || written.Claim == nil:
			klog.FromContext(ctx).Error(err, "A note of the journal can't be read: see what Ceph has of the volume, and remove the note", "persistentVolume", volume)
		default:
			u.begun[volume] = &begun{ProvisionOptions: controller.ProvisionOptions{
				PVName: volume, StorageClass: written.StorageClass, PVC: written.Claim,
			}}
		}
	}
	return nil
}

// postpone keeps a volume from being finished for a time.
func (u *Unfinished) postpone(volume string, pause time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if known := u.begun[volume]; known != nil {
		known.finish = time.Now().Add(pause)
	}
}

// resting are those that nobody tries at this moment.
func (u *Unfinished) resting() (all []controller.ProvisionOptions) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	for _, each := range u.begun {
		if each.tries == 0 && now.After(each.finish) {
			all = append(all, each.ProvisionOptions)
		}
	}
	return all
}

// noteOf leaves out what provisioning does not read, so that nobody can fill the journal
// with a claim.
func noteOf(options controller.ProvisionOptions) note {
	class, claim := options.StorageClass, options.PVC
	modes := slices.Clone(claim.Spec.AccessModes)
	slices.Sort(modes)
	return note{
		StorageClass: &storagev1.StorageClass{
			ObjectMeta: metav1.ObjectMeta{Name: class.Name}, Provisioner: class.Provisioner,
			Parameters: class.Parameters, ReclaimPolicy: class.ReclaimPolicy, MountOptions: class.MountOptions,
		},
		Claim: &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID},
			Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes: slices.Compact(modes),
				VolumeMode:  claim.Spec.VolumeMode,
				Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{
					corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage],
				}},
			},
		},
	}
}
