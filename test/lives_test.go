package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// lives are what becomes of the claims of a class while something fails.
type lives struct {
	class string
	ceph  *cephCluster // the same for all

	grown    []*corev1.PersistentVolumeClaim // from 64 to 128 MiB when they are Bound
	deleted  []*corev1.PersistentVolumeClaim // when they are Bound
	unwanted []*corev1.PersistentVolumeClaim // deleted whether they are Bound or not
	over     []*corev1.PersistentVolumeClaim // that were deleted
}

// begin makes claims of each sort.
func (s *scene) begin(kinds []*lives) {
	s.t.Helper()
	for _, kind := range kinds {
		for range 2 {
			kind.grown = append(kind.grown, s.claim(kind.class, "64Mi"))
			kind.unwanted = append(kind.unwanted, s.claim(kind.class, "64Mi"))
		}
		kind.deleted = append(kind.deleted, s.claim(kind.class, "64Mi"))
	}
}

// change has users do what they want with all of them, as soon as they can.
func (s *scene) change(kinds []*lives) {
	s.t.Helper()
	for _, kind := range kinds {
		s.end(kind, &kind.unwanted)
	}
	for _, kind := range kinds {
		for _, claim := range kind.grown {
			s.bound(claim)
			s.request(claim, "128Mi")
		}
		for _, claim := range kind.deleted {
			s.bound(claim)
		}
		s.end(kind, &kind.deleted)
	}
}

// end deletes some of the claims.
func (s *scene) end(kind *lives, claims *[]*corev1.PersistentVolumeClaim) {
	s.t.Helper()
	for _, claim := range *claims {
		s.deleteClaim(claim)
	}
	kind.over = append(kind.over, *claims...)
	*claims = nil
}

// managed is one class for each kind of volume that a process does not mount to make it.
// Where it does, others wait for a minute for what a dead or paused one has mounted.
func (s *scene) managed(ceph *cephCluster) (all []*lives) {
	s.t.Helper()
	for _, class := range []string{s.rbdClass(ceph), s.cephfsClass(ceph), s.tenantClass(ceph)} {
		all = append(all, &lives{class: class, ceph: ceph})
	}
	return all
}

// everyKind is one class for each kind of volume.
func (s *scene) everyKind(ceph *cephCluster) (all []*lives) {
	s.t.Helper()
	return append(s.managed(ceph), &lives{class: s.directoryClass(ceph), ceph: ceph})
}

// makeOne makes two volumes of each kind: one to grow, one to delete.
func (s *scene) makeOne(kinds []*lives) {
	s.t.Helper()
	for _, kind := range kinds {
		kind.grown = append(kind.grown, s.claim(kind.class, "64Mi"))
		kind.deleted = append(kind.deleted, s.claim(kind.class, "64Mi"))
	}
	for _, kind := range kinds {
		s.bound(kind.grown[0])
		s.bound(kind.deleted[0])
	}
}

// useOne grows the one and deletes the other.
func (s *scene) useOne(kinds []*lives) {
	s.t.Helper()
	for _, kind := range kinds {
		s.request(kind.grown[0], "128Mi")
		first := kind.deleted[:1]
		kind.deleted = kind.deleted[1:]
		s.end(kind, &first)
	}
}

// allDone waits until everything is as the users want it, in Kubernetes and in Ceph.
func (s *scene) allDone(kinds []*lives) {
	s.t.Helper()
	s.allDoneAt(kinds, 128<<20)
}

// allDoneAt is for claims that have grown to another size.
func (s *scene) allDoneAt(kinds []*lives, wantBytes int64) {
	s.t.Helper()
	var over []*corev1.PersistentVolumeClaim
	for _, kind := range kinds {
		for _, claim := range kind.grown {
			s.isGrown(kind.ceph, claim, wantBytes)
		}
		over = append(over, kind.over...)
	}
	s.allGone(kinds[0].ceph, over)
	s.oneVolumeEach(kinds)
}

// deleteAll leaves a controller nothing to purge when it ends.
func (s *scene) deleteAll(kinds []*lives) {
	s.t.Helper()
	for _, kind := range kinds {
		s.end(kind, &kind.grown)
	}
	s.allDone(kinds)
}

// isGrown waits for what was asked for, in Kubernetes and then in Ceph.
func (s *scene) isGrown(ceph *cephCluster, claim *corev1.PersistentVolumeClaim, wantBytes int64) {
	s.t.Helper()
	pv := s.bound(claim)
	s.grown(claim, pv.Name, wantBytes)
	if pv.Spec.RBD != nil {
		s.nodePending(claim, 64<<20)
	} else {
		s.finished(claim, wantBytes)
	}
	s.wantSize(ceph, claim, pv, wantBytes)
}

// wantSize holds a volume of any kind against the size it must have in Ceph.
func (s *scene) wantSize(ceph *cephCluster, claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume, wantBytes int64) {
	s.t.Helper()
	if pv.Spec.RBD != nil {
		ceph.wantImage(s.t, claim, wantBytes)
	} else if quota := ceph.quota(pv); quota != wantBytes {
		s.t.Errorf("the quota of claim %s is %d, want %d", claim.Name, quota, wantBytes)
	}
}

// quota is that of a CephFS volume, or 0 if it has none.
func (c *cephCluster) quota(pv *corev1.PersistentVolume) (bytes int64) {
	bytes, _ = strconv.ParseInt(c.attribute(pv.Spec.CephFS.Path, "ceph.quota.max_bytes"), 10, 64)
	return bytes
}

// allGone waits until nothing is left of claims: at first in Kubernetes, then in Ceph.
func (s *scene) allGone(ceph *cephCluster, claims []*corev1.PersistentVolumeClaim) {
	s.t.Helper()
	for _, claim := range claims {
		s.eventually("the claim is gone", claimIsGone(claim))
		s.gone("pvc-" + string(claim.UID))
	}
	s.eventuallyIn(s.t.Context(), toolInterval, patience, "nothing is left of deleted claims", func(ctx context.Context) error {
		traces, err := ceph.allTraces(ctx)
		users, usersErr := ceph.users(ctx)
		unpurged, purgeErr := ceph.inRoots(".deleting")
		err = errors.Join(err, usersErr, purgeErr)
		for _, claim := range claims {
			left := traces[volumeName(claim)]
			if users[ownUser(claim)] != nil {
				left = append(left, "user "+ownUser(claim))
			}
			if _, err := s.ownSecret(claim); !apierrors.IsNotFound(err) {
				left = append(left, fmt.Sprintf("secret %s (%v)", ownSecret(claim), err))
			}
			if slices.ContainsFunc(unpurged, func(name string) bool { return strings.HasPrefix(name, volumeName(claim)) }) {
				left = append(left, "directory to be purged")
			}
			if len(left) > 0 {
				err = errors.Join(err, fmt.Errorf("claim %s has %v", claim.Name, left))
			}
		}
		return err
	})
}

// oneVolumeEach holds what there is against what was asked for: PersistentVolumes by
// their claims, volumes in Ceph by their names.
func (s *scene) oneVolumeEach(kinds []*lives) {
	s.t.Helper()
	volumes, err := s.volumes(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	count := map[string]int{}
	for _, pv := range volumes {
		count[string(pv.Spec.ClaimRef.UID)]++
	}
	traces, err := kinds[0].ceph.allTraces(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, kind := range kinds {
		for _, claim := range kind.grown {
			if n, found := count[string(claim.UID)], traces[volumeName(claim)]; n != 1 || len(found) != 1 {
				s.t.Errorf("claim %s has %d PersistentVolumes, and in Ceph %v; want one each", claim.Name, n, found)
			}
			delete(count, string(claim.UID))
		}
	}
	if len(count) > 0 {
		s.t.Errorf("there are PersistentVolumes of other claims: %v", count)
	}
}
