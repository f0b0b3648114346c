package resizer

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"

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

// However many pods a namespace has, and however large they are, few are in memory at a time.
func TestUseReadsPodsInPages(t *testing.T) {
	const all = 3 * podsAtOnce
	claim, pv := pair("2Gi", "2Gi", "1Gi")
	given := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.URL.Query()
		if asked.Get("limit") != strconv.Itoa(podsAtOnce) || asked.Get("fieldSelector") != mayMount {
			t.Errorf("lists with %v", asked)
		}
		page := &corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}}
		for range podsAtOnce {
			given++
			page.Items = append(page.Items, podWith("other"))
		}
		if given < all {
			page.Continue = "more"
		} else {
			page.Items[0] = podWith("data")
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(page); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	got, err := newPods(client).use(t.Context(), claim, pv, resource.MustParse("2Gi"), now)
	if err != nil || got != useSome || given != all {
		t.Errorf("got %v, %v after %d pods", got, err, given)
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
