package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

// task is a volume that is to be made, grown or deleted.
type task struct {
	verb   string
	volume string // its PersistentVolume
	about  types.UID
	reason string // of the events about its failures
	isDone func(context.Context) error
}

// work is under way while something fails: tasks of each sort, for each class.
type work struct {
	*scene
	classes []string
	tasks   []task
	spare   []*corev1.PersistentVolumeClaim // volumes that can grow or go
}

// prepare makes the volumes for a number of begins.
func (s *scene) prepare(classes []string, begins int) *work {
	s.t.Helper()
	w := &work{scene: s, classes: classes}
	for range begins {
		for _, class := range classes {
			w.spare = append(w.spare, s.claim(class, "64Mi"), s.claim(class, "64Mi"))
		}
	}
	for _, claim := range w.spare {
		s.bound(claim)
	}
	return w
}

// begin asks, for each class, for a new volume, for a larger one, and for one to go.
func (w *work) begin() {
	w.t.Helper()
	for _, class := range w.classes {
		grows, goes := w.spare[0], w.spare[1]
		w.spare = w.spare[2:]
		pv := w.bound(goes)
		w.request(grows, "128Mi")
		w.deleteClaim(goes)
		makes := w.claim(class, "64Mi")
		w.tasks = append(w.tasks,
			task{"make", volumeOf(makes), makes.UID, "ProvisioningFailed", hasCapacity(volumeOf(makes), 64<<20)},
			task{"grow", volumeOf(grows), grows.UID, "VolumeResizeFailed", hasCapacity(volumeOf(grows), 128<<20)},
			task{"delete", pv.Name, pv.UID, "VolumeFailedDelete", isGone(pv.Name)})
	}
}

func volumeOf(claim *corev1.PersistentVolumeClaim) string { return "pvc-" + string(claim.UID) }

func hasCapacity(volume string, bytes int64) func(context.Context) error {
	return func(ctx context.Context) error {
		pv, err := getVolume(ctx, volume)
		if err == nil && pv.Spec.Capacity.Storage().Value() != bytes {
			err = fmt.Errorf("it has %d bytes", pv.Spec.Capacity.Storage().Value())
		}
		return err
	}
}

func isGone(volume string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := getVolume(ctx, volume)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err == nil {
			err = errors.New("it is there")
		}
		return err
	}
}

// answered waits until each task is done, or its user has been told why it is not yet,
// by an event that contains all parts.
func (w *work) answered(parts ...string) {
	w.t.Helper()
	w.until("done or told of", func(ctx context.Context, task task) error {
		if task.isDone(ctx) == nil {
			return nil
		}
		told, err := events(ctx, task.about)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(told, func(event corev1.Event) bool {
			return event.Reason == task.reason && event.Source.Component != "volume_expand" && containsAll(event.Message, parts)
		}) {
			return nil
		}
		return errors.New("nothing is told")
	})
}

// done waits until all tasks are.
func (w *work) done() {
	w.t.Helper()
	w.until("done", func(ctx context.Context, task task) error { return task.isDone(ctx) })
}

// until waits for all tasks, and logs when the last of each sort was there.
func (w *work) until(what string, check func(context.Context, task) error) {
	w.t.Helper()
	begin, last := time.Now(), map[string]time.Duration{}
	waiting := slices.Clone(w.tasks)
	met := w.eventuallyIn(w.t.Context(), pollInterval, 2*patience, "all is "+what, func(ctx context.Context) (err error) {
		waiting = slices.DeleteFunc(waiting, func(task task) bool {
			failed := check(ctx, task)
			if failed != nil {
				err = fmt.Errorf("%s %s: %w", task.verb, task.volume, failed)
				return false
			}
			last[task.verb] = time.Since(begin).Round(time.Second / 10)
			return true
		})
		return err
	})
	if !met {
		w.t.FailNow()
	}
	w.t.Logf("%s after %v", what, last)
}

// part is the scene for a subtest.
func (s *scene) part(t testing.TB) *scene {
	part := *s
	part.t = t
	return &part
}
