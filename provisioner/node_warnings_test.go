package provisioner_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/controller"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/cephclient/fake"
	"ceph.example/ceph-provisioner/provisioner"
)

// nodes are all Linux.
type nodes []*corev1.Node

func (n nodes) List(labels.Selector) ([]*corev1.Node, error) { return n, nil }

type noNodes struct{}

func (noNodes) List(labels.Selector) ([]*corev1.Node, error) { return nil, errors.New("no list") }

func (n nodes) with(name, kernel string) nodes {
	return append(n, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Status:     corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{OperatingSystem: "linux", KernelVersion: kernel}},
	})
}

func (n nodes) old(count int) nodes {
	for i := range count {
		n = n.with(fmt.Sprint("old-", i), "4.15.0-20-generic")
	}
	return n
}

func cephfsOptions() controller.ProvisionOptions {
	o := options()
	o.StorageClass.Parameters["userId"] = "node"
	return o
}

func quotaWarning(list string) []string {
	return []string{"Warning QuotaNotEnforced pods can write beyond the claim's size on nodes whose kernel is too old to enforce CephFS quotas: " +
		list + "; upgrade it there to 4.17 or later (RHEL and CentOS 7: 3.10.0-1062.el7), or install ceph-fuse if it is missing, " +
		"which the kubelet prefers where /sbin/mount.fuse.ceph exists"}
}

func TestQuotaWarning(t *testing.T) {
	const listed = "old-0 (4.15.0-20-generic), old-1 (4.15.0-20-generic), old-2 (4.15.0-20-generic), old-3 (4.15.0-20-generic), old-4 (4.15.0-20-generic)"
	for state, c := range map[string]struct {
		nodes provisioner.Nodes
		fails string
		want  []string
	}{
		"no nodes are known":         {nodes: nodes{}},
		"nodes can't be listed":      {nodes: noNodes{}},
		"all nodes enforce quotas":   {nodes: nodes{}.with("new", "5.10.0")},
		"one does not":               {nodes: nodes{}.with("new", "5.10.0").old(1), want: quotaWarning("old-0 (4.15.0-20-generic)")},
		"as many as are named":       {nodes: nodes{}.old(5), want: quotaWarning(listed)},
		"one more":                   {nodes: nodes{}.old(6), want: quotaWarning(listed + " and 1 more")},
		"many more":                  {nodes: nodes{}.old(1000), want: quotaWarning("old-0 (4.15.0-20-generic), old-1 (4.15.0-20-generic), old-10 (4.15.0-20-generic), old-100 (4.15.0-20-generic), old-101 (4.15.0-20-generic) and 995 more")},
		"the volume can't be made":   {nodes: nodes{}.old(1), fails: "Backend"},
		"the class' secret is wrong": {nodes: nodes{}.old(1), fails: "NodesKey"},
	} {
		t.Run(state, func(t *testing.T) {
			events := record.NewFakeRecorder(2)
			warner := &provisioner.NodeWarner{
				Provisioner: provisioner.New(provisioner.Options{
					Kind: cephclient.CephFS, Access: access{backend: &fake.Backend{}, fails: c.fails}, Client: cluster(),
				}),
				Nodes:  c.nodes,
				Events: events,
			}
			pv, got, err := warner.Provision(t.Context(), cephfsOptions())
			if ok := err == nil && pv != nil && got == controller.ProvisioningFinished; ok != (c.fails == "") {
				t.Errorf("PV %v, state %s, %v", pv, got, err)
			}
			wantTold(t, events, c.want)
		})
	}
}

func wantTold(t *testing.T, events *record.FakeRecorder, want []string) {
	t.Helper()
	close(events.Events)
	var told []string
	for event := range events.Events {
		told = append(told, event)
	}
	if !slices.Equal(told, want) {
		t.Errorf("told\n%q, want\n%q", told, want)
	}
}

var aKey = map[cephclient.Cipher]cephclient.Secret{
	cephclient.AES:     cephclient.NewSecret("AQAAAAAAAAAAABAAc2l4dGVlbiBieXRlcy4uLg=="),
	cephclient.AES256K: cephclient.NewSecret("AgAAAAAAAAAAACAAdGhpcnR5LXR3byBieXRlcywgYXMgeW91IGNhbiBzZWU="),
}

func keyWarning(list string) string {
	return "Warning KeyNotUsable pods will not start on nodes whose kernel can't use the volume's key, which is of cipher aes256k: " +
		list + "; have Ceph make keys of cipher aes (docs/ceph-identities.md#keys-of-cipher-aes256k), or upgrade it there to 7.0 or later"
}

func TestKeyWarning(t *testing.T) {
	both := append(quotaWarning("old-0 (4.15.0-20-generic)"), keyWarning("new (5.10.0), old-0 (4.15.0-20-generic)"))
	for state, c := range map[string]struct {
		kind   cephclient.Kind
		own    bool
		cipher cephclient.Cipher
		nodes  nodes
		want   []string
	}{
		"an image, and all nodes know the cipher":   {kind: cephclient.RBD, cipher: cephclient.AES256K, nodes: nodes{}.with("latest", "7.0.1")},
		"an image, and an older node":               {kind: cephclient.RBD, cipher: cephclient.AES256K, nodes: nodes{}.with("new", "5.10.0"), want: []string{keyWarning("new (5.10.0)")}},
		"an image and a key of before":              {kind: cephclient.RBD, cipher: cephclient.AES, nodes: nodes{}.old(1)},
		"a CephFS volume, and older nodes":          {kind: cephclient.CephFS, cipher: cephclient.AES256K, nodes: nodes{}.with("new", "5.10.0").old(1), want: both},
		"a CephFS volume with a user, older nodes":  {kind: cephclient.CephFS, own: true, cipher: cephclient.AES256K, nodes: nodes{}.with("new", "5.10.0").old(1), want: both},
		"a CephFS volume with a user, a key before": {kind: cephclient.CephFS, own: true, cipher: cephclient.AES, nodes: nodes{}.with("new", "5.10.0")},
	} {
		t.Run(state, func(t *testing.T) {
			events := record.NewFakeRecorder(2)
			o, way := options(), access{backend: &fake.Backend{}, users: &fake.Users{Key: aKey[c.cipher]}, nodesKey: aKey[c.cipher]}
			if c.own {
				delete(o.StorageClass.Parameters, "userSecretName")
			} else {
				o.StorageClass.Parameters["userId"] = "node"
			}
			warner := &provisioner.NodeWarner{
				Provisioner: provisioner.New(provisioner.Options{
					Kind: c.kind, Access: way, Client: cluster(), Secrets: &secrets{byRef: map[string]*corev1.Secret{}}, SecretNamespace: "volumes",
				}),
				Nodes:  c.nodes,
				Events: events,
			}
			if _, state, err := warner.Provision(t.Context(), o); err != nil || state != controller.ProvisioningFinished {
				t.Errorf("state %s, %v", state, err)
			}
			wantTold(t, events, c.want)
		})
	}
}
