package pvspec

import "strings"

// volumesRoot is where the mgr keeps subvolume groups.
const volumesRoot = "/volumes/"

func cephfsParameters(v *values, p *Parameters) {
	// ceph.com/cephfs took the name of the cluster's configuration file from
	// "cluster"; there is no such file any more, so every value is as good.
	v.optional("cluster", "")
	p.Container = v.place("fsName", "")
	p.Create.NamespaceIsolated = v.boolean("namespaceIsolated")
	p.Group = subvolumeGroup(v)
	v.oneOf("backend", "subvolume", "subvolume")
	if v.boolean("deterministicNames") {
		v.fault("parameter deterministicNames: only false is accepted: subvolumes are named after the claim's UID")
	}
	p.User.ID = v.identity("userId", "")
	p.User.Secret.Name = v.optional("userSecretName", "")
	p.OwnUser = p.User.ID == "" && p.User.Secret.Name == ""
	if !p.OwnUser && (p.User.ID == "" || p.User.Secret.Name == "") {
		v.fault("parameters userId and userSecretName: give both, the identity that nodes mount all volumes with, or none of them for a user for each volume")
	}
}

// subvolumeGroup reads the group from subvolumeGroup, or from the claimRoot
// that classes of ceph.com/cephfs have.
func subvolumeGroup(v *values) string {
	group := v.place("subvolumeGroup", defaultSubvolumeGroup)
	if !v.given("claimRoot") {
		return group
	}
	root := "/" + strings.Trim(v.optional("claimRoot", ""), "/")
	fromRoot, below := strings.CutPrefix(root, volumesRoot)
	switch {
	case !below || fromRoot == "" || strings.Contains(fromRoot, "/") || fromRoot == "." || fromRoot == "..":
		v.fault("parameter claimRoot: %q is not accepted: subvolumes lie in %sGROUP, so say %sGROUP or subvolumeGroup", root, volumesRoot, volumesRoot)
	case v.given("subvolumeGroup") && fromRoot != group:
		v.fault("parameters claimRoot (%s) and subvolumeGroup (%s) contradict each other: give one of them", root, group)
	}
	return fromRoot
}
