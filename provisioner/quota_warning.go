package provisioner

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/controller"
)

const reasonQuotaNotEnforced = "QuotaNotEnforced"

// nodesNamed is how many nodes a warning names, so that it can be read.
const nodesNamed = 5

// Nodes lists the nodes as far as they are known, and waits for nothing.
// A corelisters.NodeLister is one.
type Nodes interface {
	List(selector labels.Selector) ([]*corev1.Node, error)
}

// QuotaWarner is the provisioner of CephFS. The claims that it serves hear in an
// event which nodes would ignore their size.
type QuotaWarner struct {
	*Provisioner
	Nodes  Nodes
	Events record.EventRecorder
}

var (
	_ controller.BlockProvisioner = (*QuotaWarner)(nil)
	_ controller.DeletionGuard    = (*QuotaWarner)(nil)
)

// Provision implements [controller.Provisioner]. A claim is warned when its volume
// is complete, which happens once unless its PersistentVolume could not be saved
// before a restart; the recorder counts an event that is repeated.
func (w *QuotaWarner) Provision(ctx context.Context, options controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	pv, state, err := w.Provisioner.Provision(ctx, options)
	if err == nil {
		w.warn(options.PVC)
	}
	return pv, state, err
}

func (w *QuotaWarner) warn(claim *corev1.PersistentVolumeClaim) {
	nodes, err := w.Nodes.List(labels.Everything())
	if err != nil {
		return // a lister's cache does not fail
	}
	if found := ignoringQuotas(nodes); len(found) > 0 {
		w.Events.Event(claim, corev1.EventTypeWarning, reasonQuotaNotEnforced, quotaWarning(found))
	}
}

func quotaWarning(nodes []*corev1.Node) string {
	var named []string
	for _, node := range nodes[:min(nodesNamed, len(nodes))] {
		named = append(named, fmt.Sprintf("%s (%s)", node.Name, node.Status.NodeInfo.KernelVersion))
	}
	list := strings.Join(named, ", ")
	if more := len(nodes) - len(named); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return "pods can write beyond the claim's size on nodes whose kernel is too old to enforce CephFS quotas: " + list +
		"; upgrade it there to 4.17 or later (RHEL and CentOS 7: 3.10.0-1062.el7), or install ceph-fuse if it is missing, " +
		"which the kubelet prefers where /sbin/mount.fuse.ceph exists"
}
