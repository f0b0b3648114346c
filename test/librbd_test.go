package e2e

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// insideLibrbd ends within a step of ours, before one of the writes that librbd makes of it.
func insideLibrbd(t testing.TB) killer {
	library := filepath.Join(t.TempDir(), "killrados.so")
	if out, err := exec.CommandContext(t.Context(), "cc", "-shared", "-fPIC", "-o", library, "testdata/killrados.c", "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return func(point string) (string, []string) {
		return suite.binary, []string{"LD_PRELOAD=" + library, "KILL_BEFORE_RADOS_WRITE=" + point}
	}
}

// As TestKilledAtEachWrite, but the controller ends before each of the writes to RADOS that
// librbd makes of our steps.
func TestKilledInsideLibrbd(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[1]
	for state, c := range map[string]struct {
		atLeast int // writes, or the test would have missed some
		goOn    func(*killed)
		end     func(*killed) bool
	}{
		"claim stays":   {15, func(k *killed) { k.restart(); k.carryOn(ceph) }, func(*killed) bool { return false }},
		"claim deleted": {4, (*killed).finish, func(k *killed) bool { return isBound(t.Context(), k.claim) == nil }},
	} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.nameProvisioners()
			s.killedAtEachRADOSWrite(ceph, c.atLeast, c.goOn, c.end)
		})
	}
}

// killedAtEachRADOSWrite leads one claim after the other from its creation to its deletion,
// until a controller has come to the end, or there is no more to see. After each, nothing may
// be left. Volumes are small because each object of an image is a write more when it is
// removed.
func (s *scene) killedAtEachRADOSWrite(ceph *cephCluster, atLeast int, goOn func(*killed), isEnd func(*killed) bool) {
	s.t.Helper()
	kill, class := insideLibrbd(s.t), s.rbdClass(ceph)
	for write, more := 1, true; more; write++ {
		k := s.killedAt(kill, strconv.Itoa(write))
		k.claim = s.claim(class, "4Mi")
		k.live()
		if more = s.controller.hasExited(); more {
			more = !isEnd(k)
			goOn(k)
		}
		k.wantEnd(ceph)
		if !more && write <= atLeast {
			s.t.Errorf("only %d writes were seen, want at least %d", write-1, atLeast)
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
				k := s.killedAt(kill, strconv.Itoa(first))
				k.claim = s.claim(class, "4Mi")
				k.live()
				s.killedAt(kill, strconv.Itoa(second))
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
