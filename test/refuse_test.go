package e2e

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// refusal is a claim that can't be served, and what its event must contain: what
// is wrong, and what would be right.
type refusal struct {
	class []classChange
	claim []claimChange
	size  string // 1Gi if empty
	want  []string
}

// wantRefused checks that the claim hears why it gets no volume, and that nothing
// has been made for it.
func (r refusal) wantRefused(t *testing.T, s *scene, ceph *cephCluster, newClass func(*cephCluster, ...classChange) string) {
	t.Helper()
	if r.size == "" {
		r.size = "1Gi"
	}
	claim := s.claim(newClass(ceph, r.class...), r.size, r.claim...)
	s.event(claim, "ProvisioningFailed", r.want...)
	s.wantPending(claim)
	ceph.wantNoTrace(t, claim)
}

func selector(claim *corev1.PersistentVolumeClaim) {
	claim.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "gold"}}
}

func dataSource(claim *corev1.PersistentVolumeClaim) {
	group := "snapshot.storage.k8s.io"
	claim.Spec.DataSource = &corev1.TypedLocalObjectReference{APIGroup: &group, Kind: "VolumeSnapshot", Name: "yesterday"}
}

func twice(key, value string) classChange {
	return func(class *storagev1.StorageClass) {
		class.Parameters[strings.ToUpper(key)] = value
		class.Parameters[key] = value
	}
}

func TestRefuseRBD(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	features := func(list string) []classChange { return []classChange{with("imageFeatures", list)} }
	tests := map[string]refusal{
		"unknown parameter":             {class: []classChange{with("imagefeature", "layering")}, want: []string{`"imagefeature"`, "imageFeatures", "stripeCount"}},
		"keys of a chart":               {class: []classChange{with("image_features", "layering"), with("image_format", "2")}, want: []string{`"image_features" (imageFeatures?), "image_format" (imageFormat?) (accepted: monitors`}},
		"parameter of the other kind":   {class: []classChange{with("fsName", "cephfs")}, want: []string{`"fsName"`, "accepted"}},
		"parameter given twice":         {class: []classChange{twice("fsType", "ext4")}, want: []string{"fsType", "FSTYPE", "same"}},
		"no monitors":                   {class: []classChange{without("monitors")}, want: []string{"monitors is required"}},
		"no admin secret":               {class: []classChange{without("adminSecretName")}, want: []string{"adminSecretName is required"}},
		"no user secret":                {class: []classChange{without("userSecretName")}, want: []string{"userSecretName is required", "keyring"}},
		"two faults at once":            {class: []classChange{without("adminSecretName", "monitors")}, want: []string{"monitors", "adminSecretName"}},
		"monitors that are no address":  {class: []classChange{with("monitors", "not an address!")}, want: []string{"monitors", "host:port"}},
		"monitors of msgr v2":           {class: []classChange{with("monitors", "v2:127.0.0.1:3300")}, want: []string{"monitors", "v2", "6789"}},
		"monitors with the port of v2":  {class: []classChange{with("monitors", "127.0.0.1:3300")}, want: []string{"monitors", "v2", "6789"}},
		"monitors of an unknown name":   {class: []classChange{with("monitors", "mon.invalid")}, want: []string{"mon.invalid", "DNS"}},
		"pool with a slash":             {class: []classChange{with("pool", "a/b")}, want: []string{"pool", `"a/b"`, "no slash"}},
		"fsType":                        {class: []classChange{with("fsType", "ntfs")}, want: []string{"fsType", "ntfs", "ext4", "xfs"}},
		"imageFormat 1":                 {class: []classChange{with("imageFormat", "1")}, want: []string{"imageFormat", `with "2"`, "same name"}},
		"image feature that krbd lacks": {class: features("layering,journaling"), want: []string{"imageFeatures", "journaling", "layering, exclusive-lock"}},
		"object-map on its own":         {class: features("layering,object-map"), want: []string{"object-map needs exclusive-lock"}},
		"fast-diff without object-map":  {class: features("exclusive-lock,fast-diff"), want: []string{"fast-diff needs object-map"}},
		"object size of 3 MiB":          {class: []classChange{with("objectSize", "3M")}, want: []string{"objectSize", "power of two", "4K to 32M"}},
		"object size that is no size":   {class: []classChange{with("objectSize", "large")}, want: []string{"objectSize", `"large"`}},
		"stripe unit on its own":        {class: []classChange{with("stripeUnit", "65536")}, want: []string{"stripeUnit", "stripeCount", "together"}},
		"stripe unit that is too large": {class: []classChange{with("stripeUnit", "8M"), with("stripeCount", "2")}, want: []string{"stripeUnit", "divide"}},
		"stripe count 0":                {class: []classChange{with("stripeUnit", "65536"), with("stripeCount", "0")}, want: []string{"stripeCount", "positive"}},

		"admin secret that is missing":      {class: []classChange{with("adminSecretName", "nowhere")}, want: []string{ceph.Name + "/nowhere", "does not exist", "create it"}},
		"user secret that is missing":       {class: []classChange{with("userSecretName", "nowhere")}, want: []string{ceph.Name + "/nowhere", "does not exist", "create it"}},
		"identity that Ceph does not know":  {class: []classChange{with("adminId", "stranger")}, want: []string{"client.stranger", ceph.Name + "/" + rbdAdminSecret, "ceph auth"}},
		"identity of another secret's key":  {class: []classChange{with("adminSecretName", rbdUserSecret)}, want: []string{"client." + rbdAdminID, ceph.Name + "/" + rbdUserSecret, "ceph auth"}},
		"identity whose caps are too small": {class: []classChange{with("adminId", cephfsAdminID), with("adminSecretName", cephfsAdminName)}, want: []string{"permission denied", "caps"}},
		"pool that is missing":              {class: []classChange{with("pool", "nowhere")}, want: []string{`no pool "nowhere"`}},
		"data pool that is missing":         {class: []classChange{with("dataPool", "nowhere")}, want: []string{`no pool "nowhere"`}},
		"monitors where nobody listens":     {class: []classChange{with("monitors", "127.0.0.1:1")}, want: []string{"127.0.0.1:1", "does not answer", "check the monitors"}},

		"selector":                      {claim: []claimChange{selector}, want: []string{"selector", "remove it"}},
		"data source":                   {claim: []claimChange{dataSource}, want: []string{"data source", "remove dataSource"}},
		"many writers of a file system": {claim: []claimChange{modes(corev1.ReadWriteMany)}, want: []string{"ReadWriteMany", "volumeMode Block", "CephFS"}},
		"more than a number can hold":   {size: "9Ei", want: []string{"asks for", "less than 8Ei"}},
		"more than any image can hold":  {size: "9223372036854775000", want: []string{"objects", "may have", "ask for another size"}},
		"more than object-map can hold": {class: features("layering,exclusive-lock,object-map"), size: "1Pi", want: []string{"refused as invalid"}},
	}
	for state, refused := range tests {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			refused.wantRefused(t, s, ceph, s.rbdClass)
		})
	}
}

func TestRefuseCephFS(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	tests := map[string]refusal{
		"unknown parameter":               {class: []classChange{with("quota", "true")}, want: []string{`"quota"`, "subvolumeGroup"}},
		"no monitors":                     {class: []classChange{without("monitors")}, want: []string{"monitors is required"}},
		"no admin secret":                 {class: []classChange{without("adminSecretName")}, want: []string{"adminSecretName is required"}},
		"half a user":                     {class: []classChange{without("userId")}, want: []string{"userId", "userSecretName", "give both"}},
		"claimRoot outside of /volumes":   {class: []classChange{with("claimRoot", "/kubernetes"), with("backend", "subvolume")}, want: []string{"claimRoot", "/volumes/GROUP", "directory"}},
		"claimRoot that leads upwards":    {class: []classChange{with("claimRoot", "/volumes/..")}, want: []string{"claimRoot", "plain absolute path"}},
		"claimRoot against the group":     {class: []classChange{with("claimRoot", "/volumes/a"), with("subvolumeGroup", "b")}, want: []string{"claimRoot", "subvolumeGroup", "contradict"}},
		"group with a slash":              {class: []classChange{with("subvolumeGroup", "a/b")}, want: []string{"subvolumeGroup", "no slash"}},
		"deterministic names":             {class: []classChange{with("deterministicNames", "true"), with("backend", "subvolume")}, want: []string{"deterministicNames", "directory"}},
		"unknown backend":                 {class: []classChange{with("backend", "tape")}, want: []string{"backend", "tape", "subvolume"}},
		"namespaceIsolated that is vague": {class: []classChange{with("namespaceIsolated", "maybe")}, want: []string{"namespaceIsolated", "true, false"}},

		"admin secret that is missing":            {class: []classChange{with("adminSecretName", "nowhere")}, want: []string{ceph.Name + "/nowhere", "does not exist"}},
		"user secret that is missing":             {class: []classChange{with("userSecretName", "nowhere")}, want: []string{ceph.Name + "/nowhere", "does not exist"}},
		"identity that Ceph does not know":        {class: []classChange{with("adminId", "stranger")}, want: []string{"client.stranger", "ceph auth"}},
		"identity whose caps are too small":       {class: []classChange{with("adminId", rbdUserID), with("adminSecretName", rbdUserSecret)}, want: []string{"permission denied", "caps"}},
		"file system that is missing":             {class: []classChange{with("fsName", "nowhere")}, want: []string{`no file system "nowhere"`, ceph.FileSystem, "fsName"}},
		"data pool that is not the file system's": {class: []classChange{with("dataPool", ceph.RBDPool)}, want: []string{"dataPool", ceph.RBDPool, ceph.FileSystem, "add_data_pool"}},
		"monitors where nobody listens":           {class: []classChange{with("monitors", "127.0.0.1:1")}, want: []string{"127.0.0.1:1", "does not answer", "check the monitors"}},

		"selector":                    {claim: []claimChange{selector}, want: []string{"selector", "remove it"}},
		"data source":                 {claim: []claimChange{dataSource}, want: []string{"data source", "remove dataSource"}},
		"more than a number can hold": {size: "9Ei", want: []string{"asks for", "less than 8Ei"}},
		"block volume":                {claim: []claimChange{block}, want: []string{"block"}},
	}
	for state, refused := range tests {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			refused.wantRefused(t, s, ceph, s.cephfsClass)
		})
	}
}

// These are nobody's, but of the right form. Ceph before 19.2.6 and 20.2.4 can't read the second.
const (
	wrongKey        = "AQBgFQRmAAAAABAAAAAAAAAAAAAAAAAAAAAAAA=="
	wrongAES256KKey = "AgBgFQRmAAAAACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
)

// Secrets that are there but hold no usable key.
func TestRefuseSecrets(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	key, err := ceph.key(t.Context(), rbdAdminID)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		role    string // admin or user
		entries map[string]string
		want    []string
	}{
		"admin secret without entries":        {"admin", map[string]string{}, []string{`no entry "key"`}},
		"admin secret with other entries":     {"admin", map[string]string{"a": key, "b": key}, []string{`no entry "key"`}},
		"admin secret with garbage":           {"admin", map[string]string{"key": "garbage"}, []string{"no cephx key", "ceph auth"}},
		"admin secret with a key of no one's": {"admin", map[string]string{"key": wrongKey}, []string{"refuses this identity or key", "ceph auth", "auth_allowed_ciphers"}},
		"admin secret with a new kind of key": {"admin", map[string]string{"key": wrongAES256KKey}, []string{"refuses this identity or key", "aes256k", "20.2.4 or later"}},
		"user secret with two entries":        {"user", map[string]string{"key": key, "id": "me"}, []string{"2 entries", "kubelet"}},
		"user secret with garbage":            {"user", map[string]string{"key": "garbage"}, []string{"no cephx key"}},
	}
	for state, test := range tests {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.secret("spoilt", test.entries)
			refusal{
				class: []classChange{with(test.role+"SecretNamespace", s.namespace), with(test.role+"SecretName", "spoilt")},
				want:  append(test.want, s.namespace+"/spoilt"),
			}.wantRefused(t, s, ceph, s.rbdClass)
		})
	}
}

// A claim that was refused is served when the cause is gone, without anybody
// touching the claim.
func TestRefusedClaimsAreServedWhenTheCauseIsGone(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]

	t.Run("a secret with a wrong key", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		s.secret(rbdAdminSecret, map[string]string{"key": "garbage"})
		claim := s.claim(s.rbdClass(ceph, with("adminSecretNamespace", s.namespace)), "1Gi")
		s.event(claim, "ProvisioningFailed", "no cephx key")
		s.adminSecret(ceph, rbdAdminID)
		s.bound(claim)
	})

	t.Run("the user's secret, in the claim's namespace", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		claim := s.claim(s.cephfsClass(ceph, without("userSecretNamespace")), "1Gi")
		s.event(claim, "ProvisioningFailed", s.namespace+"/"+cephfsUserName, "does not exist")
		s.adminSecret(ceph, cephfsUserID)
		if got := s.bound(claim).Spec.CephFS.SecretRef.Namespace; got != s.namespace {
			t.Errorf("the volume's secret is in namespace %q, want the claim's, %q", got, s.namespace)
		}
	})

	t.Run("a pool", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		pool := s.ownPool(ceph)
		claim := s.claim(pool.class, "1Gi")
		s.event(claim, "ProvisioningFailed", "no pool", pool.name)
		pool.create()
		pv := s.bound(claim)
		ceph.image(t, pool.name+"/"+volumeName(claim))
		s.deleteClaim(claim)
		s.gone(pv.Name)
		pool.remove()
	})
}

// Sizes that never reach the controller.
func TestSizesThatKubernetesRefuses(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	class := s.rbdClass(suite.ceph[0])
	for _, size := range []string{"0", "-1Gi"} {
		_, err := suite.client.CoreV1().PersistentVolumeClaims(s.namespace).Create(t.Context(), s.newClaim(class, size), metav1.CreateOptions{})
		if !apierrors.IsInvalid(err) {
			t.Errorf("the API server says %v to a claim of size %s, want that it is invalid", err, size)
		}
	}
}
