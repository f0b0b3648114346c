package audit

import (
	"fmt"
	"maps"
	"slices"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// compare judges all that was collected. It is a pure function of it.
func compare(s *state) []Finding {
	findings := slices.Collect(maps.Values(s.unexamined))
	leads := s.leads()
	for at, each := range s.found {
		pv := leads[at]
		for _, judge := range []func(*found, *volume) (Finding, bool){s.judgeFound, s.judgeSize} {
			if finding, is := judge(each, pv); is {
				findings = append(findings, finding)
			}
		}
	}
	for _, pv := range s.volumes {
		findings = append(findings, s.judgeVolume(pv)...)
	}
	for ref, each := range s.secrets {
		if finding, is := s.judgeSecret(ref, each); is {
			findings = append(findings, finding)
		}
	}
	for ref, each := range s.suspects {
		if finding, is := s.judgeSuspect(ref, each); is {
			findings = append(findings, finding)
		}
	}
	return findings
}

// about begins a finding about something in Ceph.
func (f *found) about(kind Kind, detail string) Finding {
	finding := Finding{
		Kind: kind, Cluster: f.site.cluster, Place: f.site.place.String(), Name: nameOf(f.Volume), ID: f.ID,
		SizeBytes: f.SizeBytes, CreatedAt: f.CreatedAt, ModifiedAt: f.ModifiedAt, Detail: detail, found: f,
	}
	if f.marked {
		finding.Owner = &f.owner
	}
	return finding
}

// isGone reports whether nobody can use what is left of it.
func (f *found) isGone() bool { return f.Headless || f.Trashed }

// nameOf names a volume within its place.
func nameOf(volume cephclient.Volume) string {
	if volume.IsDirectory() && volume.Group != "" {
		return volume.Group + "/" + volume.Name
	}
	return volume.Name
}

var orphans = map[bool]map[cephclient.Kind]Kind{
	false: {cephclient.RBD: OrphanImage, cephclient.CephFS: OrphanSubvolume},
	true:  {cephclient.CephFS: OrphanDirectory},
}

// judgeFound tells whose a volume in Ceph is.
func (s *state) judgeFound(f *found, pv *volume) (Finding, bool) {
	owner := f.owner
	switch {
	case f.err != nil:
		return f.about(NotExamined, f.err.Error()), true
	case f.marked && owner.Installation != s.installation:
		finding := f.about(AnotherInstallation, fmt.Sprintf("it belongs to claim %s/%s of installation %s", owner.Namespace, owner.Claim, owner.Installation))
		if pv != nil {
			finding.PersistentVolume = pv.name
		}
		return finding, true
	case pv != nil || s.isMentioned(f.Volume):
		return Finding{}, false
	case !f.marked:
		return s.judgeUnmarked(f)
	case !pvspec.IsNamedFor(f.Volume, owner):
		return f.about(MarkedCopy, fmt.Sprintf("it has the mark of claim %s/%s, but not its name: somebody has copied, cloned or renamed its volume", owner.Namespace, owner.Claim)), true
	case s.volumes[owner.PersistentVolume] != nil:
		return f.about(MarkedCopy, fmt.Sprintf("it has the mark of PersistentVolume %s, which leads to another volume: somebody has copied it, or its class had another place before", owner.PersistentVolume)), true
	case s.exists(owner) || s.isHeld(f):
		return Finding{}, false // its claim is being provisioned, or another PersistentVolume has it
	}
	detail := fmt.Sprintf("PersistentVolume %s and claim %s/%s (%s) are gone", owner.PersistentVolume, owner.Namespace, owner.Claim, owner.ClaimUID)
	if f.Trashed {
		detail += "; it is in the trash"
	}
	return f.about(orphans[f.IsDirectory()][f.Kind], detail), true
}

// judgeUnmarked knows ours by their names. Most were made by the old provisioners.
func (s *state) judgeUnmarked(f *found) (Finding, bool) {
	uid, ours := pvspec.ClaimUIDIn(f.Name)
	if !ours || s.claims[uid] {
		return Finding{}, false
	}
	switch {
	case f.Headless && f.Trashed:
		return f.about(Unmarked, "its removal was cut short: end it with `rbd trash rm "+f.Container+"/"+f.ID+"`"), true
	case f.Headless:
		return f.about(Unmarked, "its creation was cut short: remove its name with `rbd rm`"), true
	case f.Trashed:
		return Finding{}, false // somebody has dealt with it
	}
	return f.about(Unmarked, "it has the name of a dynamic volume, but neither a PersistentVolume nor a mark that tells whose it is: an old provisioner may have made it"), true
}

const mib = 1 << 20

// judgeSize holds a volume's size against its PersistentVolume's.
func (s *state) judgeSize(f *found, pv *volume) (Finding, bool) {
	if pv == nil || f.err != nil || f.isGone() {
		return Finding{}, false
	}
	due := pv.capacityBytes
	if f.Kind == cephclient.RBD {
		due = (due + mib - 1) / mib * mib
	}
	kind, detail := SizeDiffers, ""
	switch unlimited := f.Kind == cephclient.CephFS && f.SizeBytes == cephclient.Unlimited; {
	case unlimited:
		detail = "it has no quota: set one by asking for a larger size in its claim"
	case f.SizeBytes < due:
		detail = "it is smaller than its PersistentVolume says: ask for a larger size in its claim"
	case f.SizeBytes > due && pv.growing:
		kind, detail = Growing, "it has grown, and its PersistentVolume will say so (docs/expansion.md)"
	case f.SizeBytes > due:
		detail = "it is larger than its PersistentVolume says, and no growth is under way: somebody has resized it; asking for that size in its claim settles it"
	default:
		return Finding{}, false
	}
	finding := f.about(kind, detail)
	finding.PersistentVolume, finding.CapacityBytes = pv.name, pv.capacityBytes
	return finding, true
}

// judgeVolume looks for what a PersistentVolume leads to.
func (s *state) judgeVolume(pv *volume) (findings []Finding) {
	if pv.leaving {
		return nil
	}
	missing := func(kind Kind, place, name, detail string) {
		finding := Finding{Kind: kind, Cluster: pv.site.cluster, Place: place, Name: name, PersistentVolume: pv.name, CapacityBytes: pv.capacityBytes, Detail: detail}
		if kind == MissingSecret {
			finding.Cluster = ""
		}
		findings = append(findings, finding)
	}
	if f := s.found[pv.key()]; s.examined[pv.site] && (f == nil || f.isGone()) {
		detail := "it is not there: restore it, or delete the claim"
		if f != nil && f.Trashed && !f.Headless {
			detail = "it is in the trash: bring it back with `rbd trash restore " + f.Container + "/" + f.ID + "`, or delete the claim"
		}
		missing(MissingVolume, pv.site.place.String(), nameOf(pv.source), "PersistentVolume "+pv.name+" leads to it, but "+detail)
	}
	if pv.user.ID == "" {
		return findings
	}
	newUser, newSecret := pv.makeAnew()
	if path, asked := s.users[pv.userRef()]; asked && path == "" {
		missing(MissingUser, "users", pv.user.ID, "PersistentVolume "+pv.name+" is mounted as this user, who is not there: "+newUser)
	}
	if s.lost[pv.user.Secret] {
		missing(MissingSecret, pv.user.Secret.Namespace, pv.user.Secret.Name, "PersistentVolume "+pv.name+" is mounted with it, but it is not there: "+newSecret)
	}
	return findings
}

// makeAnew says how the user and the secret of a volume are made again. Those that
// ceph.com/cephfs made are not known to be ours, so rotate-key leaves them alone.
func (pv *volume) makeAnew() (user, secret string) {
	if !pv.user.Unmarked {
		remedy := "make it anew with `ceph-provisioner rotate-key " + pv.name + "`"
		return remedy, remedy
	}
	user = fmt.Sprintf("make it anew with `ceph auth get-or-create client.%s mon 'allow r' mds 'allow rw path=%s' osd 'allow rw pool=…'`, and its secret from its key", pv.user.ID, pv.source.Path)
	secret = fmt.Sprintf("make it anew with `ceph auth print-key client.%s | kubectl create secret generic %s --namespace=%s --from-file=key=/dev/stdin`", pv.user.ID, pv.user.Secret.Name, pv.user.Secret.Namespace)
	return user, secret
}
