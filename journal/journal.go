// Package journal keeps notes in a ConfigMap, for the process that comes after this one.
package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// Name is that of the ConfigMap. The manifests make it: RBAC can limit everything but
// creation to a name.
const Name = "ceph-provisioner-journal"

// writeTimeout bounds one request.
const writeTimeout = 15 * time.Second

// Journal writes notes by their keys. One request is under way at a time; whatever is to
// be written meanwhile goes into the next, so that many writers cost few requests.
type Journal struct {
	client    kubernetes.Interface
	namespace string
	writing   sync.Mutex // held by the request under way
	mu        sync.Mutex
	written   *batch // by the last request, or the one under way
	next      *batch
}

// batch is what one request writes.
type batch struct {
	notes map[string]*string // nil erases
	due   bool               // somebody waits for it
	done  chan struct{}
	err   error // read it after done is closed
}

// New returns the journal in a namespace.
func New(client kubernetes.Interface, namespace string) *Journal {
	j := &Journal{client: client, namespace: namespace}
	j.written, j.next = newBatch(), newBatch()
	return j
}

func newBatch() *batch {
	return &batch{notes: map[string]*string{}, done: make(chan struct{})}
}

// Write returns when the note is stored. After an error it may be stored or not.
// Writing it again replaces it.
func (j *Journal) Write(ctx context.Context, key, note string) error {
	return j.commit(ctx, func(notes map[string]*string) { notes[key] = &note })
}

// Erase has the next request erase a note; nothing waits for that.
func (j *Journal) Erase(key string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.next.notes[key] = nil
}

// Flush returns when all that was to be erased is.
func (j *Journal) Flush(ctx context.Context) error {
	j.mu.Lock()
	idle := len(j.next.notes) == 0
	j.mu.Unlock()
	if idle {
		return nil
	}
	return j.commit(ctx, func(map[string]*string) {})
}

// Settle returns when a note is erased that was to be. Nothing is written for any other.
func (j *Journal) Settle(ctx context.Context, key string) error {
	j.mu.Lock()
	written := j.written
	_, underWay := written.notes[key]
	_, waits := j.next.notes[key]
	j.mu.Unlock()
	switch {
	case waits:
		return j.commit(ctx, func(map[string]*string) {})
	case underWay:
		return j.await(ctx, written)
	}
	return nil
}

// Read returns all notes.
func (j *Journal) Read(ctx context.Context) (map[string]string, error) {
	stored, err := j.client.CoreV1().ConfigMaps(j.namespace).Get(ctx, Name, metav1.GetOptions{})
	if err != nil {
		return nil, j.explain("read", err)
	}
	return stored.Data, nil
}

func (j *Journal) commit(ctx context.Context, change func(notes map[string]*string)) error {
	j.mu.Lock()
	mine := j.next
	change(mine.notes)
	if !mine.due {
		mine.due = true
		go j.write(mine)
	}
	j.mu.Unlock()
	return j.await(ctx, mine)
}

func (j *Journal) await(ctx context.Context, written *batch) error {
	select {
	case <-written.done:
		return written.err
	case <-ctx.Done():
		return fmt.Errorf("write the journal %s/%s: %w", j.namespace, Name, ctx.Err())
	}
}

// write stores a batch, when the one before it is.
func (j *Journal) write(due *batch) {
	j.writing.Lock()
	defer j.writing.Unlock()
	j.mu.Lock()
	j.written, j.next = due, newBatch()
	j.mu.Unlock()
	defer close(due.done)
	if due.err = j.patch(due.notes); due.err == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for key, note := range due.notes {
		if _, changed := j.next.notes[key]; note == nil && !changed {
			j.next.notes[key] = nil
		}
	}
}

// patch merges, so that notes of others are kept, such as those of a second installation
// with other provisioner names.
func (j *Journal) patch(notes map[string]*string) error {
	patch, err := json.Marshal(map[string]any{"data": notes})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	_, err = j.client.CoreV1().ConfigMaps(j.namespace).Patch(ctx, Name, types.MergePatchType, patch, metav1.PatchOptions{})
	return j.explain("write", err)
}

func (j *Journal) explain(verb string, err error) error {
	remedy := ""
	switch {
	case err == nil:
		return nil
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
		remedy = ": apply the manifests of this version, which have it and the right to use it"
	case apierrors.IsInvalid(err), apierrors.IsRequestEntityTooLargeError(err):
		remedy = ": it may be full: see in the log why so many volumes can't be finished"
	}
	return fmt.Errorf("%s the journal (ConfigMap %s/%s)%s: %w", verb, j.namespace, Name, remedy, err)
}
