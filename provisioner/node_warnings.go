package provisioner

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/controller"

	"ceph.example/ceph-provisioner/cephclient"
)

const (
	reasonQuotaNotEnforced = "QuotaNotEnforced"
	reasonKeyNotUsable     = "KeyNotUsable"
)

// nodesNamed is how many nodes a warning names, so that it can be read.
const nodesNamed = 5

// Nodes lists the nodes as far as they are known, and waits for nothing.
// A corelisters.NodeLister is one.
type Nodes interface {
	List(selector labels.Selector) ([]*corev1.Node, error)
}

// NodeWarner is a provisioner. The claims that it serves hear in events which nodes
// can't use their volume as they should.
type NodeWarner struct {
	*Provisioner
	Nodes  Nodes
	Events record.EventRecorder
}

var (
	_ controller.BlockProvisioner = (*NodeWarner)(nil)
	_ controller.DeletionGuard    = (*NodeWarner)(nil)
)

// Provision implements [controller.Provisioner]. A claim is warned when its volume
// is complete, which happens once unless its PersistentVolume could not be saved
// before a restart; the recorder counts an event that is repeated.
func (w *NodeWarner) Provision(ctx context.Context, options controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	pv, nodesKey, state, err := w.provision(ctx, options)
	if err == nil {
		w.warn(options.PVC, nodesKey.Cipher())
	}
	return pv, state, err
}

func (w *NodeWarner) warn(claim *corev1.PersistentVolumeClaim, cipher cephclient.Cipher) {
	nodes, err := w.Nodes.List(labels.Everything())
	if err != nil {
		return // a lister's cache does not fail
	}
	if w.kind == cephclient.CephFS {
		w.warnOf(claim, reasonQuotaNotEnforced, quotaWarning, withKernel(nodes, ignoresQuotas))
	}
	if cipher == cephclient.AES256K {
		w.warnOf(claim, reasonKeyNotUsable, keyWarning, withKernel(nodes, lacksAES256K))
	}
}

func (w *NodeWarner) warnOf(claim *corev1.PersistentVolumeClaim, reason, warning string, found []*corev1.Node) {
	if len(found) > 0 {
		w.Events.Eventf(claim, corev1.EventTypeWarning, reason, warning, nameNodes(found))
	}
}

func nameNodes(nodes []*corev1.Node) string {
	var named []string
	for _, node := range nodes[:min(nodesNamed, len(nodes))] {
		named = append(named, fmt.Sprintf("%s (%s)", node.Name, node.Status.NodeInfo.KernelVersion))
	}
	list := strings.Join(named, ", ")
	if more := len(nodes) - len(named); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}

// Each has a place for a list of nodes.
const (
	quotaWarning = "pods can write beyond the claim's size on nodes whose kernel is too old to enforce CephFS quotas: %s" +
		"; upgrade it there to 4.17 or later (RHEL and CentOS 7: 3.10.0-1062.el7), or install ceph-fuse if it is missing, " +
		"which the kubelet prefers where /sbin/mount.fuse.ceph exists"
	keyWarning = "pods will not start on nodes whose kernel can't use the volume's key, which is of cipher aes256k: %s" +
		"; have Ceph make keys of cipher aes (docs/ceph-identities.md#keys-of-cipher-aes256k), or upgrade it there to 7.0 or later"
)
