package pvspec_test

import (
	"encoding/base64"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

func claim(size string, modes ...corev1.PersistentVolumeAccessMode) *corev1.PersistentVolumeClaim {
	if len(modes) == 0 {
		modes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	}
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "tenant", Name: "data", UID: "1-2-3"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: modes,
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}},
		},
	}
}

func block(claim *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
	mode := corev1.PersistentVolumeBlock
	claim.Spec.VolumeMode = &mode
	return claim
}

func parsed(t *testing.T, kind cephclient.Kind, p parameters) pvspec.Parameters {
	t.Helper()
	got, err := pvspec.ParseClass(kind, class(p))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestBytes(t *testing.T) {
	for size, want := range map[string]int64{"1": 1, "1Gi": 1 << 30, "1500001": 1500001, "100m": 1, "1.5": 2, "7Ei": 7 << 60, "1e3": 1000} {
		if got, err := pvspec.Bytes(resource.MustParse(size)); err != nil || got != want {
			t.Errorf("%s: got %d, %v; want %d", size, got, err, want)
		}
	}
	for _, size := range []string{"0", "-1Gi", "8Ei", "9Ei", "1e30"} {
		if got, err := pvspec.Bytes(resource.MustParse(size)); err == nil {
			t.Errorf("%s: accepted as %d", size, got)
		}
	}
}

func TestNewRequestChecksTheClaim(t *testing.T) {
	const rwo, rox, rwx, rwop = corev1.ReadWriteOnce, corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOncePod
	selector := claim("1Gi")
	selector.Spec.Selector = &metav1.LabelSelector{}
	source := claim("1Gi")
	source.Spec.DataSource = &corev1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: "other"}
	modeless := claim("1Gi")
	modeless.Spec.AccessModes = nil
	for name, c := range map[string]struct {
		kind  cephclient.Kind
		claim *corev1.PersistentVolumeClaim
		says  string // empty: accepted
	}{
		"RBD RWO":                    {cephclient.RBD, claim("1Gi", rwo), ""},
		"RBD RWO and ROX":            {cephclient.RBD, claim("1Gi", rwo, rox), ""},
		"RBD RWOP":                   {cephclient.RBD, claim("1Gi", rwop), ""},
		"RBD RWX with file system":   {cephclient.RBD, claim("1Gi", rwo, rwx), "ReadWriteMany"},
		"RBD RWX block":              {cephclient.RBD, block(claim("1Gi", rwx)), ""},
		"CephFS RWX":                 {cephclient.CephFS, claim("1Gi", rwx), ""},
		"CephFS all":                 {cephclient.CephFS, claim("1Gi", rwo, rox, rwx), ""},
		"selector":                   {cephclient.RBD, selector, "selector"},
		"data source":                {cephclient.CephFS, source, "data source"},
		"no access mode":             {cephclient.RBD, modeless, "access mode"},
		"size that nothing can have": {cephclient.RBD, claim("8Ei"), "8Ei"},
	} {
		t.Run(name, func(t *testing.T) {
			p := map[cephclient.Kind]parameters{cephclient.RBD: rbdClass, cephclient.CephFS: fsClass}[c.kind]
			_, err := pvspec.NewRequest(parsed(t, c.kind, p), c.claim)
			switch {
			case c.says == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("the message does not say %q: %v", c.says, err)
			}
		})
	}
}

// TestThereAndBack makes PersistentVolumes and reads from them, without their
// class, what deletion and growth need.
func TestThereAndBack(t *testing.T) {
	cluster := cephclient.Cluster{Monitors: []string{"10.0.0.1:6789", "10.0.0.2:6789"}}
	retain := corev1.PersistentVolumeReclaimRetain
	storageClass := &storagev1.StorageClass{ReclaimPolicy: &retain, MountOptions: []string{"noatime"}}
	for name, c := range map[string]struct {
		kind   cephclient.Kind
		class  parameters
		claim  *corev1.PersistentVolumeClaim
		volume cephclient.Volume
		path   string
		want   corev1.PersistentVolumeSource
	}{
		"RBD with a file system": {
			kind: cephclient.RBD, class: rbdClass.with("userId", "node", "fsType", "xfs"), claim: claim("1Gi"),
			volume: cephclient.Volume{Kind: cephclient.RBD, Container: "rbd", Name: "kubernetes-dynamic-pvc-1-2-3"},
			want: corev1.PersistentVolumeSource{RBD: &corev1.RBDPersistentVolumeSource{
				CephMonitors: cluster.Monitors, RBDPool: "rbd", RBDImage: "kubernetes-dynamic-pvc-1-2-3", RadosUser: "node", FSType: "xfs",
				SecretRef: &corev1.SecretReference{Namespace: "tenant", Name: "user-secret"},
			}},
		},
		"RBD block with a keyring on the nodes": {
			kind: cephclient.RBD, class: rbdClass.with("userSecretName", "-", "keyring", "/k", "fsType", "xfs"), claim: block(claim("1Gi")),
			volume: cephclient.Volume{Kind: cephclient.RBD, Container: "rbd", Name: "kubernetes-dynamic-pvc-1-2-3"},
			want: corev1.PersistentVolumeSource{RBD: &corev1.RBDPersistentVolumeSource{
				CephMonitors: cluster.Monitors, RBDPool: "rbd", RBDImage: "kubernetes-dynamic-pvc-1-2-3", RadosUser: "admin", Keyring: "/k",
			}},
		},
		"CephFS": {
			kind: cephclient.CephFS, class: fsClass.with("userSecretNamespace", "ceph"), claim: claim("1Gi", corev1.ReadWriteMany),
			volume: cephclient.Volume{Kind: cephclient.CephFS, Container: "cephfs", Group: "kubernetes", Name: "kubernetes-dynamic-pvc-1-2-3"},
			path:   "/volumes/kubernetes/kubernetes-dynamic-pvc-1-2-3/uuid",
			want: corev1.PersistentVolumeSource{CephFS: &corev1.CephFSPersistentVolumeSource{
				Monitors: cluster.Monitors, Path: "/volumes/kubernetes/kubernetes-dynamic-pvc-1-2-3/uuid", User: "node",
				SecretRef: &corev1.SecretReference{Namespace: "ceph", Name: "user-secret"},
			}},
		},
		"CephFS directory": {
			kind: cephclient.CephFS, class: fsClass.with("backend", "directory", "claimRoot", "/data/k8s", "userId", "-", "userSecretName", "-"),
			claim:  claim("1Gi", corev1.ReadWriteMany),
			volume: cephclient.Volume{Kind: cephclient.CephFS, Container: "cephfs", Root: "/data/k8s", Name: "kubernetes-dynamic-pvc-1-2-3"},
			path:   "/data/k8s/kubernetes-dynamic-pvc-1-2-3",
			want: corev1.PersistentVolumeSource{CephFS: &corev1.CephFSPersistentVolumeSource{
				Monitors: cluster.Monitors, Path: "/data/k8s/kubernetes-dynamic-pvc-1-2-3", User: "kubernetes-dynamic-user-1-2-3",
				SecretRef: &corev1.SecretReference{Namespace: "tenant", Name: "ceph-kubernetes-dynamic-user-1-2-3-secret"},
			}},
		},
		"CephFS directory with a name of one's choice": {
			kind: cephclient.CephFS, class: fsClass.with("deterministicNames", "true", "claimRoot", "/", "userId", "-", "userSecretName", "-"),
			claim:  claim("1Gi", corev1.ReadWriteMany),
			volume: cephclient.Volume{Kind: cephclient.CephFS, Container: "cephfs", Root: "/", Group: "tenant", Name: "data"},
			path:   "/tenant/data",
			want: corev1.PersistentVolumeSource{CephFS: &corev1.CephFSPersistentVolumeSource{
				Monitors: cluster.Monitors, Path: "/tenant/data", User: "k8s.tenant.data",
				SecretRef: &corev1.SecretReference{Namespace: "tenant", Name: "ceph-k8s.tenant.data-secret"},
			}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.volume.Path = c.path
			request, err := pvspec.NewRequest(parsed(t, c.kind, c.class), c.claim)
			if err != nil {
				t.Fatal(err)
			}
			if request.Volume.Root != c.volume.Root || request.Volume.Group != c.volume.Group || request.Volume.Name != c.volume.Name {
				t.Errorf("asks for %s, want %s", request.Volume, c.volume)
			}
			info := cephclient.Info{Volume: c.volume, SizeBytes: 3 << 30}
			pv := request.PersistentVolume("pvc-1", storageClass, c.claim, cluster, info)
			if !reflect.DeepEqual(pv.Spec.PersistentVolumeSource, c.want) {
				t.Errorf("source %+v", pv.Spec.PersistentVolumeSource)
			}
			if size := pv.Spec.Capacity[corev1.ResourceStorage]; size.String() != "3Gi" {
				t.Errorf("capacity %s is not what Ceph says", size.String())
			}
			if pv.Spec.PersistentVolumeReclaimPolicy != retain || pv.Spec.MountOptions[0] != "noatime" || !reflect.DeepEqual(pv.Spec.AccessModes, c.claim.Spec.AccessModes) {
				t.Errorf("spec %+v", pv.Spec)
			}
			source, err := pvspec.FromPersistentVolume(pv, nil)
			want := pvspec.Source{
				Volume: c.volume, Monitors: cluster.Monitors,
				Admin: pvspec.Identity{ID: "admin", Secret: pvspec.SecretRef{Namespace: "default", Name: "admin-secret"}},
			}
			if err != nil || !reflect.DeepEqual(source, want) {
				t.Errorf("read back as %+v, %v", source, err)
			}
		})
	}
}

func TestFromPersistentVolumeOfOldProvisioners(t *testing.T) {
	old := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pvc-1"},
		Spec: corev1.PersistentVolumeSpec{StorageClassName: "fast", PersistentVolumeSource: corev1.PersistentVolumeSource{
			RBD: &corev1.RBDPersistentVolumeSource{CephMonitors: []string{" 10.0.0.1:6789"}, RBDPool: "kube", RBDImage: "kubernetes-dynamic-pvc-x"},
		}},
	}
	source, err := pvspec.FromPersistentVolume(old, class(rbdClass.with("adminId", "kube", "pool", "changed-since", "imageFormat", "1", "unknown", "x")))
	if err != nil || source.Admin.ID != "kube" || source.Volume.Container != "kube" || source.Monitors[0] != "10.0.0.1:6789" {
		t.Errorf("got %+v, %v", source, err)
	}
	_, err = pvspec.FromPersistentVolume(old, nil)
	if err == nil || !strings.Contains(err.Error(), `StorageClass "fast" is gone`) {
		t.Errorf("without class: %v", err)
	}
}

func TestFromPersistentVolumeRefusesAPathThatIsNotItsSubvolume(t *testing.T) {
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pvc-1", Annotations: map[string]string{
		"ceph.example/admin-id": "a", "ceph.example/admin-secret-name": "s", "ceph.example/admin-secret-namespace": "n",
		"ceph.example/file-system": "cephfs", "ceph.example/subvolume-group": "kubernetes", "ceph.example/subvolume": "x",
	}}}
	for path, ok := range map[string]bool{
		"/volumes/kubernetes/x/uuid": true, "/volumes/kubernetes/x": true,
		"/volumes/kubernetes/xy/uuid": false, "/volumes/kubernetes": false, "/": false,
	} {
		pv.Spec.CephFS = &corev1.CephFSPersistentVolumeSource{Monitors: []string{"10.0.0.1"}, Path: path}
		if _, err := pvspec.FromPersistentVolume(pv, nil); (err == nil) != ok {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestVolumesOfAnotherFileSystemSaySoToNodes(t *testing.T) {
	for state, c := range map[string]struct {
		options, want string
		notDefault    bool
	}{
		"the default one":              {options: "noatime", want: "noatime"},
		"another":                      {options: "noatime", notDefault: true, want: "noatime mds_namespace=archive"},
		"another, without options":     {notDefault: true, want: "mds_namespace=archive"},
		"another, named for ceph-fuse": {options: "client_fs=archive", notDefault: true, want: "client_fs=archive"},
		"another, named for kernels":   {options: "noatime fs=archive", notDefault: true, want: "noatime fs=archive"},
	} {
		request, err := pvspec.NewRequest(parsed(t, cephclient.CephFS, fsClass), claim("1Gi", corev1.ReadWriteMany))
		if err != nil {
			t.Fatal(err)
		}
		info := cephclient.Info{Volume: cephclient.Volume{Kind: cephclient.CephFS, Container: "archive"}, NotDefaultFileSystem: c.notDefault}
		class := &storagev1.StorageClass{MountOptions: strings.Fields(c.options)}
		pv := request.PersistentVolume("pvc-1", class, claim("1Gi"), cephclient.Cluster{}, info)
		if got := strings.Join(pv.Spec.MountOptions, " "); got != c.want || strings.Join(class.MountOptions, " ") != c.options {
			t.Errorf("%s: options %q, want %q", state, got, c.want)
		}
	}
}

func cephfsVolume(path, user, secret string, annotations map[string]string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pvc-1", Annotations: annotations},
		Spec: corev1.PersistentVolumeSpec{
			ClaimRef: &corev1.ObjectReference{Namespace: "tenant", Name: "data"},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CephFS: &corev1.CephFSPersistentVolumeSource{
				Monitors: []string{"10.0.0.1"}, Path: path, User: user, SecretRef: &corev1.SecretReference{Name: secret},
			}},
		},
	}
}

func TestFromPersistentVolumeRefusesAPathThatIsNotBelowItsRoot(t *testing.T) {
	for root, ok := range map[string]bool{
		"/data": true, "/data/a": true, "/": true,
		"/data/a/x": false, "/data/a/x/y": false, "/dat": false, "/data/": false, "data": false, "": false, "/data/../data": false,
	} {
		pv := cephfsVolume("/data/a/x", "u", "s", map[string]string{"ceph.example/claim-root": root, "ceph.example/admin-secret-name": "s"})
		source, err := pvspec.FromPersistentVolume(pv, nil)
		if (err == nil) != ok || ok && (source.Volume.Root != root || source.Volume.Name != "x") {
			t.Errorf("%q: %+v, %v", root, source.Volume, err)
		}
	}
}

// Paths are what ceph.com/cephfs made of each class, and of the time before claimRoot.
func TestFromPersistentVolumeOfCephComCephFS(t *testing.T) {
	for path, c := range map[string]struct {
		share string
		want  cephclient.Volume
		ok    bool
	}{
		"/volumes/kubernetes/kubernetes/kubernetes-dynamic-pvc-a": {
			"kubernetes-dynamic-pvc-a", cephclient.Volume{Root: "/volumes/kubernetes", Group: "kubernetes", Name: "kubernetes-dynamic-pvc-a"}, true},
		"/volumes/kubernetes/kubernetes-dynamic-pvc-a": {
			"kubernetes-dynamic-pvc-a", cephclient.Volume{Root: "/volumes", Group: "kubernetes", Name: "kubernetes-dynamic-pvc-a"}, true},
		"/pvc-volumes/tenant/data": {"data", cephclient.Volume{Root: "/pvc-volumes", Group: "tenant", Name: "data"}, true},
		"/kubernetes/x":            {"x", cephclient.Volume{Root: "/", Group: "kubernetes", Name: "x"}, true},
		"/x":                       {share: "x"},
		"/":                        {share: "/"},
		"/a/b/other":               {share: "x"},
		"/a/../b/x":                {share: "x"},
	} {
		pv := cephfsVolume(path, "u", "s", map[string]string{"cephShare": c.share, "cephFSProvisionerIdentity": "cephfs-provisioner-1"})
		source, err := pvspec.FromPersistentVolume(pv, class(fsClass.with("claimRoot", "/changed/since", "unknown", "x")))
		c.want.Kind, c.want.Path = cephclient.CephFS, path
		if (err == nil) != c.ok || c.ok && source.Volume != c.want {
			t.Errorf("%s: %+v, %v", path, source.Volume, err)
		}
	}
}

func TestOwnUserOf(t *testing.T) {
	legacy := map[string]string{"cephShare": "x"}
	uid := cephclient.Volume{Kind: cephclient.CephFS, Container: "a", Group: "kubernetes", Name: "kubernetes-dynamic-pvc-1-2-3"}
	chosen := cephclient.Volume{Kind: cephclient.CephFS, Root: "/data", Group: "tenant", Name: "data"}
	for state, c := range map[string]struct {
		user, secret string
		annotations  map[string]string
		volume       cephclient.Volume
		own          bool
		wantSecret   string
		unmarked     bool
	}{
		"ours":                             {user: "kubernetes-dynamic-user-1-2-3", secret: "ceph-kubernetes-dynamic-user-1-2-3-secret", volume: uid, own: true, wantSecret: "tenant/ceph-kubernetes-dynamic-user-1-2-3-secret"},
		"with a name of one's choice":      {user: "k8s.tenant.data", secret: "ceph-k8s.tenant.data-secret", volume: chosen, own: true, wantSecret: "tenant/ceph-k8s.tenant.data-secret"},
		"shared":                           {user: "node", secret: "node", volume: uid},
		"another volume's":                 {user: "kubernetes-dynamic-user-4-5-6", secret: "s", volume: uid},
		"of a claim of the name elsewhere": {user: "k8s.other.data", secret: "s", volume: chosen},
		"a subvolume of that name":         {user: "k8s.tenant.data", secret: "s", volume: cephclient.Volume{Kind: cephclient.CephFS, Group: "tenant", Name: "data"}},
		"secret of another name":           {user: "kubernetes-dynamic-user-1-2-3", secret: "other", volume: uid, own: true, wantSecret: "/"},
		"old, drawn by lot":                {user: "kubernetes-dynamic-user-7", secret: "ceph-kubernetes-dynamic-user-7-secret", annotations: legacy, volume: chosen, own: true, wantSecret: "tenant/ceph-kubernetes-dynamic-user-7-secret", unmarked: true},
		"old, deterministic":               {user: "k8s.tenant.data", secret: "ceph-k8s.tenant.data-secret", annotations: legacy, volume: chosen, own: true, wantSecret: "tenant/ceph-k8s.tenant.data-secret", unmarked: true},
		"old, shared":                      {user: "node", secret: "node", annotations: legacy, volume: chosen},
	} {
		t.Run(state, func(t *testing.T) {
			got, own := pvspec.OwnUserOf(cephfsVolume("/p", c.user, c.secret, c.annotations), c.volume)
			if own != c.own || own && (got.ID != c.user || got.Secret.String() != c.wantSecret || got.Unmarked != c.unmarked) {
				t.Errorf("got %+v, %t", got, own)
			}
		})
	}
}

func TestNewRequestRefusesANameThatNoSecretCanHave(t *testing.T) {
	long := claim("1Gi", corev1.ReadWriteMany)
	long.Name = strings.Repeat("a.", 120) + "a"
	_, err := pvspec.NewRequest(parsed(t, cephclient.CephFS, fsClass.with("deterministicNames", "true", "userId", "-", "userSecretName", "-")), long)
	if err == nil || !strings.Contains(err.Error(), "shorter name") {
		t.Errorf("got %v", err)
	}
}

func TestProvisionedBy(t *testing.T) {
	for name, c := range map[string]struct {
		annotations map[string]string
		want        bool
	}{
		"ours":             {map[string]string{"pv.kubernetes.io/provisioned-by": "ceph.com/rbd"}, true},
		"another's":        {map[string]string{"pv.kubernetes.io/provisioned-by": "kubernetes.io/rbd"}, false},
		"made by hand":     {nil, false},
		"migrated to CSI ": {map[string]string{"pv.kubernetes.io/provisioned-by": "ceph.com/rbd", "pv.kubernetes.io/migrated-to": "rbd.csi.ceph.com"}, false},
	} {
		pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Annotations: c.annotations}}
		if got := pvspec.ProvisionedBy(pv, []string{"ceph.example/rbd", "ceph.com/rbd"}); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestKeyFromSecret(t *testing.T) {
	// Type 1, made at 0, 16 bytes: what `ceph auth get-key` prints, in form.
	key := base64.StdEncoding.EncodeToString(append([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0}, "sixteen bytes..."...))
	for name, c := range map[string]struct {
		data    map[string]string
		ok      bool // for the admin
		kubelet bool // for nodes that mount CephFS
	}{
		"entry key":              {map[string]string{"key": key}, true, true},
		"with a newline":         {map[string]string{"key": key + "\n"}, true, false},
		"another single entry":   {map[string]string{"ceph.client.kube": key}, true, true},
		"key and another entry":  {map[string]string{"key": key, "userID": "kube"}, true, false},
		"two entries, no key":    {map[string]string{"userKey": key, "userID": "kube"}, false, false},
		"empty":                  {nil, false, false},
		"encoded twice":          {map[string]string{"key": base64.StdEncoding.EncodeToString([]byte(key))}, false, false},
		"cut short":              {map[string]string{"key": key[:len(key)-4]}, false, false},
		"a keyring, not the key": {map[string]string{"key": "[client.kube]\n\tkey = " + key}, false, false},
	} {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "ceph"}, Data: map[string][]byte{}}
		for entry, value := range c.data {
			secret.Data[entry] = []byte(value)
		}
		got, err := pvspec.KeyFromSecret(secret)
		if (err == nil) != c.ok || c.ok && got.Reveal() != key {
			t.Errorf("%s: %v", name, err)
		}
		forKubelet, kubeletErr := pvspec.KeyForKubelet(cephclient.CephFS, secret)
		if (kubeletErr == nil) != c.kubelet || c.kubelet && forKubelet.Reveal() != key {
			t.Errorf("%s, for the kubelet: %v", name, kubeletErr)
		}
		if _, err := pvspec.KeyForKubelet(cephclient.RBD, secret); (err == nil) != (c.kubelet || name == "with a newline") {
			t.Errorf("%s, for the kubelet with RBD: %v", name, err)
		}
		for _, err := range []error{err, kubeletErr} {
			if err != nil && (!strings.Contains(err.Error(), "ns/ceph") || strings.Contains(err.Error(), key[:8])) {
				t.Errorf("%s: the message must name the secret and not what it holds: %v", name, err)
			}
		}
	}
}
