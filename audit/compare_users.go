package audit

import (
	"fmt"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// judgeSecret looks at a secret with our label.
func (s *state) judgeSecret(ref pvspec.SecretRef, each secret) (Finding, bool) {
	finding := Finding{Place: ref.Namespace, Name: ref.Name, ID: each.uid, CreatedAt: each.createdAt, secret: ref}
	if each.owner.ClaimUID == "" {
		finding.Kind, finding.Detail = Unmarked, "it has the label of secrets that are made for volumes, but no mark that tells whose it is"
		return finding, true
	}
	finding.Owner = &each.owner
	switch {
	case each.owner.Installation != s.installation:
		finding.Kind, finding.Detail = AnotherInstallation, "it belongs to installation "+each.owner.Installation
	case s.exists(each.owner) || s.isMountedWith(ref) || s.isInUse(ref.Name, each.owner.ClaimUID):
		return Finding{}, false
	default:
		finding.Kind = OrphanSecret
		finding.Detail = fmt.Sprintf("PersistentVolume %s and claim %s/%s are gone", each.owner.PersistentVolume, each.owner.Namespace, each.owner.Claim)
	}
	return finding, true
}

func (s *state) isMountedWith(ref pvspec.SecretRef) bool {
	for _, pv := range s.volumes {
		if pv.user.ID != "" && pv.user.Secret == ref {
			return true
		}
	}
	return false
}

// suspected are the users of what was found without a PersistentVolume. Listing all
// users would show all keys, so a user that nothing else is left of is not found.
func suspected(findings []Finding, withUsers map[string]bool) map[userRef]suspect {
	suspects := map[userRef]suspect{}
	for _, finding := range findings {
		if finding.Owner == nil {
			continue
		}
		found := suspect{*finding.Owner, finding.CreatedAt}
		switch finding.Kind {
		case OrphanSubvolume, OrphanDirectory:
			if withUsers[finding.Cluster] {
				suspects[userRef{finding.Cluster, pvspec.OwnUserFor(finding.found.Volume)}] = found
			}
		case OrphanSecret:
			id, ok := pvspec.UserOfSecret(finding.Name)
			for cluster := range withUsers {
				if _, known := suspects[userRef{cluster, id}]; ok && !known && pvspec.IsUserOf(id, *finding.Owner) {
					suspects[userRef{cluster, id}] = found
				}
			}
		}
	}
	return suspects
}

// judgeSuspect tells whether a user is left over.
func (s *state) judgeSuspect(ref userRef, each suspect) (Finding, bool) {
	path := s.users[ref]
	if path == "" || s.exists(each.owner) || s.isTakenOver(ref, each) {
		return Finding{}, false
	}
	return Finding{
		Kind: OrphanUser, Cluster: ref.cluster, Place: "users", Name: ref.id, ID: path, Owner: &each.owner, CreatedAt: each.createdAt,
		Detail: fmt.Sprintf("it may use %s, but PersistentVolume %s and claim %s/%s are gone", path, each.owner.PersistentVolume, each.owner.Namespace, each.owner.Claim),
	}, true
}

// isAnothers reports whether what is at a path says that it is not the owner's.
func (s *state) isAnothers(cluster, path string, owner cephclient.Owner) bool {
	for _, f := range s.found {
		if f.site.cluster == cluster && f.Kind == cephclient.CephFS && (f.Home() == path || f.Path == path) &&
			(f.owner.Installation != owner.Installation || f.owner.ClaimUID != owner.ClaimUID) {
			return true
		}
	}
	return false
}

// isTakenOver reports whether another volume uses the user, or is about to: users that
// are called after a claim's name go to the next claim of that name.
func (s *state) isTakenOver(ref userRef, each suspect) bool {
	for _, pv := range s.volumes {
		if pv.userRef() == ref {
			return true
		}
	}
	if s.isInUse(ref.id, each.owner.ClaimUID) || s.isAnothers(ref.cluster, s.users[ref], each.owner) {
		return true
	}
	return pvspec.IsClaimsUser(ref.id, each.owner) && s.named[each.owner.Namespace+"/"+each.owner.Claim]
}
