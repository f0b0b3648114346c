package pvspec

import (
	"path"
	"strings"
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
	p.User.Secret.Name = v.optional("userSecretName", "")
	p.OwnUser = p.User.ID == "" && p.User.Secret.Name == ""
	if !p.OwnUser && (p.User.ID == "" || p.User.Secret.Name == "") {
		v.fault("parameters userId and userSecretName: give both, the identity that nodes mount all volumes with, or none of them for a user for each volume")
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
// would need quoting there is refused.
func claimRoot(v *values) string {
	root := v.optional("claimRoot", defaultClaimRoot)
	clean := path.Clean("/" + root)
	if strings.ContainsAny(root, " ,=\"'\\\t\n") || strings.Contains(root, "..") || clean != "/"+strings.Trim(root, "/") {
		v.fault("parameter claimRoot: %q is not a plain absolute path (no empty parts, dots, spaces, commas, quotes or equals signs)", root)
		return defaultClaimRoot
	}
	return clean
}

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
	if !v.given("claimRoot") {
		return
	}
	group, ok := groupOf(root)
	switch {
	case !ok:
		v.fault("parameter claimRoot: %q is not accepted for backend %q: subvolumes lie in %sGROUP, so say %sGROUP, or backend %q", root, backendSubvolume, volumesRoot, volumesRoot, backendDirectory)
	case v.given("subvolumeGroup") && group != p.Group:
		v.fault("parameters claimRoot (%s) and subvolumeGroup (%s) contradict each other: give one of them", root, p.Group)
	}
	p.Group = group
}
