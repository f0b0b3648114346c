package provisioner

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func node(name, system, kernel string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Status:     corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{OperatingSystem: system, KernelVersion: kernel}},
	}
}

func TestNodesThatIgnoreQuotas(t *testing.T) {
	for state, c := range map[string]struct {
		system, kernel string
		ignores        bool
	}{
		"the first that enforces":               {"linux", "4.17.0-1-amd64", false},
		"one before it":                         {"linux", "4.16.18-generic", true},
		"a minor number of one digit":           {"linux", "4.4.0-210-generic", true},
		"a later major number":                  {"linux", "6.1.0-18-amd64", false},
		"two numbers only":                      {"linux", "4.16", true},
		"a candidate of the first":              {"linux", "4.17-rc1", false},
		"RHEL 8":                                {"linux", "4.18.0-80.el8.x86_64", false},
		"RHEL 7, the first build that enforces": {"linux", "3.10.0-1062.el7.x86_64", false},
		"RHEL 7, the build before it":           {"linux", "3.10.0-1061.el7.x86_64", true},
		"RHEL 7, an update of a build before":   {"linux", "3.10.0-957.56.1.el7.x86_64", true},
		"RHEL 7, an update of a later build":    {"linux", "3.10.0-1160.119.1.el7.x86_64", false},
		"RHEL 7 for real time":                  {"linux", "3.10.0-1160.11.1.rt56.1145.el7.x86_64", false},
		"RHEL 7 with a kernel of its own":       {"linux", "4.14.0-115.el7a.aarch64", true},
		"3.10.0 of others":                      {"linux", "3.10.0-1062-generic", true},
		"3.10.1, which is not RHEL 7's":         {"linux", "3.10.1-1062.el7.x86_64", true},
		"Windows":                               {"windows", "10.0.17763.1", false},
		"Windows with a number like an old one": {"windows", "3.10.0", false},
		"a system that is not told":             {"", "3.10.0-957.el7.x86_64", false},
		"a kernel that is not told":             {"linux", "", false},
		"a kernel that is no version":           {"linux", "custom", false},
		"a kernel of one number":                {"linux", "4", false},
	} {
		t.Run(state, func(t *testing.T) {
			found := withKernel([]*corev1.Node{node("n", c.system, c.kernel)}, ignoresQuotas)
			if ignores := len(found) > 0; ignores != c.ignores {
				t.Errorf("a node of %s %q is taken to ignore quotas: %t, want %t", c.system, c.kernel, ignores, c.ignores)
			}
		})
	}
}

func TestNodesThatLackAES256K(t *testing.T) {
	for kernel, lacks := range map[string]bool{
		"7.0.0-30-generic": false, "7.1.2": false, "6.19.14-200.fc43.x86_64": true, "6.1.0-18-amd64": true, "3.10.0-1160.el7.x86_64": true,
		"4.18.0-553.el8_10.x86_64": true, "5.14.0-611.el9.x86_64": false, "6.12.0-124.el10_1.x86_64": false, "": false, "custom": false,
	} {
		if found := withKernel([]*corev1.Node{node("n", "linux", kernel)}, lacksAES256K); (len(found) > 0) != lacks {
			t.Errorf("kernel %q is taken to lack aes256k: %t, want %t", kernel, !lacks, lacks)
		}
	}
}

func TestNodesWithAKernelAreSorted(t *testing.T) {
	const old = "4.15.0"
	all := []*corev1.Node{node("c", "linux", old), node("a", "linux", old), node("new", "linux", "5.10.0"), node("b", "linux", old)}
	before := slices.Clone(all)
	var names []string
	for _, found := range withKernel(all, ignoresQuotas) {
		names = append(names, found.Name)
	}
	if want := []string{"a", "b", "c"}; !slices.Equal(names, want) {
		t.Errorf("found %v, want %v", names, want)
	}
	if !slices.Equal(all, before) {
		t.Error("the caller's list has been changed")
	}
}
