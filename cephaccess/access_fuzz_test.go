package cephaccess_test

import (
	"net"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// FuzzBackend connects with secrets and monitors that say anything.
func FuzzBackend(f *testing.F) {
	for _, value := range []string{key, key + "\n", key[:20] + "\n" + key[20:], "", "x", key + key, "\x00" + key, "\xff"} {
		f.Add("key", value, "", "10.0.0.1:6789,mons.ceph.svc")
		f.Add("other", value, "more", "[fd00::1]:6789 [::ffff:10.0.0.1]:1")
		f.Add("", value, "key", "mons.ceph.svc:06789, unknown.host")
	}
	f.Fuzz(func(t *testing.T, entry, value, other, monitors string) {
		entries := map[string]string{entry: value}
		if other != "" {
			entries[other] = "y"
		}
		w := &world{
			secrets: map[string]*corev1.Secret{"ns/ceph": secret(entries)},
			hosts:   map[string][]string{"mons.ceph.svc": {"10.0.0.3", "fd00::3"}},
		}
		cluster := checkCluster(t, w, monitors)
		identity := pvspec.Identity{ID: "kube", Secret: pvspec.SecretRef{Namespace: "ns", Name: "ceph"}}
		_, err := w.access().Backend(t.Context(), cephclient.RBD, cluster, identity)
		connected := w.connected.Key.Reveal()
		if (err == nil) != (connected != "") || connected != "" && connected != strings.TrimSpace(value) && connected != strings.TrimSpace(entries["key"]) {
			t.Errorf("connected with %q, %v", connected, err)
		}
		entries[entry] = "x"
		_, otherwise := (&world{secrets: map[string]*corev1.Secret{"ns/ceph": secret(entries)}}).access().Backend(t.Context(), cephclient.RBD, cluster, identity)
		if err != nil && (!strings.Contains(err.Error(), "secret ns/ceph") || err.Error() != otherwise.Error()) {
			t.Errorf("%v; of another secret %v", err, otherwise)
		}
	})
}

// checkCluster holds that what a class may name becomes IP addresses, or an error that
// names the monitor.
func checkCluster(t *testing.T, w *world, text string) cephclient.Cluster {
	t.Helper()
	monitors, err := pvspec.ParseMonitors(text)
	if err != nil {
		return cephclient.Cluster{}
	}
	cluster, err := w.access().Cluster(t.Context(), monitors)
	if err != nil {
		if !strings.Contains(err.Error(), "monitor ") || len(cluster.Monitors) > 0 {
			t.Errorf("%v, and %v", err, cluster)
		}
		return cluster
	}
	if len(cluster.Monitors) < len(monitors) {
		t.Errorf("%q became %q", monitors, cluster.Monitors)
	}
	for _, monitor := range cluster.Monitors {
		if host, port, err := net.SplitHostPort(monitor); err != nil || net.ParseIP(host) == nil || port == "" {
			t.Errorf("%q became %q", monitors, monitor)
		}
	}
	return cluster
}
