package pvspec_test

import (
	"net"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// fuzzClasses are classes of each sort, for targets that change one.
var fuzzClasses = []struct {
	kind  cephclient.Kind
	class parameters
}{
	{cephclient.RBD, rbdClass},
	{cephclient.RBD, rbdClass.with("userSecretName", "-", "keyring", "/etc/ceph/keyring")},
	{cephclient.CephFS, fsClass},
	{cephclient.CephFS, fsClass.with("userId", "-", "userSecretName", "-")},
	{cephclient.CephFS, fsClass.with("userId", "-", "userSecretName", "-", "claimRoot", "/data/k8s")},
	{cephclient.CephFS, fsClass.with("userId", "-", "userSecretName", "-", "deterministicNames", "true")},
	{cephclient.CephFS, fsClass.with("deterministicNames", "true", "claimRoot", "/")},
}

// silly are values that some parameter or other takes amiss.
var silly = []string{
	"", " ", "-", ".", "..", "../..", "/", "//", "/..", "/.", "/volumes", "/volumes/", "/volumes/a", "/volumes/_deleting", "/a/../b", "/data, allow rw path=/",
	"/a;b", "/data/.deleting", "/data/.snap/x", "a/b", "a@b", "a,b", "a;b", `a"b`, "a'b", "a b", "a\tb", "a\u00a0b", "a\u0085b", "a\x00b", "\x00", "\xff", "ä", "_nogroup", "client.", "client.client.a",
	"true", "TRUE", "yes", "subvolume", "directory", "0", "1", "2", "-1", "+4M", "4M", "4096K", "2147483647G", "99999999999999999999G", "9223372036854775807", "48K",
	"layering", "layering,", "object-map,exclusive-lock,fast-diff", "fast-diff", "v1:10.0.0.1:6789/0", "10.0.0.1:03300", "10.0.0.1:006789", "[::1]", "[v2:1.1.1.1:3300,v1:1.1.1.1:1]",
	strings.Repeat("a", 300), strings.Repeat("/a", 300),
}

var fuzzKeys = []string{
	"monitors", "adminId", "adminSecretName", "adminSecretNamespace", "dataPool", "userId", "userSecretName", "userSecretNamespace",
	"pool", "keyring", "fsType", "imageFormat", "imageFeatures", "objectSize", "stripeUnit", "stripeCount",
	"cluster", "claimRoot", "deterministicNames", "fsName", "subvolumeGroup", "backend", "namespaceIsolated", "", "unknown", "MONITORS",
}

// TestParseClassSilly gives each silly value to each key.
func TestParseClassSilly(t *testing.T) {
	for i := range fuzzClasses {
		for _, key := range fuzzKeys {
			for _, value := range silly {
				changeClass(t, uint8(i), key, value, key, value)
			}
		}
	}
}

// FuzzParseClass changes two parameters of a class that is right.
func FuzzParseClass(f *testing.F) {
	for i := range fuzzClasses {
		for j, key := range fuzzKeys {
			f.Add(uint8(i), key, silly[(i+j)%len(silly)], fuzzKeys[(i+j)%len(fuzzKeys)], silly[j%len(silly)])
		}
		f.Add(uint8(i), "stripeUnit", "64K", "stripeCount", "2147483647")
		f.Add(uint8(i), "claimRoot", "/volumes/a", "subvolumeGroup", "b")
		f.Add(uint8(i), "pool", "a", "Pool", "b")
		f.Add(uint8(i), "imageFeatures", "layering,exclusive-lock,object-map", "objectSize", "8M")
	}
	f.Fuzz(changeClass)
}

func changeClass(t *testing.T, base uint8, key, value, other, otherValue string) {
	t.Helper()
	chosen := fuzzClasses[int(base)%len(fuzzClasses)]
	changed := class(chosen.class.with(key, value, other, otherValue))
	got, err := pvspec.ParseClass(chosen.kind, changed)
	if err != nil {
		if !names(err, key) && !names(err, other) {
			t.Errorf("%q and %q were changed, and the message names neither: %v", key, other, err)
		}
		return
	}
	checkParameters(t, got)
	thereAndBack(t, got, changed)
}

func names(err error, key string) bool {
	return strings.Contains(strings.ToLower(err.Error()), strings.ToLower(key)) || strings.Contains(err.Error(), strconv.Quote(key))
}

// checkParameters holds what all code behind ParseClass relies on.
func checkParameters(t *testing.T, p pvspec.Parameters) {
	t.Helper()
	checkMonitors(t, p.Monitors)
	must := func(right bool, what string) {
		t.Helper()
		if !right {
			t.Errorf("%s: %+v", what, p)
		}
	}
	plain := func(name string) bool {
		return !strings.ContainsAny(name, "/@, \t\r\n\x00\"") && name != "." && name != ".."
	}
	isSecret := func(ref pvspec.SecretRef) bool {
		return len(validation.IsDNS1123Subdomain(ref.Name)) == 0 && (ref.Namespace == "" || len(validation.IsDNS1123Label(ref.Namespace)) == 0)
	}
	must(p.Admin.ID != "" && !strings.ContainsAny(p.Admin.ID, ", \t\r\n\x00\""), "the admin's identity")
	must(isSecret(p.Admin.Secret) && p.Admin.Secret.Namespace != "", "the admin's secret")
	must(plain(p.Container) && plain(p.Create.DataPool) && plain(p.Group), "pool, file system or group")
	if p.Kind == cephclient.RBD {
		must(p.Container != "" && p.Root == "" && p.Group == "" && !p.OwnUser && !p.Deterministic, "the place of images")
		must(p.User.ID != "" && (p.Keyring != "" || isSecret(p.User.Secret)), "who maps images")
		checkLayout(t, p.Create)
		return
	}
	must((p.Root == "") != (p.Group == ""), "either root or group")
	must(p.Root == "" || path.IsAbs(p.Root) && path.Clean(p.Root) == p.Root && !strings.Contains(p.Root, "/."), "the root")
	must(!strings.HasPrefix(p.Group, "_") && !strings.HasPrefix(p.Group, "."), "the group is the mgr's")
	must(!p.Deterministic || p.Root != "", "only directories have names of one's choice")
	must(p.OwnUser == (p.User.ID == "") && p.OwnUser == (p.User.Secret.Name == ""), "own users have no name yet")
	must(p.OwnUser || isSecret(p.User.Secret), "the user's secret")
	must(!p.OwnUser || !strings.ContainsAny(p.Root+p.Group, " ,;=\"'*[]{}()"), "a path in caps")
}

func checkLayout(t *testing.T, create cephclient.CreateOptions) {
	t.Helper()
	size := create.ObjectSizeBytes
	if size != 0 && (size < 4096 || size > 32<<20 || size&(size-1) != 0) {
		t.Errorf("object size %d", size)
	}
	if size == 0 {
		size = 4 << 20
	}
	unit, count := create.StripeUnitBytes, create.StripeCount
	if (unit == 0) != (count == 0) || unit < 0 || count < 0 || unit > 0 && size%unit != 0 {
		t.Errorf("stripes of %d in %d objects of %d", unit, count, size)
	}
	for feature, needs := range map[string]string{"object-map": "exclusive-lock", "fast-diff": "object-map"} {
		if slices.Contains(create.Features, feature) && !slices.Contains(create.Features, needs) {
			t.Errorf("%s without %s", feature, needs)
		}
	}
	if len(create.Features) == 0 || slices.Contains(create.Features, "") || slices.Contains(create.Features, "journaling") {
		t.Errorf("features %q", create.Features)
	}
}

func checkMonitors(t *testing.T, monitors []string) {
	t.Helper()
	for _, monitor := range monitors {
		host, port, err := net.SplitHostPort(monitor)
		number, numberErr := strconv.ParseUint(port, 10, 16)
		if err != nil || numberErr != nil || host == "" || number == 0 || port == "3300" || strconv.FormatUint(number, 10) != port {
			t.Errorf("monitor %q", monitor)
		}
		if net.ParseIP(host) == nil && strings.ContainsAny(host, "/:,; \t\n[]%@\x00") {
			t.Errorf("monitor %q: %q is no host", monitor, host)
		}
	}
	if len(monitors) == 0 {
		t.Error("no monitors")
	}
}

// made is what Ceph says of a volume that it has made as it was asked to.
func made(request pvspec.Request) cephclient.Info {
	info := cephclient.Info{Volume: request.Volume, SizeBytes: request.SizeBytes}
	if request.Kind == cephclient.CephFS {
		if info.Volume.Container == "" {
			info.Volume.Container = "cephfs"
		}
		if info.Volume.Path = info.Volume.Home(); !info.Volume.IsDirectory() {
			info.Volume.Path += "/5f2c8a"
		}
	}
	return info
}

// thereAndBack makes a volume of a class, and reads from its PersistentVolume alone what
// deletion and growth need.
func thereAndBack(t *testing.T, p pvspec.Parameters, class *storagev1.StorageClass) {
	t.Helper()
	claim := claim("1Gi", corev1.ReadWriteOnce)
	request, err := pvspec.NewRequest(p, claim)
	if err != nil {
		t.Errorf("a class is accepted, and no claim of it: %v", err)
		return
	}
	info := made(request)
	pv := request.PersistentVolume("pvc-1", class, claim, cephclient.Cluster{Monitors: p.Monitors}, info)
	source, err := pvspec.FromPersistentVolume(pv, nil)
	want := pvspec.Source{Volume: info.Volume, Monitors: p.Monitors, Admin: p.Admin}
	if err != nil || !reflect.DeepEqual(source, want) {
		t.Errorf("read back as %+v, %v; want %+v", source, err, want)
	}
	if user, own := pvspec.OwnUserOf(pv, source.Volume); own != p.OwnUser || own && user.Identity != request.User {
		t.Errorf("the user is %+v, %t; want %+v, %t", user, own, request.User, p.OwnUser)
	}
	if pvspec.CapacityBytes(pv) != request.SizeBytes {
		t.Errorf("capacity %v", pv.Spec.Capacity)
	}
}
