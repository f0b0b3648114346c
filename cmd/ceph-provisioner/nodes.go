package main

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// nodes knows the nodes' kernels as long as it may. An administrator who wants no
// warnings can take its rights away; nothing else needs them.
type nodes struct {
	informer cache.SharedIndexInformer
	lister   corelisters.NodeLister
}

func newNodes(client kubernetes.Interface) nodes {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(kernelOnly))
	all := factory.Core().V1().Nodes()
	return nodes{all.Informer(), all.Lister()}
}

// kernelOnly drops what nobody asks for: thousands of nodes with their lists of
// images take far more memory than all else.
func kernelOnly(object any) (any, error) {
	node, ok := object.(*corev1.Node)
	if !ok {
		return object, nil // the note that a deletion was missed
	}
	info := node.Status.NodeInfo
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: node.Name},
		Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{
			OperatingSystem: info.OperatingSystem, KernelVersion: info.KernelVersion,
		}},
	}, nil
}

// An API server that has just started refuses everybody everything for a moment. Who is
// refused enoughRefusals times within refusalsLast is meant.
const (
	enoughRefusals = 4
	refusalsLast   = 10 * time.Minute
)

// run keeps the nodes up to date until the context ends, or the API server says
// that they are not ours to see.
func (n nodes) run(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	refusals, first := 0, time.Time{}
	_ = n.informer.SetWatchErrorHandler(func(r *cache.Reflector, err error) { // fails only for one that runs
		if apierrors.IsForbidden(err) {
			if time.Since(first) > refusalsLast {
				refusals, first = 0, time.Now()
			}
			if refusals++; refusals == enoughRefusals {
				stop() // client-go has logged it, and would do so at each further attempt
			}
			return
		}
		cache.DefaultWatchErrorHandler(r, err)
	})
	n.informer.Run(ctx.Done())
}

// List implements provisioner.Nodes. What is not kept up to date any more could
// blame nodes that have been upgraded since.
func (n nodes) List(selector labels.Selector) ([]*corev1.Node, error) {
	if n.informer.IsStopped() {
		return nil, nil
	}
	return n.lister.List(selector)
}
