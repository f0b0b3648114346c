package pvspec

import (
	"path"
	"strings"
	"unicode"

	"ceph.example/ceph-provisioner/cephclient"
)

// volumesRoot is where the mgr keeps subvolume groups.
const volumesRoot = "/volumes/"

// defaultClaimRoot is that of ceph.com/cephfs.
const defaultClaimRoot = volumesRoot + defaultSubvolumeGroup

func cephfsParameters(v *values, p *Parameters) {
	// ceph.com/cephfs took the name of the cluster's configuration file from
	// "cluster"; there is no such file any more, so every value is as good.
	v.optional("cluster", "")
	p.Container = v.place("fsName", "")
	p.Create.NamespaceIsolated = v.boolean("namespaceIsolated")
	p.Deterministic = v.boolean("deterministicNames")
	root := claimRoot(v)
	switch v.oneOf("backend", defaultBackend(p.Deterministic, root), backendSubvolume, backendDirectory) {
	case backendSubvolume:
		subvolumeParameters(v, p, root)
	case backendDirectory:
		p.Root = root
		if v.given("subvolumeGroup") {
			v.fault("parameter subvolumeGroup: directories are in no group: say claimRoot")
		}
	}
	p.User.ID = v.identity("userId", "")
	p.User.Secret.Name = v.secretName("userSecretName", "")
	p.OwnUser = !v.given("userId") && p.User.Secret.Name == ""
	if !p.OwnUser && (!v.given("userId") || p.User.Secret.Name == "") {
		v.fault("parameters userId and userSecretName: give both, the identity that nodes mount all volumes with, or none of them for a user for each volume")
	}
	if above := p.Root + p.Group; p.OwnUser && !cephclient.FitsCaps(above) {
		v.fault("parameters claimRoot and subvolumeGroup: %q can't stand in the caps of a user for each volume (letters, digits, and _ . - can): name another, or give userId and userSecretName", above)
	}
}

// defaultBackend is the one that can do what the class asks for: only directories
// have names of one's choice, or lie anywhere.
func defaultBackend(deterministic bool, root string) string {
	if _, isGroup := groupOf(root); deterministic || !isGroup {
		return backendDirectory
	}
	return backendSubvolume
}

// claimRoot reads the path that volumes lie under. It becomes part of caps, so what
// would end it there is refused. Ceph keeps snapshots, and deletion keeps what waits for
// its purge, in folders whose names begin with a dot.
func claimRoot(v *values) string {
	root := v.optional("claimRoot", defaultClaimRoot)
	clean := path.Clean("/" + root)
	if strings.ContainsAny(root, ",;=\"'\\") || strings.ContainsFunc(root, unicode.IsSpace) ||
		strings.Contains("/"+root, "/.") || clean != "/"+strings.Trim(root, "/") {
		v.fault("parameter claimRoot: %q is not a plain absolute path (no empty parts or parts that begin with a dot, no spaces, commas, semicolons, quotes, backslashes or equals signs)", root)
		return defaultClaimRoot
	}
	return clean
}

// GroupPath is where the subvolumes of a group lie.
func GroupPath(group string) string { return volumesRoot + group }

// groupOf returns the subvolume group that a path is.
func groupOf(root string) (group string, ok bool) {
	group, below := strings.CutPrefix(root, volumesRoot)
	return group, below && group != "" && !strings.Contains(group, "/")
}

// subvolumeParameters reads the group from subvolumeGroup, or from the claimRoot that
// classes of ceph.com/cephfs have.
func subvolumeParameters(v *values, p *Parameters, root string) {
	if p.Deterministic {
		v.fault("parameter deterministicNames: only for backend %q: subvolumes are named after the claim's UID", backendDirectory)
	}
	p.Group = v.place("subvolumeGroup", defaultSubvolumeGroup)
	if v.given("claimRoot") {
		groupFromRoot(v, p, root)
	}
	if strings.HasPrefix(p.Group, "_") || strings.HasPrefix(p.Group, ".") {
		v.fault("parameters subvolumeGroup and claimRoot: groups like %q are the mgr's own: name one that does not begin with an underscore or a dot", p.Group)
	}
}

func groupFromRoot(v *values, p *Parameters, root string) {
	group, ok := groupOf(root)
	switch {
	case !ok:
		v.fault("parameter claimRoot: %q is not accepted for backend %q: subvolumes lie in %sGROUP, so say %sGROUP, or backend %q", root, backendSubvolume, volumesRoot, volumesRoot, backendDirectory)
	case v.given("subvolumeGroup") && group != p.Group:
		v.fault("parameters claimRoot (%s) and subvolumeGroup (%s) contradict each other: give one of them", root, p.Group)
	}
	p.Group = group
}
