package pvspec_test

import (
	"slices"
	"strings"
	"testing"

	"ceph.example/ceph-provisioner/pvspec"
)

func FuzzParseMonitors(f *testing.F) {
	for _, text := range append([]string{
		"10.0.0.1", "10.0.0.1:6789,10.0.0.2:6790", " mon.ceph.svc.cluster.local.:6789 ;\n[fd00::1]:6789", "v1:10.0.0.1:6789/0", "v2:10.0.0.1:3300",
		"[v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0]", "[v2:[fd00::1]:3300/0,v1:[fd00::1]:6789/0],[v1:a:1]", "mon[v1:6789]", "[v1:[v1:[", "10.0.0.1:06789", "v1:v1:6789", "v1", "10.0.0.999",
		"[FD00::1]:6789,[fd00::1]:6789", "fe80::1%eth0", "[fe80::1%eth0]:1", "::ffff:10.0.0.1", "[10.0.0.1]", "a:b:c", "10.0.0.1:6789/-1", "10.0.0.1:6789//", ":6789",
	}, silly...) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		monitors, err := pvspec.ParseMonitors(text)
		if err != nil {
			if len(monitors) > 0 {
				t.Errorf("refused (%v), and read as %q", err, monitors)
			}
			return
		}
		checkMonitors(t, monitors)
		for i, monitor := range monitors {
			if slices.Contains(monitors[:i], monitor) {
				t.Errorf("%q twice", monitor)
			}
		}
		again, err := pvspec.ParseMonitors(strings.Join(monitors, ","))
		if err != nil || !slices.Equal(again, monitors) {
			t.Errorf("%q is read back as %q, %v", monitors, again, err)
		}
	})
}
