package e2e

import (
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// What an attempt that was cut short has made is found again by its name, and
// used, or made anew where it is no use.
func TestAdopt(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	ceph.run(t, "ceph", "fs", "subvolumegroup", "create", ceph.FileSystem, defaultGroup)
	rbdCreate := func(t *testing.T, claim *corev1.PersistentVolumeClaim, size string) {
		ceph.run(t, "rbd", "create", "--no-progress", "--image-feature=layering", "--size="+size, imageSpec(claim))
	}
	subvolumeCreate := func(t *testing.T, claim *corev1.PersistentVolumeClaim, args ...string) {
		args = append([]string{"fs", "subvolume", "create", ceph.FileSystem, volumeName(claim), "--group_name=" + defaultGroup}, args...)
		ceph.run(t, "ceph", args...)
	}
	tests := map[string]struct {
		isCephFS bool
		before   func(t *testing.T, claim *corev1.PersistentVolumeClaim)
		wantNew  bool // another image than the one that was there
		want     int64
	}{
		"an image of the size": {
			before: func(t *testing.T, claim *corev1.PersistentVolumeClaim) { rbdCreate(t, claim, "1G") },
			want:   1 << 30,
		},
		"a smaller image": {
			before: func(t *testing.T, claim *corev1.PersistentVolumeClaim) { rbdCreate(t, claim, "1M") },
			want:   1 << 30,
		},
		"a larger image": {
			before: func(t *testing.T, claim *corev1.PersistentVolumeClaim) { rbdCreate(t, claim, "2G") },
			want:   2 << 30,
		},
		"an image without a header": {
			before: func(t *testing.T, claim *corev1.PersistentVolumeClaim) {
				rbdCreate(t, claim, "1G")
				ceph.beheadImage(t, claim)
			},
			wantNew: true,
			want:    1 << 30,
		},
		"a subvolume of the size": {
			isCephFS: true,
			before: func(t *testing.T, claim *corev1.PersistentVolumeClaim) {
				subvolumeCreate(t, claim, "--size="+strconv.Itoa(1<<30))
			},
			want: 1 << 30,
		},
		"a smaller subvolume": {
			isCephFS: true,
			before: func(t *testing.T, claim *corev1.PersistentVolumeClaim) {
				subvolumeCreate(t, claim, "--size=1000")
			},
			want: 1 << 30,
		},
		"a subvolume without a quota": {
			isCephFS: true,
			before:   func(t *testing.T, claim *corev1.PersistentVolumeClaim) { subvolumeCreate(t, claim) },
			want:     1 << 30,
		},
	}
	for state, test := range tests {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			newClass, id := s.rbdClass, rbdAdminID
			if test.isCephFS {
				newClass, id = s.cephfsClass, cephfsAdminID
			}
			// Without its secret the claim waits until something has been made for it.
			claim := s.claim(newClass(ceph, with("adminSecretNamespace", s.namespace)), "1Gi")
			s.event(claim, "ProvisioningFailed", "does not exist")
			test.before(t, claim)
			before := ceph.identity(t, claim, test.isCephFS, test.wantNew)
			s.adminSecret(ceph, id)
			pv := s.bound(claim)

			if got := pv.Spec.Capacity.Storage().Value(); got != test.want {
				t.Errorf("the volume has %d bytes in Kubernetes, want %d", got, test.want)
			}
			if got := ceph.sizeOf(t, claim, test.isCephFS); got != test.want {
				t.Errorf("the volume has %d bytes in Ceph, want %d", got, test.want)
			}
			owner := ceph.imageOwner
			if test.isCephFS {
				owner = func(t testing.TB, claim *corev1.PersistentVolumeClaim) string {
					return ceph.subvolumeOwner(t, defaultGroup, claim)
				}
			}
			wantOwner(t, owner(t, claim), claim)
			after := ceph.identity(t, claim, test.isCephFS, false)
			if isNew := after != before; isNew != test.wantNew {
				t.Errorf("the volume was %q and is %q, want a new one: %t", before, after, test.wantNew)
			}
			if traces, err := ceph.traces(t.Context(), volumeName(claim)); err != nil || len(traces) != 1 {
				t.Errorf("Ceph has %v (%v), want one volume", traces, err)
			}
		})
	}
}

// adminSecret puts the key of an identity where the test's class looks for it.
func (s *scene) adminSecret(ceph *cephCluster, id string) {
	s.t.Helper()
	key, err := ceph.key(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	s.secret(secretsOfIdentities[id], map[string]string{"key": key})
}

func (c *cephCluster) sizeOf(t testing.TB, claim *corev1.PersistentVolumeClaim, isCephFS bool) int64 {
	t.Helper()
	if isCephFS {
		return int64(c.subvolume(t, defaultGroup, volumeName(claim)).QuotaBytes)
	}
	return c.image(t, imageSpec(claim)).SizeBytes
}

// identity tells a volume from another one of the same name. A broken image has none.
func (c *cephCluster) identity(t testing.TB, claim *corev1.PersistentVolumeClaim, isCephFS, broken bool) string {
	t.Helper()
	switch {
	case isCephFS:
		return c.subvolume(t, defaultGroup, volumeName(claim)).Path
	case broken:
		return "broken"
	}
	return c.image(t, imageSpec(claim)).ID
}

// A claim that was deleted and made again under the same name is another claim,
// with a volume of its own.
func TestClaimMadeAgainGetsItsOwnVolume(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	for _, class := range []string{s.rbdClass(ceph), s.cephfsClass(ceph)} {
		name := named("claim-" + class)
		first, firstPV := s.made(class, "1Gi", name)
		s.deleteClaim(first)
		s.eventually("the claim is gone", claimIsGone(first))
		second, secondPV := s.made(class, "1Gi", name)
		if secondPV.Name == firstPV.Name {
			t.Errorf("the new claim got the old one's volume %s", firstPV.Name)
		}
		s.gone(firstPV.Name)
		s.traceless(ceph, first)
		if traces, err := ceph.traces(t.Context(), volumeName(second)); err != nil || len(traces) != 1 {
			t.Errorf("Ceph has %v (%v), want one volume", traces, err)
		}
	}
}
