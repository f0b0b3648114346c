package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
)

// sink is an API server for events.
type sink struct {
	typedcorev1.EventInterface
	answer func(verb string, event *corev1.Event) error

	mu   sync.Mutex
	told []string
}

func (s *sink) CreateWithEventNamespace(event *corev1.Event) (*corev1.Event, error) {
	return event, s.tell("create", event)
}

func (s *sink) PatchWithEventNamespace(event *corev1.Event, _ []byte) (*corev1.Event, error) {
	return event, s.tell("patch", event)
}

func (s *sink) tell(verb string, event *corev1.Event) error {
	if err := s.answer(verb, event); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, verb+" "+event.InvolvedObject.Name+" "+event.Message)
	return nil
}

func (s *sink) wait(t *testing.T, number int) []string {
	t.Helper()
	var told []string
	err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		told = slices.Clone(s.told)
		return len(told) >= number, nil
	})
	if err != nil {
		t.Fatalf("%v: told are %q", err, told)
	}
	return told
}

// recorder is client-go's, as sig-storage-lib uses it.
func (s *sink) recorder(t *testing.T) record.EventRecorder {
	broadcaster := record.NewBroadcaster()
	t.Cleanup(broadcaster.Shutdown)
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: newEvents(s)})
	return broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{})
}

func claimNamed(name, uid string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(uid)}}
}

func TestEventsAboutOthersDoNotWait(t *testing.T) {
	release := make(chan struct{})
	s := &sink{answer: func(_ string, event *corev1.Event) error {
		if event.InvolvedObject.Name == "slow" {
			<-release
		}
		return nil
	}}
	recorder := s.recorder(t)
	for _, message := range []string{"first", "second", "second"} {
		recorder.Event(claimNamed("slow", "1"), corev1.EventTypeWarning, "Failed", message)
	}
	recorder.Event(claimNamed("quick", "2"), corev1.EventTypeWarning, "Failed", "first")
	s.wait(t, 1)
	close(release)
	want := []string{"create quick first", "create slow first", "create slow second", "patch slow second"}
	if told := s.wait(t, len(want)); !slices.Equal(told, want) {
		t.Errorf("told are %q, want %q", told, want)
	}
}

func TestEventsThatCouldNotBeToldAreTriedAgain(t *testing.T) {
	usual := eventTries.Duration
	eventTries.Duration = time.Millisecond
	t.Cleanup(func() { eventTries.Duration = usual })
	tries := map[string]int{}
	s := &sink{answer: func(verb string, event *corev1.Event) error {
		tries[verb+" "+event.Message]++
		switch {
		case event.Message == "unreachable" && tries["create unreachable"] < 3:
			return errors.New("connection refused")
		case event.Message == "refused":
			return apierrors.NewForbidden(schema.GroupResource{Resource: "events"}, event.Name, nil)
		case verb == "patch":
			return apierrors.NewNotFound(schema.GroupResource{Resource: "events"}, event.Name)
		}
		return nil
	}}
	recorder := s.recorder(t)
	for _, message := range []string{"unreachable", "refused", "forgotten", "forgotten"} {
		recorder.Event(claimNamed("data", "1"), corev1.EventTypeWarning, "Failed", message)
	}
	want := "create data unreachable, create data forgotten, create data forgotten"
	if told := strings.Join(s.wait(t, 3), ", "); told != want {
		t.Errorf("told are %q, want %q", told, want)
	}
	if tries["create refused"] != 1 {
		t.Errorf("what was refused was tried %d times", tries["create refused"])
	}
}
