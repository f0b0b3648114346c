package journal_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"ceph.example/ceph-provisioner/journal"
)

const namespace = "kube-system"

func stored(notes map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: journal.Name}, Data: notes}
}

func wantNotes(t *testing.T, j *journal.Journal, want map[string]string) {
	t.Helper()
	got, err := j.Read(t.Context())
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("notes %v, %v; want %v", got, err, want)
	}
}

func TestJournalKeepsNotesUntilTheyAreErased(t *testing.T) {
	j := journal.New(fake.NewSimpleClientset(stored(map[string]string{"theirs": "x"})), namespace)
	for _, note := range []string{"first", "second"} {
		if err := j.Write(t.Context(), "a", note); err != nil {
			t.Fatal(err)
		}
	}
	wantNotes(t, j, map[string]string{"theirs": "x", "a": "second"})
	j.Erase("a")
	j.Erase("what is not there")
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantNotes(t, j, map[string]string{"theirs": "x"})
}

// While one request is under way, all that comes goes into the next.
func TestJournalGathersWrites(t *testing.T) {
	const writers = 50
	client := fake.NewSimpleClientset(stored(nil))
	entered, proceed, requests := make(chan struct{}, writers), make(chan struct{}), 0
	client.PrependReactor("patch", "configmaps", func(k8stesting.Action) (bool, runtime.Object, error) {
		requests++ // one at a time: that is what is tested
		entered <- struct{}{}
		<-proceed
		return false, nil, nil
	})
	j := journal.New(client, namespace)
	j.Erase("old") // costs no request of its own
	var all sync.WaitGroup
	started := make(chan struct{}, writers+1)
	write := func(key string) {
		defer all.Done()
		started <- struct{}{}
		if err := j.Write(t.Context(), key, "note"); err != nil {
			t.Error(err)
		}
	}
	all.Add(writers + 1)
	go write("first")
	<-started
	<-entered
	for i := range writers {
		go write(fmt.Sprint(i))
	}
	for range writers {
		<-started
	}
	close(proceed)
	all.Wait()
	notes, err := j.Read(t.Context())
	if err != nil || len(notes) != writers+1 {
		t.Errorf("%d notes, %v; want %d", len(notes), err, writers+1)
	}
	// Writers that were late by a moment may have needed one more.
	if requests > writers/2 {
		t.Errorf("%d requests for %d notes", requests, writers+1)
	}
}

func TestJournalErasesLaterWhatItCouldNot(t *testing.T) {
	client := fake.NewSimpleClientset(stored(map[string]string{"a": "note"}))
	fails := true
	client.PrependReactor("patch", "configmaps", func(k8stesting.Action) (bool, runtime.Object, error) {
		return fails, nil, errors.New("no API server")
	})
	j := journal.New(client, namespace)
	j.Erase("a")
	if err := j.Flush(t.Context()); err == nil {
		t.Error("want the error")
	}
	fails = false
	if err := j.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	wantNotes(t, j, map[string]string{})
}

// Who settles a note waits for it alone, also where the request that erases it is under way.
func TestJournalSettlesANote(t *testing.T) {
	client := fake.NewSimpleClientset(stored(map[string]string{"a": "note", "b": "note"}))
	requests, entered, proceed := 0, make(chan struct{}), make(chan struct{})
	client.PrependReactor("patch", "configmaps", func(k8stesting.Action) (bool, runtime.Object, error) {
		requests++
		entered <- struct{}{}
		<-proceed
		return false, nil, nil
	})
	j := journal.New(client, namespace)
	settled := make(chan error, 2)
	settle := func() { settled <- j.Settle(t.Context(), "a") }
	j.Erase("a")
	go settle() // begins the request
	<-entered
	go settle()
	select {
	case <-settled:
		t.Error("settled while the note is there")
	case <-time.After(20 * time.Millisecond):
	}
	close(proceed)
	for range 2 {
		if err := <-settled; err != nil {
			t.Error(err)
		}
	}
	wantNotes(t, j, map[string]string{"b": "note"})
	j.Erase("b")
	if settle(); requests != 1 || <-settled != nil {
		t.Errorf("%d requests, want none for other notes", requests)
	}
}

func TestJournalThatIsMissingNamesTheRemedy(t *testing.T) {
	err := journal.New(fake.NewSimpleClientset(), namespace).Write(t.Context(), "a", "note")
	if err == nil || !strings.Contains(err.Error(), "kube-system/ceph-provisioner-journal") || !strings.Contains(err.Error(), "apply the manifests") {
		t.Errorf("%v: want the ConfigMap and the remedy", err)
	}
}

func TestJournalWaitsNoLongerThanItsCaller(t *testing.T) {
	client := fake.NewSimpleClientset(stored(nil))
	proceed := make(chan struct{})
	defer close(proceed)
	client.PrependReactor("patch", "configmaps", func(k8stesting.Action) (bool, runtime.Object, error) {
		<-proceed
		return false, nil, nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := journal.New(client, namespace).Write(ctx, "a", "note"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that the caller has left", err)
	}
}
