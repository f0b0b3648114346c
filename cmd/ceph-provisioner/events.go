package main

import (
	"errors"
	"hash/fnv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/klog/v2"
)

const (
	eventLanes = 8  // events that are sent at a time
	laneLength = 64 // that wait in one; further ones wait in client-go's queue of 1,000
)

// eventTries are as many, and as far apart, as in client-go's k8s.io/client-go/tools/record.
var eventTries = wait.Backoff{Duration: 10 * time.Second, Jitter: 0.5, Steps: 12}

// events sends those about different objects side by side. client-go sends one after
// the other: where the API server takes half a second for each, and hundreds of claims
// fail, their users would be told minutes later.
type events struct {
	typedcorev1.EventInterface
	lanes [eventLanes]chan func() error
}

func newEvents(inner typedcorev1.EventInterface) *events {
	e := &events{EventInterface: inner}
	for i := range e.lanes {
		e.lanes[i] = make(chan func() error, laneLength)
		go func() {
			for write := range e.lanes[i] {
				send(write)
			}
		}()
	}
	return e
}

// CreateWithEventNamespace implements [typedcorev1.EventExpansion]. It returns before the
// event is sent.
func (e *events) CreateWithEventNamespace(event *corev1.Event) (*corev1.Event, error) {
	e.later(event, func() error {
		_, err := e.EventInterface.CreateWithEventNamespace(event)
		return err
	})
	return event, nil
}

// PatchWithEventNamespace implements [typedcorev1.EventExpansion]. It returns before the
// event is sent. One that the API server has forgotten is made anew.
func (e *events) PatchWithEventNamespace(event *corev1.Event, patch []byte) (*corev1.Event, error) {
	e.later(event, func() error {
		_, err := e.EventInterface.PatchWithEventNamespace(event, patch)
		if apierrors.IsNotFound(err) {
			again := event.DeepCopy()
			again.ResourceVersion = ""
			_, err = e.EventInterface.CreateWithEventNamespace(again)
		}
		return err
	})
	return event, nil
}

// later keeps the order of events about one object.
func (e *events) later(event *corev1.Event, write func() error) {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(event.InvolvedObject.UID))
	e.lanes[hash.Sum32()%eventLanes] <- write
}

// send tries again while the API server can't be reached.
func send(write func() error) {
	err := wait.ExponentialBackoff(eventTries, func() (done bool, err error) {
		err = write()
		if refusal := apierrors.APIStatus(nil); err != nil && !errors.As(err, &refusal) {
			return false, nil
		}
		return true, err
	})
	if err != nil && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		klog.Background().Error(err, "An event is not told")
	}
}
