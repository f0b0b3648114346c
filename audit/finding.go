// Package audit compares what Kubernetes says of volumes with what is in Ceph, in both
// directions, and deletes what nobody needs any more.
package audit

import (
	"cmp"
	"slices"
	"time"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// Kind says what was found. The text of each is for programs; docs/audit.md explains them.
type Kind string

// The kinds of findings.
const (
	OrphanImage         Kind = "orphan-image"
	OrphanSubvolume     Kind = "orphan-subvolume"
	OrphanDirectory     Kind = "orphan-directory"
	OrphanUser          Kind = "orphan-user"
	OrphanSecret        Kind = "orphan-secret"
	MissingVolume       Kind = "missing-volume"
	MissingUser         Kind = "missing-user"
	MissingSecret       Kind = "missing-secret"
	SizeDiffers         Kind = "size-differs"
	Unmarked            Kind = "unmarked"
	NotExamined         Kind = "not-examined"
	AnotherInstallation Kind = "another-installation"
	MarkedCopy          Kind = "marked-copy"
	Growing             Kind = "growing"
)

// kinds are all of them.
var kinds = []Kind{
	OrphanImage, OrphanSubvolume, OrphanDirectory, OrphanUser, OrphanSecret, MissingVolume, MissingUser, MissingSecret,
	SizeDiffers, Unmarked, NotExamined, AnotherInstallation, MarkedCopy, Growing,
}

// isOrphan reports whether findings of this kind may be deleted.
func (k Kind) isOrphan() bool {
	switch k {
	case OrphanImage, OrphanSubvolume, OrphanDirectory, OrphanUser, OrphanSecret:
		return true
	}
	return false
}

// isInformation reports whether findings of this kind need nobody's attention.
func (k Kind) isInformation() bool {
	return k == AnotherInstallation || k == MarkedCopy || k == Growing
}

// Finding is one thing that is not as it should be, or is worth knowing.
type Finding struct {
	Kind    Kind   `json:"kind"`
	Cluster string `json:"cluster,omitempty"` // fsid of the Ceph cluster
	Place   string `json:"place,omitempty"`   // pool, group, root; of a secret its namespace
	Name    string `json:"name"`
	ID      string `json:"id,omitempty"` // tells it from one that is made later under the same name

	PersistentVolume string            `json:"persistentVolume,omitempty"`
	Owner            *cephclient.Owner `json:"owner,omitempty"` // as it is marked
	SizeBytes        int64             `json:"sizeBytes,omitempty"`
	CapacityBytes    int64             `json:"capacityBytes,omitempty"` // of the PersistentVolume
	CreatedAt        time.Time         `json:"createdAt,omitzero"`
	ModifiedAt       time.Time         `json:"modifiedAt,omitzero"`
	Detail           string            `json:"detail"`

	found  *found           // what was found in Ceph, if it is that
	secret pvspec.SecretRef // or the secret
}

// identity is what two audits know the same thing by.
type identity struct {
	kind                     Kind
	cluster, place, name, id string
	claimUID                 string // the next claim of a name gets a user of the same name and path
}

func (f Finding) identity() identity {
	same := identity{kind: f.Kind, cluster: f.Cluster, place: f.Place, name: f.Name, id: f.ID}
	if f.Owner != nil {
		same.claimUID = f.Owner.ClaimUID
	}
	return same
}

// Report is what an audit has found.
type Report struct {
	Installation string    `json:"installation"` // UID of the namespace kube-system
	StartedAt    time.Time `json:"startedAt"`
	Findings     []Finding `json:"findings"`
	Summary      Summary   `json:"summary"`
}

// Summary is what the audit has looked at.
type Summary struct {
	Problems    int  `json:"problems"`    // findings that are not for information only
	Complete    bool `json:"complete"`    // everything was looked at
	Places      int  `json:"places"`      // pools, groups and roots
	CephVolumes int  `json:"cephVolumes"` // images, subvolumes and directories there, whoever's they are
	Volumes     int  `json:"persistentVolumes"`
}

func newReport(installation string, startedAt time.Time, findings []Finding) Report {
	slices.SortFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Place, b.Place), cmp.Compare(a.Name, b.Name))
	})
	if findings == nil {
		findings = []Finding{} // so that programs always get a list
	}
	r := Report{Installation: installation, StartedAt: startedAt, Findings: findings, Summary: Summary{Complete: true}}
	for _, finding := range findings {
		if finding.Kind == NotExamined {
			r.Summary.Complete = false
		}
		if !finding.Kind.isInformation() {
			r.Summary.Problems++
		}
	}
	return r
}

// counts are without kinds of which there is nothing.
func (r Report) counts() map[Kind]int {
	counts := map[Kind]int{}
	for _, finding := range r.Findings {
		counts[finding.Kind]++
	}
	return counts
}
