package e2e

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ownUser is how the cephx user of a claim's volume is called.
func ownUser(claim *corev1.PersistentVolumeClaim) string {
	return "kubernetes-dynamic-user-" + string(claim.UID)
}

func ownSecret(claim *corev1.PersistentVolumeClaim) string {
	return "ceph-" + ownUser(claim) + "-secret"
}

// users are the caps of every user, as `ceph auth ls` says.
func (c *cephCluster) users(ctx context.Context) (map[string]map[string]string, error) {
	var all struct {
		AuthDump []struct {
			Entity string
			Caps   map[string]string
		} `json:"auth_dump"`
	}
	if err := c.read(ctx, &all, "ceph", "auth", "ls"); err != nil {
		return nil, err
	}
	users := map[string]map[string]string{}
	for _, user := range all.AuthDump {
		if id, client := strings.CutPrefix(user.Entity, "client."); client {
			users[id] = user.Caps
		}
	}
	return users, nil
}

// caps is what a user may do; nil if there is no such user.
func (c *cephCluster) caps(ctx context.Context, id string) (map[string]string, error) {
	users, err := c.users(ctx)
	return users[id], err
}

// asTenant does what testdata/tenant.py can do, with what a volume names.
func (s *scene) asTenant(pv *corev1.PersistentVolume, action string, args ...string) (string, error) {
	s.t.Helper()
	source := pv.Spec.CephFS
	env := []string{
		"CEPH_CONF=", "MONITORS=v1:" + strings.Join(source.Monitors, ",v1:"),
		"USER=" + source.User, "KEY=" + s.keyIn(source.SecretRef),
	}
	return output(s.t.Context(), env, debianPython, append([]string{"testdata/tenant.py", action}, args...)...)
}

// A volume's user reaches the volume, and nothing else that is in Ceph.
func TestTenantsReachTheirOwnVolumesOnly(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	class := s.tenantClass(ceph, with("namespaceIsolated", "true"))
	claim, pv := s.made(class, "8Mi", modes(corev1.ReadWriteMany))
	other, neighbour := s.made(class, "8Mi")

	ref := pv.Spec.CephFS.SecretRef
	if pv.Spec.CephFS.User != ownUser(claim) || ref.Name != ownSecret(claim) || ref.Namespace != volumeSecrets {
		t.Errorf("the volume is mounted as %s, with secret %s/%s", pv.Spec.CephFS.User, ref.Namespace, ref.Name)
	}
	subvolume := ceph.subvolume(t, defaultGroup, volumeName(claim))
	wantCaps := map[string]string{
		"mon": "allow r",
		"mds": "allow rw path=" + subvolume.Path,
		"osd": "allow rw pool=" + subvolume.DataPool + " namespace=" + subvolume.Namespace,
	}
	if got, err := ceph.caps(t.Context(), ownUser(claim)); err != nil || fmt.Sprint(got) != fmt.Sprint(wantCaps) {
		t.Errorf("its user has caps %v (%v), want %v", got, err, wantCaps)
	}

	mounted := s.mount(pv)
	if err := writeMiB(mounted + "/own"); err != nil {
		t.Errorf("the user can't write to its volume: %v", err)
	}
	for _, allowed := range [][]string{
		{"list", pv.Spec.CephFS.Path}, {"write", pv.Spec.CephFS.Path, "mine", "x"}, {"object", subvolume.DataPool, subvolume.Namespace},
	} {
		if _, err := s.asTenant(pv, allowed[0], allowed[1:]...); err != nil {
			t.Errorf("the user may not even %v, so that this test shows nothing: %v", allowed, err)
		}
	}
	for what, attempt := range map[string][]string{
		"lists the neighbour's volume":      {"list", neighbour.Spec.CephFS.Path},
		"lists the group":                   {"list", "/volumes/" + defaultGroup},
		"lists the parent":                  {"list", "/volumes/" + defaultGroup + "/" + volumeName(claim)},
		"lists the root":                    {"list", "/"},
		"writes to the neighbour's volume":  {"write", neighbour.Spec.CephFS.Path, "theirs", "x"},
		"lifts its own quota":               {"quota", pv.Spec.CephFS.Path, "1099511627776"},
		"reaches the pool outside":          {"object", subvolume.DataPool},
		"reaches the neighbour's namespace": {"object", subvolume.DataPool, ceph.subvolume(t, defaultGroup, volumeName(other)).Namespace},
		"reaches the metadata pool":         {"object", "cephfs.cephfs.meta"},
		"reaches another pool":              {"object", ceph.RBDPool},
	} {
		if out, err := s.asTenant(pv, attempt[0], attempt[1:]...); err == nil {
			t.Errorf("the user %s: %q", what, out)
		}
	}
}

// Growth and deletion of a volume with a user of its own; nothing of it is left.
func TestTenantsVolumesGrowAndGo(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	claim, pv := s.made(s.tenantClass(ceph), "1Gi")
	s.request(claim, "2Gi")
	s.finished(claim, 2<<30)
	ceph.wantQuota(t, claim, 2<<30)

	s.deleteClaim(claim)
	s.gone(pv.Name)
	s.traceless(ceph, claim)
	if caps, err := ceph.caps(t.Context(), ownUser(claim)); err != nil || caps != nil {
		t.Errorf("its user is left, with %v (%v)", caps, err)
	}
	if _, err := s.ownSecret(claim); !apierrors.IsNotFound(err) {
		t.Errorf("its secret is left (%v)", err)
	}
}

func (s *scene) ownSecret(claim *corev1.PersistentVolumeClaim) (*corev1.Secret, error) {
	return suite.client.CoreV1().Secrets(volumeSecrets).Get(s.t.Context(), ownSecret(claim), metav1.GetOptions{})
}

// Whichever half was lost, one command makes it anew with the same rights. So it does
// with a fresh key.
func TestTenantsKeysAreRotatedAndMadeAnew(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := newScene(t)
	claim, pv := s.made(s.tenantClass(ceph), "8Mi")
	caps, err := ceph.caps(t.Context(), ownUser(claim))
	if err != nil || caps == nil {
		t.Fatalf("its user has %v (%v)", caps, err)
	}
	for _, lost := range []string{"nothing", "secret", "user", "both"} {
		before := s.keyIn(pv.Spec.CephFS.SecretRef)
		if lost == "secret" || lost == "both" {
			if err := suite.client.CoreV1().Secrets(volumeSecrets).Delete(t.Context(), ownSecret(claim), metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if lost == "user" || lost == "both" {
			ceph.run(t, "ceph", "auth", "rm", "client."+ownUser(claim))
		}
		rotate := child([]string{"CEPH_CONF=", "KUBECONFIG="}, suite.binary, "rotate-key", "--kubeconfig="+suite.kubeconfig, "--v=10", pv.Name)
		printed, err := rotate.CombinedOutput()
		if err != nil {
			t.Fatalf("%s lost: %v: %s", lost, err, printed)
		}
		after := s.keyIn(pv.Spec.CephFS.SecretRef)
		for _, key := range []string{before, after} {
			if bytes.Contains(withDumps(printed), []byte(key)) {
				t.Errorf("%s lost: a key is printed", lost)
			}
		}
		ceph.wantNoClientLeft(t, rotate.Process.Pid)
		if after == before {
			t.Errorf("%s lost: the key is the same", lost)
		}
		if now, err := ceph.caps(t.Context(), ownUser(claim)); err != nil || fmt.Sprint(now) != fmt.Sprint(caps) {
			t.Errorf("%s lost: the user has caps %v (%v), want %v", lost, now, err, caps)
		}
		if _, err := s.asTenant(pv, "write", pv.Spec.CephFS.Path, "after", lost); err != nil {
			t.Errorf("%s lost: the user can't write: %v", lost, err)
		}
	}
}

// wantNoClientLeft fails if a process has ended without ending its mounts: whoever needs
// what such a client has cached, the mgr first of all, waits for a minute.
func (c *cephCluster) wantNoClientLeft(t testing.TB, pid int) {
	t.Helper()
	var sessions []struct {
		Metadata map[string]any `json:"client_metadata"`
	}
	if err := c.read(t.Context(), &sessions, "ceph", "tell", "mds.*", "session", "ls"); err != nil {
		t.Fatal(err)
	}
	for _, session := range sessions {
		if fmt.Sprint(session.Metadata["pid"]) == fmt.Sprint(pid) {
			t.Errorf("process %d has left its mount behind", pid)
		}
	}
}

// What has the name of a volume's user or secret, and was made by somebody else, is
// neither used nor removed: the claim waits, and says for what.
func TestTenantsUserOrSecretIsTaken(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	waiting := func(t *testing.T) (*scene, *corev1.PersistentVolumeClaim) {
		s := newScene(t)
		claim := s.claim(s.tenantClass(ceph, with("adminSecretNamespace", s.namespace)), "1Gi")
		s.event(claim, "ProvisioningFailed", "does not exist")
		return s, claim
	}

	t.Run("secret", func(t *testing.T) {
		t.Parallel()
		s, claim := waiting(t)
		if err := suite.putSecret(t.Context(), volumeSecrets, ownSecret(claim), map[string]string{"key": "theirs"}); err != nil {
			t.Fatal(err)
		}
		s.adminSecret(ceph, tenantAdminID)
		s.event(claim, "ProvisioningFailed", ownSecret(claim), "does not belong to this volume")
		ceph.wantNoTrace(t, claim)
		secret, err := s.ownSecret(claim)
		if err != nil || string(secret.Data["key"]) != "theirs" {
			t.Errorf("the secret was changed: %v", err)
		}
		if err := suite.client.CoreV1().Secrets(volumeSecrets).Delete(t.Context(), ownSecret(claim), metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		s.bound(claim)
	})

	t.Run("user", func(t *testing.T) {
		t.Parallel()
		s, claim := waiting(t)
		ceph.run(t, "ceph", "auth", "get-or-create", "client."+ownUser(claim), "mon", "allow r")
		s.adminSecret(ceph, tenantAdminID)
		s.event(claim, "ProvisioningFailed", ownUser(claim), "ceph auth rm")
		ceph.run(t, "ceph", "auth", "rm", "client."+ownUser(claim))
		s.bound(claim)
	})
}

// volumeUsers lists the users that volumes have for themselves.
func (c *cephCluster) volumeUsers(ctx context.Context) ([]string, error) {
	users, err := c.users(ctx)
	var found []string
	for id := range users {
		if strings.HasPrefix(id, "kubernetes-dynamic-user-") || strings.HasPrefix(id, "k8s.") {
			found = append(found, "client."+id)
		}
	}
	return found, err
}
