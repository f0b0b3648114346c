package e2e

import (
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// extraDataPool is a second data pool of the file system.
const extraDataPool = "cephfs.e2e.data"

var addDataPoolOnce sync.Once

// addDataPool makes that pool, once for all tests that want it.
func (c *cephCluster) addDataPool(t *testing.T) {
	t.Helper()
	addDataPoolOnce.Do(func() {
		c.run(t, "ceph", "osd", "pool", "create", extraDataPool)
		c.run(t, "ceph", "fs", "add_data_pool", c.FileSystem, extraDataPool)
	})
}

func TestProvisionCephFS(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	ceph.addDataPool(t)
	defaultDataPool := ceph.subvolumeDataPool(t)

	all := []corev1.PersistentVolumeAccessMode{
		corev1.ReadWriteOnce, corev1.ReadOnlyMany, corev1.ReadWriteMany,
	}
	tests := map[string]struct {
		class         []classChange
		claim         []claimChange
		size          string
		wantQuota     quota
		wantGroup     string
		wantDataPool  string
		wantNamespace bool
	}{
		"a class with the least parameters": {
			size: "1Gi", wantQuota: 1 << 30,
		},
		"an odd size": {
			size: "1000000007", wantQuota: 1000000007,
		},
		"a size of one byte": {
			size: "1", wantQuota: 1,
		},
		"the file system's name": {
			class: []classChange{with("fsName", ceph.FileSystem)},
			size:  "1Gi", wantQuota: 1 << 30,
		},
		"subvolumeGroup": {
			class: []classChange{with("subvolumeGroup", "team-a")},
			size:  "1Gi", wantQuota: 1 << 30, wantGroup: "team-a",
		},
		"claimRoot": {
			class: []classChange{with("claimRoot", "/volumes/team-b/")},
			size:  "1Gi", wantQuota: 1 << 30, wantGroup: "team-b",
		},
		"a data pool": {
			class: []classChange{with("dataPool", extraDataPool)},
			size:  "1Gi", wantQuota: 1 << 30, wantDataPool: extraDataPool,
		},
		"a RADOS namespace": {
			class: []classChange{with("namespaceIsolated", "true")},
			size:  "1Gi", wantQuota: 1 << 30, wantNamespace: true,
		},
		"parameters of ceph.com/cephfs, in another case": {
			class: []classChange{
				without("adminId", "userId"),
				with("ADMINID", "client."+cephfsAdminID), with("USERID", "client."+cephfsUserID),
				with("Cluster", "ceph"), with("claimroot", "/volumes/kubernetes"), with("deterministicnames", "false"),
			},
			size: "1Gi", wantQuota: 1 << 30,
		},
		"all access modes": {
			claim: []claimChange{modes(all...)},
			size:  "1Gi", wantQuota: 1 << 30,
		},
		"a single pod": {
			claim: []claimChange{modes(corev1.ReadWriteOncePod)},
			size:  "1Gi", wantQuota: 1 << 30,
		},
	}
	for state, test := range tests {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			class := s.cephfsClass(ceph, test.class...)
			claim, pv := s.made(class, test.size, test.claim...)
			group := test.wantGroup
			if group == "" {
				group = defaultGroup
			}
			dataPool := test.wantDataPool
			if dataPool == "" {
				dataPool = defaultDataPool
			}

			got := ceph.subvolume(t, group, volumeName(claim))
			if got.QuotaBytes != test.wantQuota {
				t.Errorf("the quota is %d, want %d", got.QuotaBytes, test.wantQuota)
			}
			if got.DataPool != dataPool {
				t.Errorf("the data pool is %q, want %q", got.DataPool, dataPool)
			}
			if isolated := got.Namespace != ""; isolated != test.wantNamespace {
				t.Errorf("the RADOS namespace is %q, want one: %t", got.Namespace, test.wantNamespace)
			}
			if permissions := got.Mode & 0o777; permissions != 0o777 {
				t.Errorf("the mode is %o: pods that do not run as root could not write", permissions)
			}
			home := "/volumes/" + group + "/" + volumeName(claim)
			if !strings.HasPrefix(got.Path, home) {
				t.Errorf("the path is %s, want it below %s", got.Path, home)
			}
			wantOwner(t, ceph.subvolumeOwner(t, group, claim), claim)
			wantPV(t, pv, claim, class, int64(test.wantQuota))
			wantSource(t, pv.Spec.PersistentVolumeSource, corev1.PersistentVolumeSource{CephFS: &corev1.CephFSPersistentVolumeSource{
				Monitors:  strings.Split(ceph.Monitors, ","),
				Path:      got.Path,
				User:      cephfsUserID,
				SecretRef: &corev1.SecretReference{Namespace: ceph.Name, Name: cephfsUserName},
			}})
			wantAnnotations(t, pv, map[string]string{
				"ceph.example/admin-id":               cephfsAdminID,
				"ceph.example/admin-secret-name":      cephfsAdminName,
				"ceph.example/admin-secret-namespace": ceph.Name,
				"ceph.example/backend":                "subvolume",
				"ceph.example/file-system":            ceph.FileSystem,
				"ceph.example/subvolume-group":        group,
				"ceph.example/subvolume":              volumeName(claim),
			})
		})
	}
}

// subvolumeDataPool is the pool that subvolumes without a layout are in.
func (c *cephCluster) subvolumeDataPool(t testing.TB) string {
	t.Helper()
	var fileSystems []struct {
		Name      string
		DataPools []string `json:"data_pools"`
	}
	if err := c.read(t.Context(), &fileSystems, "ceph", "fs", "ls"); err != nil {
		t.Fatal(err)
	}
	for _, each := range fileSystems {
		if each.Name == c.FileSystem {
			return each.DataPools[0]
		}
	}
	t.Fatalf("there is no file system %s", c.FileSystem)
	return ""
}
