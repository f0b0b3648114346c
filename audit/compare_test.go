package audit

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

const (
	here    = "installation-here"
	fsid    = "fsid"
	uid     = "11111111-2222-3333-4444-555555555555"
	pvName  = "pvc-" + uid
	image   = "kubernetes-dynamic-pvc-" + uid
	userID  = "kubernetes-dynamic-user-" + uid
	groupAt = "/volumes/kubernetes/" + image
	size    = int64(64 << 20)
)

var (
	longAgo   = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rbdVolume = cephclient.Volume{Kind: cephclient.RBD, Container: "rbd", Name: image}
	subvolume = cephclient.Volume{Kind: cephclient.CephFS, Container: "cephfs", Group: "kubernetes", Name: image, Path: groupAt + "/uuid"}
	directory = cephclient.Volume{Kind: cephclient.CephFS, Container: "cephfs", Root: "/pvc-volumes", Group: "ns", Name: "data", Path: "/pvc-volumes/ns/data"}
	secretRef = pvspec.SecretRef{Namespace: "ceph-volumes", Name: "ceph-" + userID + "-secret"}
)

func ownerHere() cephclient.Owner {
	return cephclient.Owner{Installation: here, Namespace: "ns", Claim: "data", ClaimUID: uid, PersistentVolume: pvName}
}

// scene is a state that tests make step by step.
type scene struct{ *state }

func newScene() scene {
	s := scene{newState(here)}
	s.kubernetes = newKubernetes()
	return s
}

// inCeph puts a volume of the usual size there, with the mark of its claim.
func (s scene) inCeph(volume cephclient.Volume, changes ...func(*cephclient.Found)) *found {
	seen := cephclient.Found{Volume: volume, ID: "id", SizeBytes: size, Owner: ownerHere().String(), CreatedAt: longAgo}
	for _, change := range changes {
		change(&seen)
	}
	f := newFound(seen, site{fsid, volume.Place()}, nil)
	s.found[keyOf(fsid, seen.Volume)] = f
	s.examined[f.site] = true
	return f
}

// inKubernetes makes the PersistentVolume of a volume.
func (s scene) inKubernetes(source cephclient.Volume, changes ...func(*volume)) {
	pv := &volume{name: pvName, source: source, site: site{fsid, source.Place()}, capacityBytes: size, claimUID: uid}
	for _, change := range changes {
		change(pv)
	}
	s.examined[pv.site] = true
	s.volumes[pv.name] = pv
}

func marked(change func(*cephclient.Owner)) func(*cephclient.Found) {
	owner := ownerHere()
	change(&owner)
	return func(f *cephclient.Found) { f.Owner = owner.String() }
}

func unmarked(f *cephclient.Found) { f.Owner = "" }

func trashed(f *cephclient.Found) { f.Trashed = true }

func ofBytes(bytes int64) func(*cephclient.Found) {
	return func(f *cephclient.Found) { f.SizeBytes = bytes }
}

func capacity(bytes int64) func(*volume) { return func(pv *volume) { pv.capacityBytes = bytes } }

func ownUser(pv *volume) {
	pv.user = pvspec.OwnUser{Identity: pvspec.Identity{ID: userID, Secret: secretRef}}
}

func TestCompareVolumes(t *testing.T) {
	named := func(name string) cephclient.Volume {
		return cephclient.Volume{Kind: cephclient.RBD, Container: "rbd", Name: name}
	}
	for state, test := range map[string]struct {
		make func(scene)
		want []Kind
	}{
		"nothing":                           {make: func(scene) {}},
		"image with PersistentVolume":       {make: func(s scene) { s.inCeph(rbdVolume); s.inKubernetes(rbdVolume) }},
		"subvolume with PersistentVolume":   {make: func(s scene) { s.inCeph(subvolume); s.inKubernetes(subvolume) }},
		"old volume without mark":           {make: func(s scene) { s.inCeph(rbdVolume, unmarked); s.inKubernetes(rbdVolume) }},
		"image that leads to nobody":        {make: func(s scene) { s.inCeph(rbdVolume) }, want: []Kind{OrphanImage}},
		"subvolume that leads to nobody":    {make: func(s scene) { s.inCeph(subvolume) }, want: []Kind{OrphanSubvolume}},
		"directory that leads to nobody":    {make: func(s scene) { s.inCeph(directory) }, want: []Kind{OrphanDirectory}},
		"image that is just being made":     {make: func(s scene) { s.inCeph(rbdVolume); s.claims[uid] = true }},
		"image that is not yet marked":      {make: func(s scene) { s.inCeph(rbdVolume, unmarked); s.claims[uid] = true }},
		"another claim of that name":        {make: func(s scene) { s.inCeph(directory); s.named["ns/data"] = true; s.claims["other"] = true }, want: []Kind{OrphanDirectory}},
		"image without mark":                {make: func(s scene) { s.inCeph(rbdVolume, unmarked) }, want: []Kind{Unmarked}},
		"image with a mark nobody can read": {make: func(s scene) { s.inCeph(rbdVolume, func(f *cephclient.Found) { f.Owner = "{" }) }, want: []Kind{Unmarked}},
		"somebody's image":                  {make: func(s scene) { s.inCeph(named("vm-1"), unmarked) }},
		"image of another installation": {
			make: func(s scene) { s.inCeph(rbdVolume, marked(func(o *cephclient.Owner) { o.Installation = "there" })) },
			want: []Kind{AnotherInstallation},
		},
		"image of another installation, with a PersistentVolume here": {
			make: func(s scene) {
				s.inCeph(rbdVolume, marked(func(o *cephclient.Owner) { o.Installation = "there" }))
				s.inKubernetes(rbdVolume)
			},
			want: []Kind{AnotherInstallation},
		},
		"copy of an image under another name": {
			make: func(s scene) { s.inCeph(named("backup")); s.inCeph(rbdVolume); s.inKubernetes(rbdVolume) }, want: []Kind{MarkedCopy},
		},
		"copy whose original is gone": {make: func(s scene) { s.inCeph(named("backup")) }, want: []Kind{MarkedCopy}},
		"copy in another pool": {
			make: func(s scene) {
				copied := rbdVolume
				copied.Container = "other"
				s.inCeph(copied)
				s.inCeph(rbdVolume)
				s.inKubernetes(rbdVolume)
			},
			want: []Kind{MarkedCopy},
		},
		"image that a CSI volume took over": {
			make: func(s scene) { s.inCeph(rbdVolume); s.others["csi"] = []string{"mig_mons-x_image-" + uid + "_726264"} },
		},
		"subvolume that a static volume leads to": {
			make: func(s scene) { s.inCeph(subvolume); s.others["static"] = []string{subvolume.Path} },
		},
		"directory that a copy of its PersistentVolume lies in": {
			make: func(s scene) {
				inner := directory
				inner.Group, inner.Name, inner.Path = "ns/data", "sub", directory.Path+"/sub"
				s.inCeph(directory)
				s.inKubernetes(inner, func(pv *volume) { pv.name = "copy" })
			},
			want: []Kind{MissingVolume},
		},
		"directory that another volume lies in": {
			make: func(s scene) { s.inCeph(directory); s.others["static"] = []string{"/pvc-volumes/ns/data/sub"} },
		},
		"directory below another volume": {
			make: func(s scene) { s.inCeph(directory); s.others["static"] = []string{"/pvc-volumes/ns"} },
		},
		"directory below a volume of the whole root": {
			make: func(s scene) { s.inCeph(directory); s.others["static"] = []string{"/pvc-volumes"} }, want: []Kind{OrphanDirectory},
		},
		"its PersistentVolume can't be followed": {make: func(s scene) { s.inCeph(rbdVolume); s.others[pvName] = nil }},
		"image that can't be opened": {
			make: func(s scene) { s.inCeph(rbdVolume).err = errors.New("broken"); s.inKubernetes(rbdVolume) }, want: []Kind{NotExamined},
		},
		"image whose creation was cut short": {
			make: func(s scene) { s.inCeph(rbdVolume, unmarked, func(f *cephclient.Found) { f.Headless = true }) }, want: []Kind{Unmarked},
		},
		"image in the trash": {
			make: func(s scene) { s.inCeph(rbdVolume, trashed) }, want: []Kind{OrphanImage},
		},
		"image in the trash, of a volume": {
			make: func(s scene) { s.inCeph(rbdVolume, trashed); s.inKubernetes(rbdVolume) }, want: []Kind{MissingVolume},
		},
		"image in the trash that nobody has marked": {make: func(s scene) { s.inCeph(rbdVolume, trashed, unmarked) }},
		"image whose removal was cut short": {
			make: func(s scene) { s.inCeph(rbdVolume, trashed, unmarked, func(f *cephclient.Found) { f.Headless = true }) }, want: []Kind{Unmarked},
		},
		"missing image": {make: func(s scene) { s.inKubernetes(rbdVolume) }, want: []Kind{MissingVolume}},
		"missing image, but its name": {make: func(s scene) {
			s.inKubernetes(rbdVolume)
			s.inCeph(rbdVolume, unmarked, func(f *cephclient.Found) { f.Headless = true })
		}, want: []Kind{MissingVolume}},
		"image that is being deleted": {make: func(s scene) { s.inKubernetes(rbdVolume, func(pv *volume) { pv.leaving = true }) }},
		"place that was not examined": {make: func(s scene) { s.inKubernetes(rbdVolume); clear(s.examined) }},
	} {
		t.Run(state, func(t *testing.T) {
			s := newScene()
			test.make(s)
			wantKinds(t, s, test.want)
		})
	}
}

func TestCompareSizes(t *testing.T) {
	growing := func(pv *volume) { pv.growing = true }
	for state, test := range map[string]struct {
		volume  cephclient.Volume
		inCeph  int64
		changes []func(*volume)
		want    []Kind
	}{
		"image rounded up to MiB":               {rbdVolume, 2 << 20, []func(*volume){capacity(1500001)}, nil},
		"image larger by more than rounding":    {rbdVolume, 3 << 20, []func(*volume){capacity(1500001)}, []Kind{SizeDiffers}},
		"quota as it should be":                 {subvolume, 1500001, []func(*volume){capacity(1500001)}, nil},
		"quota one byte too small":              {subvolume, 1500000, []func(*volume){capacity(1500001)}, []Kind{SizeDiffers}},
		"quota rounded up":                      {subvolume, 2 << 20, []func(*volume){capacity(1500001)}, []Kind{SizeDiffers}},
		"no quota":                              {subvolume, cephclient.Unlimited, nil, []Kind{SizeDiffers}},
		"no quota, while it grows":              {subvolume, cephclient.Unlimited, []func(*volume){growing}, []Kind{SizeDiffers}},
		"larger, and its capacity is postponed": {subvolume, 2 * size, []func(*volume){growing}, []Kind{Growing}},
		"smaller, and its claim asks for more":  {subvolume, size / 2, []func(*volume){growing}, []Kind{SizeDiffers}},
		"image grown, its capacity not yet":     {rbdVolume, 2 * size, []func(*volume){growing}, []Kind{Growing}},
	} {
		t.Run(state, func(t *testing.T) {
			s := newScene()
			s.inCeph(test.volume, ofBytes(test.inCeph))
			s.inKubernetes(test.volume, test.changes...)
			wantKinds(t, s, test.want)
		})
	}
}

func TestCompareUsersAndSecrets(t *testing.T) {
	own := secret{uid: "s", owner: ownerHere(), createdAt: longAgo}
	user := userRef{fsid, userID}
	named := userRef{fsid, "k8s.ns.data"}
	for state, test := range map[string]struct {
		make func(scene)
		want []Kind
	}{
		"all in order": {make: func(s scene) {
			s.inCeph(subvolume)
			s.inKubernetes(subvolume, ownUser)
			s.users[user], s.secrets[secretRef] = subvolume.Path, own
		}},
		"user and secret are lost": {
			make: func(s scene) {
				s.inCeph(subvolume)
				s.inKubernetes(subvolume, ownUser)
				s.users[user], s.lost[secretRef] = "", true
			},
			want: []Kind{MissingSecret, MissingUser},
		},
		"user that could not be asked for": {make: func(s scene) { s.inCeph(subvolume); s.inKubernetes(subvolume, ownUser) }},
		"all that is left of a volume": {
			make: func(s scene) { s.inCeph(subvolume); s.users[user], s.secrets[secretRef] = subvolume.Path, own },
			want: []Kind{OrphanSecret, OrphanSubvolume, OrphanUser},
		},
		"secret alone":                                {make: func(s scene) { s.secrets[secretRef] = own }, want: []Kind{OrphanSecret}},
		"secret and user, the volume gone":            {make: func(s scene) { s.users[user], s.secrets[secretRef] = subvolume.Path, own }, want: []Kind{OrphanSecret, OrphanUser}},
		"secret of a claim that is being provisioned": {make: func(s scene) { s.secrets[secretRef] = own; s.claims[uid] = true }},
		"secret that a CSI volume uses":               {make: func(s scene) { s.secrets[secretRef] = own; s.others["csi"] = []string{secretRef.Name} }},
		"secret of another installation": {
			make: func(s scene) { own := own; own.owner.Installation = "there"; s.secrets[secretRef] = own }, want: []Kind{AnotherInstallation},
		},
		"secret without mark":       {make: func(s scene) { s.secrets[secretRef] = secret{uid: "s"} }, want: []Kind{Unmarked}},
		"user called after a claim": {make: func(s scene) { s.inCeph(directory); s.users[named] = directory.Path }, want: []Kind{OrphanDirectory, OrphanUser}},
		"user of a directory that was given to another installation": {
			make: func(s scene) {
				s.inCeph(directory, marked(func(o *cephclient.Owner) { o.Installation = "there" }))
				s.users[named] = directory.Path
				s.secrets[pvspec.SecretRef{Namespace: "ceph-volumes", Name: "ceph-" + named.id + "-secret"}] = own
			},
			want: []Kind{AnotherInstallation, OrphanSecret},
		},
		"user that the next claim of that name gets": {
			make: func(s scene) { s.inCeph(directory); s.users[named] = directory.Path; s.named["ns/data"] = true }, want: []Kind{OrphanDirectory},
		},
	} {
		t.Run(state, func(t *testing.T) {
			s := newScene()
			test.make(s)
			s.suspects = suspected(compare(s.state), map[string]bool{fsid: true})
			wantKinds(t, s, test.want)
		})
	}
}

// What rotate-key refuses must not be its remedy.
func TestLostUsersOfCephComCephFSAreMadeByHand(t *testing.T) {
	s := newScene()
	s.inCeph(subvolume)
	s.inKubernetes(subvolume, ownUser, func(pv *volume) { pv.user.Unmarked = true })
	s.users[userRef{fsid, userID}], s.lost[secretRef] = "", true
	found := compare(s.state)
	if len(found) != 2 {
		t.Fatalf("got %v", found)
	}
	for _, finding := range found {
		if strings.Contains(finding.Detail, "rotate-key") || !strings.Contains(finding.Detail, "client."+userID) {
			t.Errorf("%s: %s", finding.Kind, finding.Detail)
		}
	}
}

func wantKinds(t *testing.T, s scene, want []Kind) {
	t.Helper()
	report := newReport(here, longAgo, compare(s.state))
	var got []Kind
	for _, finding := range report.Findings {
		got = append(got, finding.Kind)
		if finding.Name == "" || finding.Detail == "" || finding.Place == "" {
			t.Errorf("%+v says too little", finding)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", report.Findings, want)
	}
}
