package resizer

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"ceph.example/ceph-provisioner/pvspec"
)

func TestUse(t *testing.T) {
	raised := time.Now().Add(-time.Hour).Truncate(time.Second)
	started := func(when time.Time) func(*corev1.Pod) {
		return func(pod *corev1.Pod) { pod.Status.StartTime = &metav1.Time{Time: when} }
	}
	for state, c := range map[string]struct {
		claim  string
		noted  string // on the volume, when it grew
		change func(*corev1.Pod)
		want   use
	}{
		"a pod":                        {"data", "", nil, useSome},
		"a pod of another claim":       {"other", "", nil, useNone},
		"a pod without a node":         {"data", "", func(pod *corev1.Pod) { pod.Spec.NodeName = "" }, useNone},
		"a pod that has succeeded":     {"data", "", func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodSucceeded }, useNone},
		"a pod that has failed":        {"data", "", func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodFailed }, useNone},
		"started before it grew":       {"data", "2Gi", started(raised.Add(-time.Hour)), useSome},
		"started as it grew":           {"data", "2Gi", started(raised.Add(time.Second)), useSome},
		"started later":                {"data", "2Gi", started(raised.Add(10 * time.Minute)), useNone},
		"started later, not yet noted": {"data", "", started(raised.Add(10 * time.Minute)), useSome},
		"started before it grew again": {"data", "1Gi", started(raised.Add(10 * time.Minute)), useSome},
		"made before it grew, unseen":  {"data", "2Gi", func(pod *corev1.Pod) { pod.CreationTimestamp.Time = raised.Add(-time.Hour) }, useSome},
	} {
		t.Run(state, func(t *testing.T) {
			claim, pv := pair("2Gi", "2Gi", "1Gi")
			if c.noted != "" {
				pvspec.Postpone(pv, resource.MustParse(c.noted), raised)
			}
			pod := podWith(c.claim)
			pod.Namespace, pod.Name = "ns", "pod"
			if c.change != nil {
				c.change(&pod)
			}
			asked := newPods(fake.NewSimpleClientset(&pod))
			got, err := asked.use(t.Context(), claim, pv, resource.MustParse("2Gi"), now)
			if err != nil || got != c.want {
				t.Errorf("got %v, %v; want %v", got, err, c.want)
			}
		})
	}
}

func ephemeral(name string) []corev1.Volume {
	return []corev1.Volume{{Name: name, VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}}}
}

func TestUseOfEphemeralVolumes(t *testing.T) {
	pod := podWith("")
	pod.Name, pod.Spec.Volumes = "pod", ephemeral("scratch")
	if got := claimsOf(&pod); len(got) != 1 || got[0] != "pod-scratch" {
		t.Errorf("got %v", got)
	}
}

func TestUseAsksOnceForManyClaims(t *testing.T) {
	claim, pv := pair("2Gi", "2Gi", "1Gi")
	client := fake.NewSimpleClientset()
	asked := newPods(client)
	for range 3 {
		if _, err := asked.use(t.Context(), claim, pv, resource.MustParse("2Gi"), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(client.Actions()); got != 1 {
		t.Errorf("%d requests", got)
	}
	if _, err := asked.use(t.Context(), claim, pv, resource.MustParse("2Gi"), now); err != nil || len(client.Actions()) != 2 {
		t.Errorf("%v, %d requests: one that needs the present state must ask", err, len(client.Actions()))
	}
}

// All who have asked before a list is begun share it, also if they need the present state.
func TestUseAsksOnceForThoseWhoWait(t *testing.T) {
	const questions = 10
	claim, pv := pair("2Gi", "2Gi", "1Gi")
	client := fake.NewSimpleClientset()
	asked := newPods(client)
	asked.asking <- struct{}{} // somebody's list is under way
	var all sync.WaitGroup
	for range questions {
		all.Add(1)
		go func() {
			defer all.Done()
			if _, err := asked.use(t.Context(), claim, pv, resource.MustParse("2Gi"), now); err != nil {
				t.Error(err)
			}
		}()
	}
	time.Sleep(100 * time.Millisecond) // time enough for some of them, on any machine
	<-asked.asking
	all.Wait()
	if got := len(client.Actions()); got >= questions {
		t.Errorf("%d lists for %d questions", got, questions)
	}
}

// What the API server had in its cache is none of now, however late it was asked for.
func TestUseOfNowIsNotThatOfACache(t *testing.T) {
	claim, pv := pair("2Gi", "2Gi", "1Gi")
	client := fake.NewSimpleClientset()
	asked := newPods(client)
	asked.asking <- struct{}{} // somebody's list is under way
	answered := make(chan error)
	go func() {
		_, err := asked.use(t.Context(), claim, pv, resource.MustParse("2Gi"), now)
		answered <- err
	}()
	time.Sleep(100 * time.Millisecond) // time enough for the question; if it comes later, the answer is the same
	asked.listings[claim.Namespace] = listing{at: time.Now(), cached: true}
	<-asked.asking
	if err := <-answered; err != nil || len(client.Actions()) != 1 {
		t.Errorf("%v, %d requests", err, len(client.Actions()))
	}
}

func TestUseIsNotWaitedForBeyondTheDeadline(t *testing.T) {
	claim, pv := pair("2Gi", "2Gi", "1Gi")
	asked := newPods(fake.NewSimpleClientset())
	asked.asking <- struct{}{}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := asked.use(ended, claim, pv, resource.MustParse("2Gi"), now); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
