package pvspec_test

import (
	"reflect"
	"strings"
	"testing"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

type parameters map[string]string

// with returns a copy with keys set, or removed where the value is "-".
func (p parameters) with(pairs ...string) parameters {
	changed := parameters{}
	for key, value := range p {
		changed[key] = value
	}
	for i := 0; i < len(pairs); i += 2 {
		changed[pairs[i]] = pairs[i+1]
		if pairs[i+1] == "-" {
			delete(changed, pairs[i])
		}
	}
	return changed
}

var (
	rbdClass = parameters{"monitors": "10.0.0.1", "adminSecretName": "admin-secret", "userSecretName": "user-secret"}
	fsClass  = parameters{"monitors": "10.0.0.1", "adminSecretName": "admin-secret", "userId": "node", "userSecretName": "user-secret"}
)

func class(p parameters) *storagev1.StorageClass {
	return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "fast"}, Parameters: p}
}

func TestParseClassDefaults(t *testing.T) {
	for _, c := range []struct {
		kind  cephclient.Kind
		class parameters
		want  pvspec.Parameters
	}{
		{cephclient.RBD, rbdClass, pvspec.Parameters{
			Kind: cephclient.RBD, Monitors: []string{"10.0.0.1:6789"}, Container: "rbd",
			Admin:  pvspec.Identity{ID: "admin", Secret: pvspec.SecretRef{Namespace: "default", Name: "admin-secret"}},
			User:   pvspec.Identity{ID: "admin", Secret: pvspec.SecretRef{Name: "user-secret"}},
			Create: cephclient.CreateOptions{Features: []string{"layering"}},
		}},
		{cephclient.CephFS, fsClass, pvspec.Parameters{
			Kind: cephclient.CephFS, Monitors: []string{"10.0.0.1:6789"}, Group: "kubernetes",
			Admin: pvspec.Identity{ID: "admin", Secret: pvspec.SecretRef{Namespace: "default", Name: "admin-secret"}},
			User:  pvspec.Identity{ID: "node", Secret: pvspec.SecretRef{Name: "user-secret"}},
		}},
	} {
		got, err := pvspec.ParseClass(c.kind, class(c.class))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v\nwant %+v", c.kind, got, err, c.want)
		}
	}
}

func TestParseClassEverything(t *testing.T) {
	got, err := pvspec.ParseClass(cephclient.RBD, class(parameters{
		"MONITORS": " 10.0.0.1:6790 , mon.example", "adminid": "client.kube", "AdminSecretName": "a", "adminSecretNamespace": "b",
		"Pool": "ssd", "userID": "node", "userSecretName": "c", "userSecretNamespace": "d", "fsType": "xfs", "imageFormat": "2",
		"imageFeatures": "layering, exclusive-lock,object-map,fast-diff,deep-flatten", "dataPool": "ec",
		"objectSize": "8M", "stripeUnit": "65536", "stripeCount": "16", "keyring": "/etc/ceph/keyring",
	}))
	want := pvspec.Parameters{
		Kind: cephclient.RBD, Monitors: []string{"10.0.0.1:6790", "mon.example:6789"}, Container: "ssd", FSType: "xfs", Keyring: "/etc/ceph/keyring",
		Admin: pvspec.Identity{ID: "kube", Secret: pvspec.SecretRef{Namespace: "b", Name: "a"}},
		User:  pvspec.Identity{ID: "node", Secret: pvspec.SecretRef{Namespace: "d", Name: "c"}},
		Create: cephclient.CreateOptions{
			Features: []string{"layering", "exclusive-lock", "object-map", "fast-diff", "deep-flatten"},
			DataPool: "ec", ObjectSizeBytes: 8 << 20, StripeUnitBytes: 1 << 16, StripeCount: 16,
		},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	got, err = pvspec.ParseClass(cephclient.CephFS, class(fsClass.with(
		"cluster", "ceph", "claimRoot", "/volumes/tenants/", "deterministicNames", "False", "fsName", "archive",
		"backend", "subvolume", "dataPool", "hdd", "namespaceIsolated", "true")))
	if err != nil || got.Group != "tenants" || got.Container != "archive" || got.Create.DataPool != "hdd" || !got.Create.NamespaceIsolated {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestParseClassPicksTheBackendThatCan(t *testing.T) {
	for name, c := range map[string]struct {
		class         parameters
		group, root   string
		deterministic bool
	}{
		"nothing said":         {class: fsClass, group: "kubernetes"},
		"root that is a group": {class: fsClass.with("claimRoot", "/volumes/a/"), group: "a"},
		"root elsewhere":       {class: fsClass.with("claimRoot", "pvc-volumes/"), root: "/pvc-volumes"},
		"root of all":          {class: fsClass.with("claimRoot", "/"), root: "/"},
		"root two levels down": {class: fsClass.with("claimRoot", "/volumes/a/b"), root: "/volumes/a/b"},
		"deterministic":        {class: fsClass.with("deterministicNames", "true"), root: "/volumes/kubernetes", deterministic: true},
		"directory":            {class: fsClass.with("backend", "directory"), root: "/volumes/kubernetes"},
	} {
		got, err := pvspec.ParseClass(cephclient.CephFS, class(c.class))
		if err != nil || got.Group != c.group || got.Root != c.root || got.Deterministic != c.deterministic {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestParseClassRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		kind  cephclient.Kind
		class parameters
		says  []string
	}{
		"unknown key":                      {cephclient.RBD, rbdClass.with("imageFeature", "layering"), []string{`"imageFeature"`, "imageFeatures"}},
		"key of the other kind":            {cephclient.RBD, rbdClass.with("claimRoot", "/volumes/x"), []string{`"claimRoot"`}},
		"the same key twice":               {cephclient.RBD, rbdClass.with("Pool", "a", "pool", "b"), []string{`"Pool"`, `"pool"`}},
		"no monitors":                      {cephclient.RBD, rbdClass.with("monitors", "-"), []string{"monitors is required"}},
		"empty monitors":                   {cephclient.RBD, rbdClass.with("monitors", " , "), []string{"monitors"}},
		"no admin secret":                  {cephclient.RBD, rbdClass.with("adminSecretName", "-"), []string{"adminSecretName is required"}},
		"neither user secret nor keyring":  {cephclient.RBD, rbdClass.with("userSecretName", "-"), []string{"userSecretName", "keyring"}},
		"unknown keys":                     {cephclient.RBD, rbdClass.with("image_format", "2", "secret-ref", "x"), []string{`unknown parameter "image_format" (imageFormat?), "secret-ref" (accepted: monitors,`}},
		"journaling":                       {cephclient.RBD, rbdClass.with("imageFeatures", "layering,journaling"), []string{"imageFeatures", `"journaling"`, "no kernel"}},
		"striping":                         {cephclient.RBD, rbdClass.with("imageFeatures", "layering,striping"), []string{"imageFeatures", `"striping"`, "stripeUnit"}},
		"unknown key and another fault":    {cephclient.RBD, rbdClass.with("pol", "x", "imageFormat", "1"), []string{`"pol"`, "imageFormat"}},
		"two faults at once":               {cephclient.RBD, rbdClass.with("monitors", "-", "fsType", "ntfs"), []string{"monitors", "fsType", "ext4"}},
		"image format 1":                   {cephclient.RBD, rbdClass.with("imageFormat", "1"), []string{"imageFormat", `with "2"`, "same name"}},
		"feature that krbd never had":      {cephclient.RBD, rbdClass.with("imageFeatures", "layering,journaling"), []string{"journaling", "deep-flatten"}},
		"feature without its dependency":   {cephclient.RBD, rbdClass.with("imageFeatures", "layering,object-map"), []string{"object-map needs exclusive-lock"}},
		"fast-diff without object-map":     {cephclient.RBD, rbdClass.with("imageFeatures", "exclusive-lock,fast-diff"), []string{"fast-diff needs object-map"}},
		"object size not a power of two":   {cephclient.RBD, rbdClass.with("objectSize", "3M"), []string{"objectSize", "power of two"}},
		"object size too large":            {cephclient.RBD, rbdClass.with("objectSize", "64M"), []string{"objectSize", "32M"}},
		"object size no number":            {cephclient.RBD, rbdClass.with("objectSize", "big"), []string{"objectSize", "4M"}},
		"object size beyond int64":         {cephclient.RBD, rbdClass.with("objectSize", "99999999999999999999G"), []string{"objectSize"}},
		"stripe unit alone":                {cephclient.RBD, rbdClass.with("stripeUnit", "64K"), []string{"stripeUnit", "stripeCount", "together"}},
		"stripe unit does not divide":      {cephclient.RBD, rbdClass.with("stripeUnit", "48K", "stripeCount", "2"), []string{"stripeUnit"}},
		"stripe unit larger than object":   {cephclient.RBD, rbdClass.with("objectSize", "1M", "stripeUnit", "2M", "stripeCount", "2"), []string{"stripeUnit"}},
		"stripe count zero":                {cephclient.RBD, rbdClass.with("stripeUnit", "64K", "stripeCount", "0"), []string{"stripeCount"}},
		"pool with a slash":                {cephclient.RBD, rbdClass.with("pool", "rbd/ns"), []string{"pool", "rbd/ns"}},
		"half a user":                      {cephclient.CephFS, fsClass.with("userId", "-"), []string{"userId", "userSecretName"}},
		"backend that is not there":        {cephclient.CephFS, fsClass.with("backend", "tape"), []string{"backend", "subvolume", "directory"}},
		"root that is not a group":         {cephclient.CephFS, fsClass.with("backend", "subvolume", "claimRoot", "/data/k8s"), []string{"claimRoot", "/volumes/GROUP", "directory"}},
		"root two levels below":            {cephclient.CephFS, fsClass.with("backend", "subvolume", "claimRoot", "/volumes/a/b"), []string{"claimRoot"}},
		"root with an empty part":          {cephclient.CephFS, fsClass.with("claimRoot", "/data//k8s"), []string{"claimRoot", "plain absolute path"}},
		"root that caps would misread":     {cephclient.CephFS, fsClass.with("claimRoot", "/data, allow rw path=/"), []string{"claimRoot", "plain absolute path"}},
		"group for directories":            {cephclient.CephFS, fsClass.with("backend", "directory", "subvolumeGroup", "b"), []string{"subvolumeGroup", "claimRoot"}},
		"root that climbs":                 {cephclient.CephFS, fsClass.with("claimRoot", "/volumes/.."), []string{"claimRoot"}},
		"group that climbs":                {cephclient.CephFS, fsClass.with("subvolumeGroup", ".."), []string{"subvolumeGroup"}},
		"root and group differ":            {cephclient.CephFS, fsClass.with("claimRoot", "/volumes/a", "subvolumeGroup", "b"), []string{"contradict"}},
		"deterministic names":              {cephclient.CephFS, fsClass.with("backend", "subvolume", "deterministicNames", "true"), []string{"deterministicNames", "directory"}},
		"boolean that is none":             {cephclient.CephFS, fsClass.with("namespaceIsolated", "yes"), []string{"namespaceIsolated", "true, false"}},
		"monitor with the v2 port":         {cephclient.CephFS, fsClass.with("monitors", "10.0.0.1:3300"), []string{"msgr v2", "6789"}},
		"image feature in a CephFS class ": {cephclient.CephFS, fsClass.with("imageFeatures", "layering"), []string{`"imageFeatures"`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pvspec.ParseClass(c.kind, class(c.class))
			if err == nil {
				t.Fatal("accepted")
			}
			for _, text := range c.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("the message does not say %q: %v", text, err)
				}
			}
		})
	}
}

func TestParseMonitors(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.1":                                  "10.0.0.1:6789",
		"10.0.0.1:6789,10.0.0.2:6790":               "10.0.0.1:6789 10.0.0.2:6790",
		" 10.0.0.1:6789 ,\n\t10.0.0.2 ":             "10.0.0.1:6789 10.0.0.2:6789",
		"10.0.0.1:6789;10.0.0.1:6789":               "10.0.0.1:6789",
		"mon.ceph.svc.cluster.local.:6789":          "mon.ceph.svc.cluster.local.:6789",
		"v1:10.0.0.1:6789/0":                        "10.0.0.1:6789",
		"[v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0]":   "10.0.0.1:6789",
		"[v2:[fd00::1]:3300/0,v1:[fd00::1]:6789/0]": "[fd00::1]:6789",
		"[fd00::1]:6789,fd00::2":                    "[fd00::1]:6789 [fd00::2]:6789",
	} {
		got, err := pvspec.ParseMonitors(text)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: got %v, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", ",", "v2:10.0.0.1:3300", "[v2:10.0.0.1:3300/0]", "10.0.0.1:3300", "10.0.0.1:0", "10.0.0.1:99999",
		"10.0.0.1:http", "http://mon", "-mon", "mon_1/x", "[fd00::1", "a:b:c",
	} {
		if got, err := pvspec.ParseMonitors(text); err == nil {
			t.Errorf("%q: accepted as %v", text, got)
		}
	}
}
