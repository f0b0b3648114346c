package pvspec_test

import (
	"cmp"
	"io/fs"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// tenantClasses share their place as far as classes can.
var tenantClasses = []struct {
	kind  cephclient.Kind
	class parameters
}{
	{cephclient.RBD, rbdClass},
	{cephclient.CephFS, fsClass},
	{cephclient.CephFS, fsClass.with("userId", "-", "userSecretName", "-")},
	{cephclient.CephFS, fsClass.with("userId", "-", "userSecretName", "-", "userSecretNamespace", "keys")},
	{cephclient.CephFS, fsClass.with("userId", "-", "userSecretName", "-", "userSecretNamespace", "keys", "backend", "directory")},
	{cephclient.CephFS, fsClass.with("userId", "-", "userSecretName", "-", "userSecretNamespace", "keys", "deterministicNames", "true")},
	{cephclient.CephFS, fsClass.with("deterministicNames", "true")},
}

var annotationsOfOurs = []string{
	"ceph.example/admin-id", "ceph.example/admin-secret-name", "ceph.example/admin-secret-namespace", "ceph.example/backend", "ceph.example/file-system",
	"ceph.example/subvolume-group", "ceph.example/subvolume", "ceph.example/claim-root", "ceph.example/owner", "cephShare", "rbdProvisionerIdentity",
	"ceph.example/postponed-capacity", "volume.beta.kubernetes.io/storage-class", "volume.kubernetes.io/storage-provisioner", "volume.kubernetes.io/selected-node",
	"pv.kubernetes.io/provisioned-by", "pv.kubernetes.io/migrated-to", "pv.kubernetes.io/bind-completed", "monitors", "pool", "adminSecretName",
}

const (
	uid        = "0b9e1f6c-6a0d-4c59-8f5f-3f0c2b1f7a11"
	anotherUID = "3c2d5f0e-91a7-4d4b-a0a2-5f0f5f0c9d22"
)

// rivals are claims, by namespace, name and UID, that would have each other's volumes if
// names were put together carelessly.
var rivals = [][6]string{
	{"a", "data", uid, "b", "data", anotherUID},
	{"a", "data", uid, "a", "data", anotherUID},
	{"a", "b.c", uid, "a.b", "c", anotherUID},
	{"a-b", "c", uid, "a", "b-c", anotherUID},
	{"a", "../b/data", uid, "b", "data", anotherUID},
	{"..", "..", uid, "b", "data", anotherUID},
	{"a", ".deleting", uid, ".deleting", "x", anotherUID},
	{"b/data", "x", uid, "b", "data", anotherUID},
	{"kubernetes-dynamic-pvc-" + anotherUID, "x", uid, "b", "data", anotherUID},
	{"a", "kubernetes-dynamic-pvc-" + anotherUID, uid, "b", "data", anotherUID},
	{"a", "data", "../kubernetes-dynamic-pvc-" + anotherUID, "b", "data", anotherUID},
	{"a", "data", anotherUID + "/x", "b", "data", anotherUID},
	{"a", "data", "", "b", "data", anotherUID},
	{"", "", uid, "b", "data", anotherUID},
	{"ａ", "dätä\u200b", uid, "a", "data", anotherUID},
	{"a", "DATA", uid, "a", "data", anotherUID},
	{"a\x00", "data\n", uid, "a", "data", anotherUID},
	{strings.Repeat("a", 63), strings.Repeat("b", 253), uid, strings.Repeat("a", 64), strings.Repeat("b", 254), anotherUID},
}

// TestTenants has all rivals meet in all classes.
func TestTenants(t *testing.T) {
	for i := range tenantClasses {
		for j := range tenantClasses {
			for _, r := range rivals {
				meet(t, uint8(i), uint8(j), r[0], r[1], r[2], r[3], r[4], r[5], "admin-secret")
			}
		}
	}
}

// FuzzTenants makes the claims of two tenants, in the same class or in two that share
// their place.
func FuzzTenants(f *testing.F) {
	for i, r := range rivals {
		f.Add(uint8(i), uint8(i), r[0], r[1], r[2], r[3], r[4], r[5], "admin-secret")
		f.Add(uint8(5), uint8(i), r[0], r[1], r[2], r[3], r[4], r[5], "admin-secret")
	}
	f.Fuzz(meet)
}

// meet makes two claims; the first says something wherever a claim can.
func meet(t *testing.T, class, otherClass uint8, namespace, name, uid, otherNamespace, otherName, otherUID, said string) {
	t.Helper()
	one := tenant{int(class) % len(tenantClasses), namespace, name, uid}
	other := tenant{int(otherClass) % len(tenantClasses), otherNamespace, otherName, otherUID}
	mine, ok := one.request(t, said)
	theirs, otherOK := other.request(t, "")
	if !ok || !otherOK || uid == otherUID {
		return
	}
	if mine.Deterministic && theirs.Deterministic && namespace == otherNamespace && name == otherName {
		return // the same claim, made again
	}
	checkApart(t, mine, theirs)
}

type tenant struct {
	class                int
	namespace, name, uid string
}

// bare is a claim with nothing but what it is meant to decide.
func (c tenant) bare() *corev1.PersistentVolumeClaim {
	bare := claim("1Gi", corev1.ReadWriteOnce)
	bare.Namespace, bare.Name, bare.UID = c.namespace, c.name, types.UID(c.uid)
	return bare
}

// saying is the same claim, which says something in all other places.
func (c tenant) saying(said string) *corev1.PersistentVolumeClaim {
	full := c.bare()
	full.GenerateName, full.Finalizers = said, []string{said}
	full.OwnerReferences = []metav1.OwnerReference{{Kind: said, Name: said, UID: types.UID(said)}}
	full.Labels, full.Annotations = map[string]string{said: said}, map[string]string{said: said}
	for _, key := range annotationsOfOurs {
		full.Annotations[key], full.Labels[key] = said, said
	}
	full.Spec.VolumeName, full.Spec.StorageClassName, full.Spec.VolumeAttributesClassName = said, &said, &said
	full.Spec.Resources.Limits = corev1.ResourceList{corev1.ResourceName(said): *full.Spec.Resources.Requests.Storage()}
	full.Spec.Resources.Requests[corev1.ResourceName("x"+said)] = *full.Spec.Resources.Requests.Storage()
	full.Status.Phase, full.Status.CurrentVolumeAttributesClassName = corev1.PersistentVolumeClaimPhase(said), &said
	return full
}

// request checks on the way what a single claim must not do.
func (c tenant) request(t *testing.T, said string) (request pvspec.Request, ok bool) {
	t.Helper()
	p := parsed(t, tenantClasses[c.class].kind, tenantClasses[c.class].class)
	request, err := pvspec.NewRequest(p, c.bare())
	again, againErr := pvspec.NewRequest(p, c.saying(said))
	if (err == nil) != (againErr == nil) || !reflect.DeepEqual(request, again) {
		t.Errorf("the claim says %q, and asks for %+v (%v) instead of %+v (%v)", said, again, againErr, request, err)
	}
	if err != nil {
		return request, false
	}
	pv := func(claim *corev1.PersistentVolumeClaim) *corev1.PersistentVolume {
		return request.PersistentVolume("pvc-1", &storagev1.StorageClass{}, claim, cephclient.Cluster{Monitors: p.Monitors}, made(request))
	}
	if plain, got := pv(c.bare()), pv(c.saying(said)); !reflect.DeepEqual(plain, got) {
		t.Errorf("the claim says %q, and gets %+v instead of %+v", said, got, plain)
	}
	c.checkPlace(t, p, request)
	return request, true
}

// checkPlace holds that a claim decides the name below its class's place, and where a
// secret is that the class leaves to it. All else is the class's.
func (c tenant) checkPlace(t *testing.T, p pvspec.Parameters, request pvspec.Request) {
	t.Helper()
	left := request.Parameters
	left.User = p.User
	isUser := request.User.ID == p.User.ID && request.User.Secret.Name == p.User.Secret.Name
	if !reflect.DeepEqual(left, p) || isUser == p.OwnUser {
		t.Errorf("the claim made %+v of the class's %+v", request.Parameters, p)
	}
	if want := cmp.Or(p.User.Secret.Namespace, c.namespace); request.User.Secret.Namespace != want {
		t.Errorf("the secret is in %q rather than %q", request.User.Secret.Namespace, want)
	}
	volume := request.Volume
	if volume.Kind != p.Kind || volume.Container != p.Container || volume.Root != p.Root || !p.Deterministic && volume.Group != p.Group {
		t.Errorf("%+v is not in %+v", volume, p.Place())
	}
	place := map[bool]string{true: p.Root, false: "/volumes/" + p.Group}[volume.IsDirectory()]
	below, isBelow := strings.CutPrefix(volume.Home(), strings.TrimSuffix(place, "/")+"/")
	if p.Kind == cephclient.RBD {
		below, isBelow = volume.Home(), true
	}
	want, slashes := "kubernetes-dynamic-pvc-"+c.uid, 0
	if p.Deterministic {
		want, slashes = c.namespace+"/"+c.name, 1
	}
	if !isBelow || below != want || !fs.ValidPath(below) || strings.Count(below, "/") != slashes || strings.HasPrefix(below, ".") || len(volume.Name) > 255 {
		t.Errorf("%q below %s is not what a volume may be called", below, place)
	}
}

// checkApart holds that neither of two claims reaches what is the other's.
func checkApart(t *testing.T, mine, theirs pvspec.Request) {
	t.Helper()
	one, other := mine.Volume.Home(), theirs.Volume.Home()
	if mine.Kind == theirs.Kind && (one == other || strings.HasPrefix(one, other+"/") || strings.HasPrefix(other, one+"/")) {
		t.Errorf("%s and %s share a volume", mine.Volume, theirs.Volume)
	}
	if !mine.OwnUser {
		return
	}
	if mine.User.ID == theirs.User.ID || mine.User.Secret == theirs.User.Secret {
		t.Errorf("%+v and %+v share a user or secret", mine.User, theirs.User)
	}
	if theirs.OwnUser && pvspec.OwnUserFor(mine.Volume) == theirs.User.ID {
		t.Errorf("the audit takes %s for the user of %s", theirs.User.ID, mine.Volume)
	}
}
