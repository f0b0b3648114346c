package provisioner

import (
	"context"
	"encoding/json"
	"fmt"
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
	Read(ctx context.Context) (map[string]string, error)
}

// Unfinished knows what is being provisioned: from before anything is made in Ceph until
// the PersistentVolume is stored. The library knows it, too, but forgets it when the
// process ends, and when a class is deleted: if the claim is deleted as well, nothing
// else in Kubernetes leads to what was made.
type Unfinished struct {
	journal Journal
	mu      sync.Mutex
	begun   map[string]*begun // by the PersistentVolume's name
}

// begun is one volume that is being provisioned.
type begun struct {
	controller.ProvisionOptions
	lastTry time.Time // the zero time if an earlier process has begun it
	finish  time.Time // not before
}

// note is what the journal says of it.
type note struct {
	StorageClass *storagev1.StorageClass       `json:"storageClass"`
	Claim        *corev1.PersistentVolumeClaim `json:"claim"`
}

// NewUnfinished knows nothing until it has read the journal.
func NewUnfinished(journal Journal) *Unfinished {
	return &Unfinished{journal: journal, begun: map[string]*begun{}}
}

// begin is called before anything is made. first says that this is the first try.
func (u *Unfinished) begin(ctx context.Context, options controller.ProvisionOptions) (first bool, err error) {
	if u == nil {
		return false, nil // a command that provisions nothing
	}
	u.mu.Lock()
	known := u.begun[options.PVName]
	if known != nil {
		known.lastTry = time.Now()
	}
	u.mu.Unlock()
	if known != nil {
		return false, nil
	}
	text, err := json.Marshal(noteOf(options))
	if err != nil {
		return false, err
	}
	if err := u.journal.Write(ctx, options.PVName, string(text)); err != nil {
		return false, fmt.Errorf("nothing is made before it is written down: %w", err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.begun[options.PVName] = &begun{ProvisionOptions: options, lastTry: time.Now()}
	return true, nil
}

// end is called when the PersistentVolume is stored, or when nothing was made.
func (u *Unfinished) end(volume string) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, known := u.begun[volume]; known {
		delete(u.begun, volume)
		u.journal.Erase(volume)
	}
}

// Stored is told of all PersistentVolumes that the API server has.
func (u *Unfinished) Stored(pv *corev1.PersistentVolume) { u.end(pv.Name) }

// recall adds what earlier processes have begun.
func (u *Unfinished) recall(ctx context.Context) error {
	notes, err := u.journal.Read(ctx)
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for volume, text := range notes {
		var written note
		err := json.Unmarshal([]byte(text), &written)
		switch {
		case err != nil || written.StorageClass == nil || written.Claim == nil:
			klog.FromContext(ctx).Error(err, "A note of the journal can't be read: see what Ceph has of the volume, and remove the note", "persistentVolume", volume)
		case u.begun[volume] == nil:
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

// abandoned are those that nobody has tried for a time.
func (u *Unfinished) abandoned(quiet time.Duration) (all []*begun) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	for _, each := range u.begun {
		if now.Sub(each.lastTry) > quiet && now.After(each.finish) {
			copied := *each
			all = append(all, &copied)
		}
	}
	return all
}

// noteOf leaves out what provisioning does not read.
func noteOf(options controller.ProvisionOptions) note {
	class, claim := options.StorageClass, options.PVC
	return note{
		StorageClass: &storagev1.StorageClass{
			ObjectMeta: metav1.ObjectMeta{Name: class.Name}, Provisioner: class.Provisioner,
			Parameters: class.Parameters, ReclaimPolicy: class.ReclaimPolicy, MountOptions: class.MountOptions,
		},
		Claim: &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID}, Spec: claim.Spec,
		},
	}
}
