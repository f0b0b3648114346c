package cephclient

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// mayAdopt refuses a directory that is another claim's, or may be somebody's who
// says nothing. Subvolumes are made by nobody else under such names.
func mayAdopt(volume Volume, found CephFSInfo, claim Owner) error {
	if !volume.IsDirectory() {
		return nil
	}
	owner, marked := ParseOwner(found.Owner)
	switch {
	case marked && owner.ClaimUID == claim.ClaimUID:
		return nil
	case marked:
		return taken(volume, found, claim, fmt.Sprintf("it belongs to claim %s/%s (%s) of installation %s",
			owner.Namespace, owner.Claim, owner.ClaimUID, owner.Installation))
	case found.Entries == 0 || claim.ClaimUID != "" && strings.Contains(volume.Name, claim.ClaimUID):
		return nil
	}
	return taken(volume, found, claim, "it is not empty, and does not say whose it is")
}

func taken(volume Volume, found CephFSInfo, claim Owner, detail string) error {
	refusal := NewError(ErrExists, "create "+volume.String(), detail, false)
	refusal.Remedy = fmt.Sprintf(`give the claim another name, or, if its data is meant for this claim, say so in a mount of the file system: setfattr -n user.%s -v '{"claimUID":%q}' %s`,
		OwnerKey, claim.ClaimUID, found.Path)
	return refusal
}

// takeBack removes a volume that was absent before and can't be completed, so that
// nothing is left of it.
func (b cephfsBackend) takeBack(ctx context.Context, volume Volume, owner Owner, failure error) error {
	var e *Error
	if !errors.As(failure, &e) || !e.Wrote {
		return failure
	}
	told := *e
	switch e.Cause {
	case ErrQuotaMismatch:
		told.Remedy = "use releases of Ceph, in the cluster and here, that know CephFS quotas (Mimic or later)"
	case ErrDenied, ErrUnsupported:
	default:
		return failure
	}
	volume.Mark = owner.String()
	if err := b.store(volume).Remove(ctx, volume); err != nil && !errors.Is(err, ErrNotFound) {
		return failure
	}
	told.Wrote = false
	told.Remedy += "; what was made is removed again"
	return &told
}
