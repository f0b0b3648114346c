package pvspec

import (
	"strings"

	storagev1 "k8s.io/api/storage/v1"

	"ceph.example/ceph-provisioner/cephclient"
)

// SecretRef names a Kubernetes Secret.
type SecretRef struct {
	Namespace string
	Name      string
}

// String is how messages name the secret.
func (r SecretRef) String() string { return r.Namespace + "/" + r.Name }

// Identity is a cephx identity whose key stands in a secret.
type Identity struct {
	ID     string // without the leading "client."
	Secret SecretRef
}

// Parameters are what a StorageClass says, checked and with defaults filled in.
type Parameters struct {
	Kind      cephclient.Kind
	Monitors  []string // host:port; hosts may be names
	Admin     Identity // makes, grows and deletes volumes
	User      Identity // mounts them; an empty secret namespace means the claim's
	OwnUser   bool     // CephFS: each volume has a user of its own, whose name the class does not say
	Keyring   string   // RBD: keyring file on the nodes, instead of the user's secret
	Container string   // pool, or file system (may be empty)
	Group     string   // subvolume group
	Root      string   // claimRoot, where volumes are plain directories; else empty
	// Deterministic directories are named after the claim's namespace and name.
	Deterministic bool
	FSType        string // RBD; empty means the kubelet's default
	Create        cephclient.CreateOptions
}

// Defaults of StorageClass parameters: those of kubernetes.io/rbd, ceph.com/rbd
// and ceph.com/cephfs.
const (
	defaultAdminID              = "admin"
	defaultAdminSecretNamespace = "default"
	defaultPool                 = "rbd"
	defaultSubvolumeGroup       = "kubernetes"
)

// ParseClass reads the parameters of a StorageClass. Keys are case-insensitive,
// and an empty value counts as absent. An unknown key, a bad value or a
// contradiction is an error that names the key and what is accepted.
func ParseClass(kind cephclient.Kind, class *storagev1.StorageClass) (Parameters, error) {
	values := newValues(kind, class.Parameters)
	parameters := Parameters{Kind: kind}
	common(values, &parameters)
	switch kind {
	case cephclient.RBD:
		rbdParameters(values, &parameters)
	case cephclient.CephFS:
		cephfsParameters(values, &parameters)
	}
	return parameters, values.err()
}

func common(v *values, p *Parameters) {
	monitors, err := ParseMonitors(v.required("monitors"))
	if v.given("monitors") {
		v.check("monitors", err)
	}
	p.Monitors = monitors
	p.Admin = adminIdentity(v)
	p.User.Secret.Namespace = v.namespace("userSecretNamespace", "")
	p.Create.DataPool = v.place("dataPool", "")
}

func adminIdentity(v *values) Identity {
	return Identity{
		ID: v.identity("adminId", defaultAdminID),
		Secret: SecretRef{
			Namespace: v.namespace("adminSecretNamespace", defaultAdminSecretNamespace),
			Name:      v.secretName("adminSecretName", v.required("adminSecretName")),
		},
	}
}

// parseAdmin reads the admin identity alone: whatever else a class says must not
// keep volumes that it once made from being deleted.
func parseAdmin(class *storagev1.StorageClass) (Identity, error) {
	v := &values{byKey: map[string]string{}}
	for key, value := range class.Parameters {
		v.byKey[strings.ToLower(key)] = strings.TrimSpace(value)
	}
	return adminIdentity(v), v.err()
}

// accepted lists the keys of each kind, spelled as the documentation does.
var accepted = map[cephclient.Kind][]string{
	cephclient.RBD: {
		"monitors", "adminId", "adminSecretName", "adminSecretNamespace", "pool",
		"userId", "userSecretName", "userSecretNamespace", "keyring", "fsType",
		"imageFormat", "imageFeatures", "dataPool", "objectSize", "stripeUnit", "stripeCount",
	},
	cephclient.CephFS: {
		"monitors", "adminId", "adminSecretName", "adminSecretNamespace", "cluster",
		"claimRoot", "deterministicNames", "fsName", "subvolumeGroup", "backend",
		"dataPool", "namespaceIsolated", "userId", "userSecretName", "userSecretNamespace",
	},
}
