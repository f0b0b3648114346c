package pvspec

import (
	"fmt"
	"math"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"ceph.example/ceph-provisioner/cephclient"
)

// namePrefix is what images and subvolumes are called by, followed by the
// claim's UID: ceph-csi's migration needs this very form (docs/architecture.md).
const namePrefix = "kubernetes-dynamic-pvc-"

// Request is a volume to be made: the parameters of a class applied to a claim.
type Request struct {
	Parameters
	Volume    cephclient.Volume
	SizeBytes int64
}

// NewRequest checks a claim and applies it to the parameters of its class.
func NewRequest(parameters Parameters, claim *corev1.PersistentVolumeClaim) (Request, error) {
	size, err := Bytes(claim.Spec.Resources.Requests[corev1.ResourceStorage])
	if err != nil {
		return Request{}, err
	}
	if err := checkClaim(parameters.Kind, claim); err != nil {
		return Request{}, err
	}
	if err := checkNames(parameters, claim); err != nil {
		return Request{}, err
	}
	volume := cephclient.Volume{
		Kind:      parameters.Kind,
		Container: parameters.Container,
		Root:      parameters.Root,
		Group:     parameters.Group,
		Name:      namePrefix + string(claim.UID),
	}
	user := userPrefix + string(claim.UID)
	if parameters.Deterministic {
		volume.Group, volume.Name = claim.Namespace, claim.Name
		user = deterministicUser(volume)
	}
	if parameters.OwnUser {
		parameters.User.ID = user
		parameters.User.Secret.Name = userSecretName(user)
		if faults := validation.IsDNS1123Subdomain(parameters.User.Secret.Name); len(faults) > 0 {
			return Request{}, fmt.Errorf("the secret of the volume's user would be called %s, which Kubernetes refuses: give the claim a shorter name", parameters.User.Secret.Name)
		}
	}
	if parameters.User.Secret.Namespace == "" {
		parameters.User.Secret.Namespace = claim.Namespace
	}
	return Request{Parameters: parameters, SizeBytes: size, Volume: volume}, nil
}

// tooLarge is what the API machinery makes of every quantity that does not fit
// into 63 bits.
var tooLarge = *resource.NewQuantity(math.MaxInt64, resource.BinarySI)

// Bytes is a size that a claim asks for, in bytes, fractions rounded up.
func Bytes(size resource.Quantity) (int64, error) {
	if size.Sign() <= 0 || size.Cmp(tooLarge) >= 0 {
		return 0, fmt.Errorf("the claim asks for %s of storage: ask for more than 0 and less than 8Ei", size.String())
	}
	return size.Value(), nil
}

// checkNames refuses what would lead out of a class's place, or to another claim's
// volume, user or secret. The API server lets only the last of it through: where
// directories lie beside volumes that are called by a UID, a namespace of such a name
// would be inside one of them.
func checkNames(parameters Parameters, claim *corev1.PersistentVolumeClaim) error {
	switch {
	case claim.UID == "" || len(validation.IsDNS1123Label(namePrefix+string(claim.UID))) > 0:
		return fmt.Errorf("no volume can be called by the claim's UID %q", claim.UID)
	case len(validation.IsDNS1123Label(claim.Namespace)) > 0:
		return fmt.Errorf("%q is not a namespace that a claim can be in", claim.Namespace)
	case len(validation.IsDNS1123Subdomain(claim.Name)) > 0:
		return fmt.Errorf("%q is not a name that a claim can have", claim.Name)
	case parameters.Deterministic && (strings.HasPrefix(claim.Namespace, namePrefix) || strings.HasPrefix(claim.Name, namePrefix)):
		return fmt.Errorf("the directory %s/%s would be called like one of another class: with deterministicNames, give claim and namespace names that do not begin with %s", claim.Namespace, claim.Name, namePrefix)
	}
	return nil
}

func checkClaim(kind cephclient.Kind, claim *corev1.PersistentVolumeClaim) error {
	spec := claim.Spec
	switch {
	case spec.Selector != nil:
		return fmt.Errorf("the claim has a selector, which no volume made for it can be matched with: remove it, or name a class without provisioner")
	case spec.DataSource != nil || spec.DataSourceRef != nil:
		return fmt.Errorf("the claim has a data source: volumes of in-tree plugins can't be made from snapshots or clones; remove dataSource and dataSourceRef")
	case len(spec.AccessModes) == 0:
		return fmt.Errorf("the claim has no access mode")
	}
	if kind == cephclient.CephFS {
		return nil
	}
	for _, mode := range spec.AccessModes {
		if mode == corev1.ReadWriteMany && !isBlock(claim) {
			return fmt.Errorf("access mode ReadWriteMany is not possible for an RBD image with a file system on it: " +
				"two nodes would destroy it; use ReadWriteOnce, ReadWriteOncePod or ReadOnlyMany, or volumeMode Block, or a CephFS class")
		}
	}
	return nil
}

func isBlock(claim *corev1.PersistentVolumeClaim) bool {
	return claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode == corev1.PersistentVolumeBlock
}
