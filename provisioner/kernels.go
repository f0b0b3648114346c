package provisioner

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"
)

// The CephFS client enforces quotas since Linux 4.17, and in RHEL 7's 3.10.0 since
// this build.
const enforcingEL7Build = 1062

var (
	enforcingKernel = version.MajorMinor(4, 17)
	el7Build        = regexp.MustCompile(`^3\.10\.0-(\d+).*\.el7`)
)

// ignoringQuotas returns, by name, the Linux nodes whose kernel mounts a CephFS
// volume and lets pods write beyond its quota. A node that does not say what it
// runs is not among them, so that nobody is alarmed without cause. A node may still
// have ceph-fuse, of which its status says nothing.
func ignoringQuotas(nodes []*corev1.Node) []*corev1.Node {
	var found []*corev1.Node
	for _, node := range nodes {
		if info := node.Status.NodeInfo; info.OperatingSystem == string(corev1.Linux) && isTooOld(info.KernelVersion) {
			found = append(found, node)
		}
	}
	slices.SortFunc(found, func(a, b *corev1.Node) int { return cmp.Compare(a.Name, b.Name) })
	return found
}

func isTooOld(kernel string) bool {
	parsed, err := version.ParseGeneric(kernel)
	return err == nil && parsed.LessThan(enforcingKernel) && !hasBackport(kernel)
}

func hasBackport(kernel string) bool {
	build := el7Build.FindStringSubmatch(kernel)
	if build == nil {
		return false
	}
	number, err := strconv.Atoi(build[1])
	return err == nil && number >= enforcingEL7Build
}
