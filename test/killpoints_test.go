package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// killpointsVariable names the build that ends after the write that its environment names.
const killpointsVariable = "KILLPOINTS_BIN"

// killer is a controller that ends at one of its writes, of which 1 is the first.
type killer func(write int) (binary string, environment []string)

// afterWrite ends after a step of ours: a call to Ceph or to the API server.
func afterWrite(t *testing.T) killer {
	binary := os.Getenv(killpointsVariable)
	if binary == "" {
		t.Fatalf("%s must name a build with the tag killpoints: run `make e2e`", killpointsVariable)
	}
	return func(write int) (string, []string) {
		return binary, []string{fmt.Sprintf("KILL_AFTER_WRITE=%d", write)}
	}
}

// insideLibrbd ends within a step of ours, before one of the writes that librbd makes of it.
func insideLibrbd(t *testing.T) killer {
	library := filepath.Join(t.TempDir(), "killrados.so")
	if out, err := exec.CommandContext(t.Context(), "cc", "-shared", "-fPIC", "-o", library, "testdata/killrados.c", "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return func(write int) (string, []string) {
		return suite.binary, []string{"LD_PRELOAD=" + library, fmt.Sprintf("KILL_BEFORE_RADOS_WRITE=%d", write)}
	}
}

// A volume of each kind is made, grown and deleted by a controller that ends at its first
// write to Ceph or Kubernetes, then by one that ends at its second, and so on until one
// has come to the end. Each time the next controller carries on, or, as long as the claim
// is not Bound, finds it deleted. Nothing may be left, whatever it is called: that is
// checked after all tests, too.
func TestKilledAtEachWrite(t *testing.T) {
	t.Parallel()
	// Whoever comes upon what a killed client of CephFS has in its cache has to wait, so
	// most other tests use the other cluster.
	ceph := suite.ceph[1]
	for kind, c := range map[string]struct {
		class  func(s *scene, root string) string
		killer func(*testing.T) killer
		writes int // at least: else the test would have missed some
		bound  int // and of those, before the claim is Bound
	}{
		"RBD":                {func(s *scene, _ string) string { return s.rbdClass(ceph) }, afterWrite, 10, 3},
		"RBD, inside librbd": {func(s *scene, _ string) string { return s.rbdClass(ceph) }, insideLibrbd, 15, 4},
		"CephFS":             {func(s *scene, _ string) string { return s.cephfsClass(ceph) }, afterWrite, 10, 3},
		"CephFS, users":      {func(s *scene, _ string) string { return s.tenantClass(ceph) }, afterWrite, 12, 5},
		"CephFS, directories": {func(s *scene, root string) string {
			return s.directoryClass(ceph, with("claimRoot", root))
		}, afterWrite, 12, 5},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			root := ownRoot(t, ceph)
			s := newScene(t)
			s.nameProvisioners()
			s.killedAtEachWrite(ceph, c.killer(t), c.class(s, root), c.writes, func(k *killed) bool {
				s.restart()
				k.carryOn(ceph)
				return true
			})
		})
		t.Run(kind+", claim deleted", func(t *testing.T) {
			t.Parallel()
			root := ownRoot(t, ceph)
			s := newScene(t)
			s.nameProvisioners()
			s.killedAtEachWrite(ceph, c.killer(t), c.class(s, root), c.bound, func(k *killed) bool {
				wasPending := isBound(t.Context(), k.claim) != nil
				if !k.deleted {
					s.deleteClaim(k.claim)
				}
				s.restart()
				s.noneBegun(k.claim)
				return wasPending
			})
		})
	}
}

const ownRootPrefix = "of-"

// ownRoot is a root of directories that no client of another test keeps busy when it is
// killed. It must be made before the scene, so that it is removed after its volumes.
func ownRoot(t *testing.T, ceph *cephCluster) string {
	t.Helper()
	root := filepath.Join(claimRoot, ownRootPrefix+string(uuid.NewUUID()))
	if err := os.Mkdir(ceph.path(root), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		left, err := ceph.entries(root)
		left = slices.DeleteFunc(left, func(name string) bool { return name == ".deleting" }) // a purge may be cut short
		if len(left) > 0 || err != nil {
			t.Errorf("%s has %v, %v; want nothing", root, left, err)
		}
		if err := os.RemoveAll(ceph.path(root)); err != nil {
			t.Error(err)
		}
	})
	return root
}

// killed is a claim whose controller has ended.
type killed struct {
	*scene
	claim              *corev1.PersistentVolumeClaim
	requested, deleted bool
}

// killedAtEachWrite leads one claim after the other from its creation to its deletion,
// until a controller has come to the end, or recover says that there is no more to see.
// After each, nothing may be left. At least so many writes must have been seen. Volumes are
// small because each object of an image is a write more when it is removed.
func (s *scene) killedAtEachWrite(ceph *cephCluster, kill killer, class string, atLeast int, recover func(*killed) bool) {
	s.t.Helper()
	for write := 1; ; write++ {
		k := s.killedAt(kill, write)
		k.claim = s.claim(class, "4Mi")
		k.live()
		more := s.controller.hasExited() && recover(k)
		k.wantEnd(ceph)
		if !more {
			if write <= atLeast {
				s.t.Errorf("only %d writes were seen, want at least %d", write-1, atLeast)
			}
			return
		}
	}
}

// A controller that ends while it removes what an earlier one, which has ended, too, has
// left of an image.
func TestKilledTwice(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[1]
	kill := insideLibrbd(t)
	for missing, first := range map[string]int{"the ID": 2, "the header": 3} {
		t.Run(missing, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.nameProvisioners()
			class := s.rbdClass(ceph)
			const atLeast = 5 // what is left is found, and removed in two writes, and an image is begun anew
			for second, more := 1, true; more; second++ {
				k := s.killedAt(kill, first)
				k.claim = s.claim(class, "4Mi")
				k.live()
				s.killedAt(kill, second)
				k.live()
				more = !k.requested // nor Bound
				if s.controller.hasExited() {
					s.restart()
				}
				k.carryOn(ceph)
				k.wantEnd(ceph)
				if !more && second <= atLeast {
					t.Errorf("only %d writes were seen, want at least %d", second-1, atLeast)
				}
			}
		})
	}
}

// killedAt starts a controller that ends at a write, which may be before it is ready.
func (s *scene) killedAt(kill killer, write int) *killed {
	s.t.Helper()
	binary, environment := kill(write)
	if err := s.start(binary, environment); err != nil && (s.controller == nil || !s.controller.hasExited()) {
		s.t.Fatal(err)
	}
	s.controller.killed = true // by itself
	return &killed{scene: s}
}

// wantEnd waits until nothing is left.
func (k *killed) wantEnd(ceph *cephCluster) {
	k.t.Helper()
	k.eventually("claim and volume are gone", func(ctx context.Context) error { return claimAndVolumeAreGone(ctx, k.claim) })
	k.traceless(ceph, k.claim)
	if err := k.controller.stop(); err != nil {
		k.t.Error(err)
	}
	if left, err := hasNote(k.t.Context(), k.claim); left || err != nil {
		k.t.Errorf("the journal has a note on claim %s, %v", k.claim.Name, err)
	}
}

// live does what a user does, until the controller is killed.
func (k *killed) live() {
	k.t.Helper()
	k.untilKilled("is Bound", func(ctx context.Context) error { return isBound(ctx, k.claim) })
	if k.controller.hasExited() {
		return
	}
	k.request(k.claim, "8Mi")
	k.requested = true
	k.untilKilled("has grown", func(ctx context.Context) error { return hasGrown(ctx, k.claim, 8<<20) })
	if k.controller.hasExited() {
		return
	}
	k.deleteClaim(k.claim)
	k.deleted = true
	k.untilKilled("is gone", func(ctx context.Context) error { return claimAndVolumeAreGone(ctx, k.claim) })
}

// carryOn does the rest with the next controller.
func (k *killed) carryOn(ceph *cephCluster) {
	k.t.Helper()
	if k.deleted {
		return
	}
	k.bound(k.claim)
	if !k.requested {
		k.request(k.claim, "8Mi")
	}
	k.eventually("claim "+k.claim.Name+" has grown", func(ctx context.Context) error { return hasGrown(ctx, k.claim, 8<<20) })
	k.wantVolume(ceph, k.claim, 8<<20)
	k.deleteClaim(k.claim)
}

// untilKilled is eventually that ends as well when the controller has.
func (k *killed) untilKilled(what string, check func(context.Context) error) {
	k.t.Helper()
	k.eventually("claim "+k.claim.Name+" "+what+", or the controller has ended", func(ctx context.Context) error {
		if k.controller.hasExited() {
			return nil
		}
		return check(ctx)
	})
}

func (c *controller) hasExited() bool {
	select {
	case <-c.exited:
		return true
	default:
		return false
	}
}

func isBound(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	now, err := getClaim(ctx, claim)
	if err == nil && now.Status.Phase != corev1.ClaimBound {
		err = fmt.Errorf("it is %s", now.Status.Phase)
	}
	return err
}

// hasGrown holds what Kubernetes says: of an image, that the node has yet to do its part.
func hasGrown(ctx context.Context, claim *corev1.PersistentVolumeClaim, wantBytes int64) error {
	now, err := getClaim(ctx, claim)
	if err != nil {
		return err
	}
	pv, err := getVolume(ctx, now.Spec.VolumeName)
	if err != nil {
		return err
	}
	capacity := now.Status.Capacity.Storage().Value()
	if pv.Spec.RBD != nil && hasCondition(now, corev1.PersistentVolumeClaimFileSystemResizePending) {
		capacity = wantBytes
	}
	if got := pv.Spec.Capacity.Storage().Value(); got != wantBytes || capacity != wantBytes {
		return fmt.Errorf("the volume has %d bytes, the claim %d", got, capacity)
	}
	return nil
}

func claimAndVolumeAreGone(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	if err := claimIsGone(claim)(ctx); err != nil {
		return err
	}
	now, err := getVolume(ctx, "pvc-"+string(claim.UID))
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("its volume is %s", now.Status.Phase)
}

// noneBegun waits until nothing is being made for a claim.
func (s *scene) noneBegun(claim *corev1.PersistentVolumeClaim) {
	s.t.Helper()
	s.eventually("what was begun is finished", func(ctx context.Context) error {
		left, err := hasNote(ctx, claim)
		if err == nil && left {
			err = errors.New("the journal has a note on it")
		}
		return err
	})
}

// hasNote reports whether the journal says that a volume is being made for a claim.
func hasNote(ctx context.Context, claim *corev1.PersistentVolumeClaim) (bool, error) {
	journal, err := suite.client.CoreV1().ConfigMaps(systemNamespace).Get(ctx, "ceph-provisioner-journal", metav1.GetOptions{})
	if err != nil {
		return false, err
	}
	_, left := journal.Data["pvc-"+string(claim.UID)]
	return left, nil
}
