package cephclient

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// OwnerKey is what the owner stands under: in an image's metadata, in a subvolume's
// metadata, or, behind "user.", in an extended attribute of a directory.
const OwnerKey = "ceph.example/owner"

// Owner says who a volume belongs to. It is written onto the volume, because several
// Kubernetes clusters may share a pool or file system.
type Owner struct {
	Installation     string `json:"installation"` // UID of the Kubernetes cluster's namespace kube-system
	Namespace        string `json:"namespace"`    // of the claim
	Claim            string `json:"claim"`
	ClaimUID         string `json:"claimUID"`
	PersistentVolume string `json:"persistentVolume"`
}

// String is the text that is written, in JSON.
func (o Owner) String() string {
	text, err := json.Marshal(o)
	if err != nil {
		panic(err) // strings alone can't fail
	}
	return string(text)
}

// ParseOwner reads what [Owner.String] wrote. Any other text is nobody's, such as what pods
// have written into a directory for the terminal of an administrator.
func ParseOwner(text string) (owner Owner, ok bool) {
	type fields Owner // which print as they are
	err := json.Unmarshal([]byte(text), &owner)
	isHostile := strings.ContainsFunc(fmt.Sprint(fields(owner)), func(r rune) bool { return !unicode.IsPrint(r) })
	if err != nil || owner.ClaimUID == "" || isHostile {
		return Owner{}, false
	}
	return owner, true
}
