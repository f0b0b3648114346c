package e2e

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// fault is something that keeps volumes from growing, and what users are told.
type fault struct {
	happen func(*failing)
	mend   func(*failing)
	want   []string

	indirect bool // it is one for subvolumes that are reached through the mgr alone
}

// failing is a volume of a test's own, with an admin identity of its own.
type failing struct {
	*scene
	ceph  *cephCluster
	claim *corev1.PersistentVolumeClaim
	id    string // also the secret's name
	pool  string // empty for CephFS

	indirect bool // it reaches subvolumes through the mgr alone
}

func (f *failing) image() string { return f.pool + "/" + volumeName(f.claim) }

// rekey gives the identity another key and caps, which its connections do not have, and
// takes away the secret with the old key.
func (f *failing) rekey(caps ...string) {
	f.t.Helper()
	f.deleteSecret(f.id)
	f.ceph.run(f.t, "ceph", "auth", "rm", "client."+f.id)
	f.ceph.run(f.t, "ceph", append([]string{"auth", "get-or-create", "client." + f.id}, caps...)...)
}

// publish puts the identity's present key into its secret.
func (f *failing) publish() {
	f.t.Helper()
	f.publishKey(f.ceph, f.id, f.id)
}

// caps are those that the documentation lists for the identity's work.
func (f *failing) caps() []string {
	f.t.Helper()
	if f.pool != "" {
		return rbdAdminCaps(f.pool)
	}
	caps, err := f.ceph.caps(f.t.Context(), cephfsAdminID)
	if err != nil {
		f.t.Fatal(err)
	}
	if f.indirect {
		delete(caps, "mds")
	}
	return capArguments(caps)
}

// faultsOfBoth happen to images and subvolumes alike.
func faultsOfBoth() map[string]fault {
	return map[string]fault{
		"secret missing": {
			happen: func(f *failing) { f.deleteSecret(f.id) },
			mend:   func(f *failing) { f.publish() },
			want:   []string{"does not exist", "create it"},
		},
		"secret outdated": {
			happen: func(f *failing) { f.rekey(f.caps()...); f.secret(f.id, map[string]string{"key": wrongKey}) },
			mend:   func(f *failing) { f.publish() },
			want:   []string{"refuses this identity or key", "ceph auth"},
		},
		"caps too small": {
			happen: func(f *failing) { f.rekey("mon", "allow r"); f.publish() },
			mend:   func(f *failing) { f.rekey(f.caps()...); f.publish() },
			want:   []string{"permission denied", "docs/ceph-identities.md"},
		},
	}
}

func TestExpandRBDFails(t *testing.T) {
	t.Parallel()
	faults := faultsOfBoth()
	faults["image missing"] = fault{
		happen: func(f *failing) { f.ceph.run(f.t, "rbd", "rename", f.image(), f.pool+"/away") },
		mend:   func(f *failing) { f.ceph.run(f.t, "rbd", "rename", f.pool+"/away", f.image()) },
		want:   []string{"not found", "restore it, or delete the claim"},
	}
	for state, fault := range faults {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			s, ceph := newScene(t), suite.ceph[0]
			pool := s.ownPool(ceph)
			pool.create()
			f := &failing{scene: s, ceph: ceph, pool: pool.name, id: pool.id}
			var pv *corev1.PersistentVolume
			f.claim, pv = s.made(pool.class, "1Gi")

			asked := f.suffer(fault)
			s.grown(f.claim, pv.Name, asked)
			s.nodePending(f.claim, 1<<30)
			if got := ceph.image(t, f.image()).SizeBytes; got != asked {
				t.Errorf("the image has %d bytes, want %d", got, asked)
			}
			s.deleteClaim(f.claim)
			s.gone(pv.Name)
			pool.remove()
		})
	}
}

func TestExpandCephFSFails(t *testing.T) {
	t.Parallel()
	faults := faultsOfBoth()
	subvolume := func(f *failing, verb string, size ...string) {
		f.ceph.run(f.t, "ceph", append(append([]string{"fs", "subvolume", verb, f.ceph.FileSystem, volumeName(f.claim)}, size...), "--group_name="+defaultGroup)...)
	}
	faults["subvolume missing, and made anew"] = fault{
		happen:   func(f *failing) { subvolume(f, "rm") },
		mend:     func(f *failing) { subvolume(f, "create", strconv.Itoa(1<<30)) },
		want:     []string{"not found", "restore it, or delete the claim"},
		indirect: true,
	}
	move := func(f *failing, from, to string) {
		if err := os.Rename(f.ceph.path("volumes", defaultGroup, from), f.ceph.path("volumes", defaultGroup, to)); err != nil {
			f.t.Fatal(err)
		}
	}
	faults["subvolume missing"] = fault{
		happen: func(f *failing) { move(f, volumeName(f.claim), "away-"+f.namespace) },
		mend:   func(f *failing) { move(f, "away-"+f.namespace, volumeName(f.claim)) },
		want:   []string{"not found", "restore it, or delete the claim"},
	}
	for state, fault := range faults {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			s, ceph := newScene(t), suite.ceph[0]
			f := &failing{scene: s, ceph: ceph, id: "admin-of-" + s.namespace, indirect: fault.indirect}
			ceph.run(t, "ceph", append([]string{"auth", "get-or-create", "client." + f.id}, f.caps()...)...)
			f.publish()
			var pv *corev1.PersistentVolume
			f.claim, pv = s.made(s.cephfsClass(ceph, with("adminId", f.id),
				with("adminSecretNamespace", s.namespace), with("adminSecretName", f.id)), "1Gi")

			asked := f.suffer(fault)
			s.finished(f.claim, asked)
			s.settled(pv.Name, asked)
			ceph.wantQuota(t, f.claim, asked)
			s.deleteClaim(f.claim)
			s.gone(pv.Name)
			ceph.run(t, "ceph", "auth", "rm", "client."+f.id)
		})
	}
}

// suffer asks for 2 GiB while something is wrong, gives that up for less where
// the API server allows it, and mends it. It returns what is asked for then.
func (f *failing) suffer(fault fault) (asked int64) {
	f.t.Helper()
	fault.happen(f)
	f.request(f.claim, "2Gi")
	message := f.event(f.claim, "VolumeResizeFailed", fault.want...)
	f.eventually("the claim says why it does not grow", func(ctx context.Context) error {
		now, err := getClaim(ctx, f.claim)
		if err != nil {
			return err
		}
		for _, condition := range now.Status.Conditions {
			if condition.Type == corev1.PersistentVolumeClaimResizing && condition.Message == message {
				return nil
			}
		}
		return fmt.Errorf("its conditions are %v", now.Status.Conditions)
	})
	asked = 2 << 30
	if suite.recovers {
		asked = 1536 << 20
		f.request(f.claim, strconv.FormatInt(asked, 10))
	}
	if strings.Contains(message, "\n") {
		f.t.Errorf("more than a sentence: %q", message)
	}
	fault.mend(f)
	return asked
}
