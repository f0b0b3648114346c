package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// killpointsVariable names the build that ends after the write that its environment names.
const killpointsVariable = "KILLPOINTS_BIN"

// killer is a controller that ends at a point of its work.
type killer func(point string) (binary string, environment []string)

// afterWrite ends after a step of ours, a call to Ceph or to the API server: "2 PATCH
// configmaps" is the second of that name.
func afterWrite(t *testing.T) killer {
	binary := os.Getenv(killpointsVariable)
	if binary == "" {
		t.Fatalf("%s must name a build with the tag killpoints: run `make e2e`", killpointsVariable)
	}
	return func(point string) (string, []string) {
		return binary, []string{"KILL_AFTER_WRITE=" + point}
	}
}

// Writes that the lives of volumes consist of: none may be missed.
const (
	written   = "POST persistentvolumes"
	everyLife = "PATCH configmaps, create, " + written + ", PATCH persistentvolumeclaims/status, PATCH persistentvolumes, delete, DELETE persistentvolumes"
	userLife  = everyLife + ", make, POST secrets, set the quota of, remove, DELETE secrets"
)

// A volume of each kind is made, grown and deleted; then by a controller that ends at its
// first write to Ceph or Kubernetes, then by one that ends at its second, and so on. Each time
// the next controller carries on, or, as long as the PersistentVolume is not stored, finds the
// claim deleted. Nothing may be left, whatever it is called: that is checked after all tests,
// too.
func TestKilledAtEachWrite(t *testing.T) {
	t.Parallel()
	// Whoever comes upon what a killed client of CephFS has in its cache has to wait, so
	// most other tests use the other cluster.
	ceph := suite.ceph[1]
	for kind, c := range map[string]struct {
		class func(s *scene, root string) string
		life  string
	}{
		"RBD":           {func(s *scene, _ string) string { return s.rbdClass(ceph) }, everyLife + ", mark, grow, remove from the trash"},
		"CephFS":        {func(s *scene, _ string) string { return s.cephfsClass(ceph) }, everyLife + ", mark, set the quota of"},
		"CephFS, users": {func(s *scene, _ string) string { return s.tenantClass(ceph) }, userLife + ", mark"},
		"CephFS, directories": {func(s *scene, root string) string {
			return s.directoryClass(ceph, with("claimRoot", root))
		}, userLife},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			root := ownRoot(t, ceph)
			s := newScene(t)
			s.nameProvisioners()
			kill, class := afterWrite(t), c.class(s, root)
			for _, write := range s.writes(ceph, kill, class, strings.Split(c.life, ", ")) {
				s.killedAfter(ceph, kill, class, write, func(k *killed) { s.restart(); k.carryOn(ceph) })
			}
		})
		t.Run(kind+", claim deleted", func(t *testing.T) {
			t.Parallel()
			root := ownRoot(t, ceph)
			s := newScene(t)
			s.nameProvisioners()
			kill, class := afterWrite(t), c.class(s, root)
			all := s.writes(ceph, kill, class, strings.Split(c.life, ", "))
			for _, write := range all[:slices.Index(all, "1 "+written)+1] {
				s.killedAfter(ceph, kill, class, write, (*killed).finish)
			}
		})
	}
}

// writes leads a claim from its creation to its deletion, and returns what is written
// meanwhile, as killers name it, in its order.
func (s *scene) writes(ceph *cephCluster, kill killer, class string, want []string) (all []string) {
	s.t.Helper()
	k := s.killedAt(kill, "0")
	k.claim = s.claim(class, "4Mi")
	k.live()
	k.wantEnd(ceph)
	log, err := os.ReadFile(k.controller.log)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, passed := range killpoint.FindAllSubmatch(log, -1) {
		all = append(all, string(passed[1]))
	}
	for _, name := range want {
		if !slices.Contains(all, "1 "+name) {
			s.t.Fatalf("%q is not written; all writes: %q", name, all)
		}
	}
	return all
}

// killpoint is a line of the log.
var killpoint = regexp.MustCompile(`(?m)^killpoint (\d+ .*)$`)

// groupMade is written once for all volumes of a group.
const groupMade = "1 create the group of"

// isCertain is not so for writes that depend on who else writes when.
func isCertain(write string) bool {
	return strings.HasPrefix(write, "1 ") && write != "1 PATCH persistentvolumes/status" && write != groupMade
}

// The same for what only the first volume of a subvolume group needs.
func TestKilledWhenAGroupIsMade(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[1]
	s := newScene(t)
	s.nameProvisioners()
	for _, goOn := range []func(*killed){func(k *killed) { s.restart(); k.carryOn(ceph) }, (*killed).finish} {
		class := s.cephfsClass(ceph, func(class *storagev1.StorageClass) { class.Parameters["subvolumeGroup"] = "of-" + class.Name })
		hit := false
		s.killedAfter(ceph, afterWrite(t), class, groupMade, func(k *killed) { hit = true; goOn(k) })
		if !hit {
			t.Error("the controller has not ended when it had made the group")
		}
	}
}

// killedAfter leads a claim from its creation to its deletion. When the controller has ended,
// goOn is to start the next one.
func (s *scene) killedAfter(ceph *cephCluster, kill killer, class, write string, goOn func(*killed)) {
	s.t.Helper()
	k := s.killedAt(kill, write)
	k.claim = s.claim(class, "4Mi")
	k.live()
	if isCertain(write) { // what it has written may be seen before it ends
		s.eventually(fmt.Sprintf("the controller ends after %q", write), func(context.Context) error {
			if !s.controller.hasExited() {
				return errors.New("it has not")
			}
			return nil
		})
	}
	if s.controller.hasExited() {
		goOn(k)
	}
	k.wantEnd(ceph)
}

// finish deletes the claim before the next controller comes, and waits until nothing is being
// made for it.
func (k *killed) finish() {
	k.t.Helper()
	if !k.deleted {
		k.deleteClaim(k.claim)
	}
	k.restart()
	k.noneBegun(k.claim)
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

// killedAt starts a controller that ends at a point, which may be before it is ready.
func (s *scene) killedAt(kill killer, point string) *killed {
	s.t.Helper()
	binary, environment := kill(point)
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
