package main

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
)

func largeNode() *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"c": "d"}},
		Spec:       corev1.NodeSpec{PodCIDR: "192.0.2.0/24"},
		Status: corev1.NodeStatus{
			NodeInfo: corev1.NodeSystemInfo{OperatingSystem: "linux", KernelVersion: "5.10.0", KubeletVersion: "v1.30.0"},
			Images:   []corev1.ContainerImage{{Names: []string{"image"}}},
		},
	}
}

func smallNode() *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n"},
		Status:     corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{OperatingSystem: "linux", KernelVersion: "5.10.0"}},
	}
}

func TestNodesKeepTheirKernelsOnly(t *testing.T) {
	n := newNodes(fake.NewSimpleClientset(largeNode()))
	go n.run(t.Context())
	if !cache.WaitForCacheSync(t.Context().Done(), n.informer.HasSynced) {
		t.Fatal("the nodes were never listed")
	}
	got, err := n.List(labels.Everything())
	if want := []*corev1.Node{smallNode()}; err != nil || !equality.Semantic.DeepEqual(got, want) {
		t.Errorf("kept %v, %v; want %v", got, err, want)
	}
}

func TestAMissedDeletionIsNoNode(t *testing.T) {
	missed := cache.DeletedFinalStateUnknown{Key: "n", Obj: smallNode()}
	if got, err := kernelOnly(missed); err != nil || got != any(missed) {
		t.Errorf("got %v, %v, want what was given", got, err)
	}
}

// An administrator may narrow RBAC. client-go logs each attempt, so there must be few.
func TestNodesThatMayNotBeSeen(t *testing.T) {
	forbidden := apierrors.NewForbidden(corev1.Resource("nodes"), "", nil)
	for state, forbid := range map[string]func(client *fake.Clientset, attempts *int){
		"no list": func(client *fake.Clientset, attempts *int) {
			client.PrependReactor("list", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
				*attempts++
				return true, nil, forbidden
			})
		},
		"a list, and no watch": func(client *fake.Clientset, attempts *int) {
			client.PrependWatchReactor("nodes", func(clienttesting.Action) (bool, watch.Interface, error) {
				*attempts++
				return true, nil, forbidden
			})
		},
	} {
		t.Run(state, func(t *testing.T) {
			t.Parallel() // it waits between the attempts
			client, attempts := fake.NewSimpleClientset(largeNode()), 0
			forbid(client, &attempts)
			n := newNodes(client)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			n.run(ctx)
			if ctx.Err() != nil || attempts != enoughRefusals {
				t.Errorf("asked %d times, %v; want that it asks some times and is content", attempts, ctx.Err())
			}
			if got, err := n.List(labels.Everything()); err != nil || len(got) != 0 {
				t.Errorf("lists %v, %v; want nothing", got, err)
			}
		})
	}
}
