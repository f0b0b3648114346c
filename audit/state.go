package audit

import (
	"strings"
	"time"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// state is all that an audit compares.
type state struct {
	installation string

	// What is in Ceph.
	examined map[site]bool
	found    map[key]*found
	users    map[userRef]string  // the path that each user reaches which was asked for; empty if there is none
	suspects map[userRef]suspect // users that belong to what was found without a PersistentVolume

	kubernetes
	unexamined map[identity]Finding
}

func newState(installation string) *state {
	return &state{
		installation: installation, examined: map[site]bool{}, found: map[key]*found{},
		users: map[userRef]string{}, unexamined: map[identity]Finding{},
	}
}

// fail notes what could not be looked at, and why.
func (s *state) fail(cluster, place, name string, err error) {
	finding := Finding{Kind: NotExamined, Cluster: cluster, Place: place, Name: name, Detail: err.Error()}
	s.unexamined[finding.identity()] = finding
}

// kubernetes is what is in Kubernetes, as it was read at one time.
type kubernetes struct {
	volumes map[string]*volume          // PersistentVolumes that our provisioners made, by name
	others  map[string][]string         // what all others mention, and those of ours that can't be followed to Ceph
	claims  map[string]bool             // by UID
	named   map[string]bool             // by namespace/name
	secrets map[pvspec.SecretRef]secret // that carry our label
	lost    map[pvspec.SecretRef]bool   // that PersistentVolumes are mounted with, and that are not there
}

func newKubernetes() kubernetes {
	return kubernetes{
		volumes: map[string]*volume{}, others: map[string][]string{}, claims: map[string]bool{}, named: map[string]bool{},
		secrets: map[pvspec.SecretRef]secret{}, lost: map[pvspec.SecretRef]bool{},
	}
}

// site is a place in a cluster.
type site struct {
	cluster string // fsid
	place   cephclient.Place
}

// key names a volume among those of all clusters.
type key struct {
	cluster         string
	kind            cephclient.Kind
	container, home string
}

func keyOf(cluster string, volume cephclient.Volume) key {
	return key{cluster, volume.Kind, volume.Container, volume.Home()}
}

// found is a volume in Ceph.
type found struct {
	cephclient.Found
	owner  cephclient.Owner // if it is marked
	marked bool
	site   site
	by     *connection // that it was found by
	err    error       // it is there, but can't be looked at
}

func newFound(seen cephclient.Found, at site, by *connection) *found {
	f := &found{Found: seen, site: at, by: by}
	f.owner, f.marked = cephclient.ParseOwner(seen.Owner)
	return f
}

// volume is a PersistentVolume.
type volume struct {
	name          string
	source        cephclient.Volume
	site          site
	by            *connection // that leads to it
	capacityBytes int64
	growing       bool
	leaving       bool // being deleted, so that parts of it may be gone
	claimUID      string
	user          pvspec.OwnUser // without ID where it is mounted with an identity that others share
}

func (v *volume) key() key { return keyOf(v.site.cluster, v.source) }

func (v *volume) userRef() userRef { return userRef{v.site.cluster, v.user.ID} }

// secret is what is known of one; never what is in it.
type secret struct {
	uid       string
	owner     cephclient.Owner
	createdAt time.Time
}

type userRef struct{ cluster, id string }

// suspect is a user that may be left of a volume.
type suspect struct {
	owner     cephclient.Owner
	createdAt time.Time // of the volume or secret that leads to it
}

// isMentioned reports whether a PersistentVolume that is not compared may lead to a
// volume: by the UID in its name, or by a path that is, contains or lies in its own.
func (k *kubernetes) isMentioned(volume cephclient.Volume) bool {
	return k.anySays(func(text string) bool { return text == volume.Name || leadsTo(text, volume) })
}

// isHeld reports the same of PersistentVolumes of ours that lead elsewhere in the same pool or
// file system, such as into it.
func (k *kubernetes) isHeld(f *found) bool {
	for _, pv := range k.volumes {
		if pv.site.cluster == f.site.cluster && pv.source.Kind == f.Kind && pv.source.Container == f.Container &&
			(leadsTo(pv.source.Home(), f.Volume) || leadsTo(pv.source.Path, f.Volume)) {
			return true
		}
	}
	return false
}

func leadsTo(text string, volume cephclient.Volume) bool {
	home := volume.Home()
	uid, named := pvspec.ClaimUIDIn(volume.Name)
	switch {
	case text == "":
		return false
	case named && uid != "" && strings.Contains(text, uid), text == home:
		return true
	case volume.Kind == cephclient.RBD:
		return false
	}
	isAbove := len(text) > len(volume.Root) && strings.HasPrefix(home, text+"/")
	return strings.HasPrefix(text, home+"/") || volume.IsDirectory() && isAbove
}

// isInUse reports the same of a user or secret that was made for a claim.
func (k *kubernetes) isInUse(name, claimUID string) bool {
	return k.anySays(func(text string) bool { return text == name || claimUID != "" && strings.Contains(text, claimUID) })
}

func (k *kubernetes) anySays(matches func(string) bool) bool {
	for _, mentions := range k.others {
		for _, text := range mentions {
			if matches(text) {
				return true
			}
		}
	}
	return false
}

// exists reports whether anything in Kubernetes still stands for the owner.
func (k *kubernetes) exists(owner cephclient.Owner) bool {
	_, ours := k.volumes[owner.PersistentVolume]
	_, other := k.others[owner.PersistentVolume]
	return ours || other || k.claims[owner.ClaimUID]
}

// leads tells which PersistentVolume of ours leads to a volume.
func (k *kubernetes) leads() map[key]*volume {
	leads := map[key]*volume{}
	for _, each := range k.volumes {
		leads[each.key()] = each
	}
	return leads
}
