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

// Keys of cipher aes256k are known to Linux 7.0 and later, and to later builds of RHEL 9 and 10,
// of which it is not known here from which on.
var (
	aes256kKernel = version.MajorMinor(7, 0)
	mayKnowIt     = regexp.MustCompile(`\.el(9|10)`)
)

// withKernel returns, by name, the Linux nodes whose kernel is so. A node that does not say what it
// runs is not among them, so that nobody is alarmed without cause. A node may mount CephFS with
// ceph-fuse, of which its status says nothing.
func withKernel(nodes []*corev1.Node, isSo func(kernel string) bool) []*corev1.Node {
	var found []*corev1.Node
	for _, node := range nodes {
		if info := node.Status.NodeInfo; info.OperatingSystem == string(corev1.Linux) && isSo(info.KernelVersion) {
			found = append(found, node)
		}
	}
	slices.SortFunc(found, func(a, b *corev1.Node) int { return cmp.Compare(a.Name, b.Name) })
	return found
}

// ignoresQuotas is a kernel that mounts a CephFS volume and lets pods write beyond its quota.
func ignoresQuotas(kernel string) bool {
	return isBefore(kernel, enforcingKernel) && !hasBackport(kernel)
}

func lacksAES256K(kernel string) bool {
	return isBefore(kernel, aes256kKernel) && !mayKnowIt.MatchString(kernel)
}

func isBefore(kernel string, first *version.Version) bool {
	parsed, err := version.ParseGeneric(kernel)
	return err == nil && parsed.LessThan(first)
}

func hasBackport(kernel string) bool {
	build := el7Build.FindStringSubmatch(kernel)
	if build == nil {
		return false
	}
	number, err := strconv.Atoi(build[1])
	return err == nil && number >= enforcingEL7Build
}
