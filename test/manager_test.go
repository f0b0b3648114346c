package e2e

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// A mgr that hangs for longer than calls wait delays new subvolumes. Images,
// directories, users and the growth of subvolumes do not need it;
// and its answers that come when their callers have left do no harm. Not parallel,
// like all tests that stop daemons.
func TestHungManagerDelaysOnlySubvolumes(t *testing.T) {
	ceph := suite.ceph[1]
	s := newScene(t)
	rbd, cephfs := s.rbdClass(ceph), s.cephfsClass(ceph)
	grows, _ := s.made(cephfs, "1Gi") // connected when it stops answering
	growsToo, _ := s.made(s.tenantClass(ceph), "1Gi")
	goes, going := s.made(rbd, "1Gi")
	withData, goingToo := s.made(s.rbdClass(ceph, with("dataPool", ceph.RBDDataPool)), "1Gi")
	resume := ceph.hang(t, "mgr")

	var waiting []*corev1.PersistentVolumeClaim
	claims := func(number int) {
		for range number {
			waiting = append(waiting, s.claim(cephfs, "1Gi"))
		}
	}
	const asked = 2 // what the mgr is asked at once
	claims(3 * asked)
	s.event(waiting[0], "ProvisioningFailed", "no answer from the mgr", "ceph mgr fail")
	for _, claim := range waiting { // later ones may hear that it "has not answered lately"
		s.event(claim, "ProvisioningFailed", "answer", "mgr", "`ceph mgr fail` has a standby take over")
	}
	s.wantNotes(asked) // of those that are asked for
	claims(3 * asked)  // while the calls of the first are still under way
	s.made(rbd, "1Gi")
	s.deleteClaim(goes)
	s.deleteClaim(withData) // which the identity has a cap for
	s.gone(going.Name)
	s.gone(goingToo.Name)
	s.traceless(ceph, goes)
	s.traceless(ceph, withData)
	s.made(s.directoryClass(ceph), "1Gi") // and its user
	for _, claim := range []*corev1.PersistentVolumeClaim{grows, growsToo} {
		s.request(claim, "2Gi")
		s.finished(claim, 2<<30)
	}
	s.wantPending(waiting[0])
	resume()
	ceph.wantQuota(t, grows, 2<<30)
	ceph.wantQuota(t, growsToo, 2<<30)
	for _, claim := range waiting {
		s.bound(claim)
	}
}

// A mgr from before 16.2.8 knows no metadata of subvolumes: the mark is then an
// attribute of the directory, if the identity may write there, and a claim is told if
// it may not. Not parallel, like all tests that stop daemons.
func TestManagerWithoutSubvolumeMetadata(t *testing.T) {
	ceph := suite.ceph[1]
	s := sceneThroughTheManager(t, ceph)
	withManager := func(modules string) {
		ceph.runAtEnd(t, "ceph", "config", "set", "mgr", "mgr_module_path", modules)
		if err := suite.cluster.Restart(context.Background(), ceph.Name+"/mgr"); err != nil {
			t.Error(err)
		}
	}
	withManager(olderModules(t))
	t.Cleanup(func() { withManager(modulesOfMgr) })

	refused := s.claim(s.cephfsClass(ceph, s.asAdmin()...), "1Gi")
	s.event(refused, "ProvisioningFailed", "knows no `fs subvolume metadata set`", "mds 'allow rwp path=/volumes/kubernetes'", "16.2.8")
	s.deleteClaim(refused)
	claim, pv := s.made(s.tenantClass(ceph), "1Gi")
	wantOwner(t, ceph.attribute(pv.Spec.CephFS.Path, "user."+ownerKey), claim)
}

const modulesOfMgr = "/usr/share/ceph/mgr"

// olderModules are those of the mgr, with the command under another name.
func olderModules(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(modulesOfMgr)); err != nil {
		t.Fatal(err)
	}
	module := filepath.Join(dir, "volumes", "module.py")
	code, err := os.ReadFile(module)
	if err != nil {
		t.Fatal(err)
	}
	older := bytes.Replace(code, []byte("fs subvolume metadata set"), []byte("fs subvolume later set"), 1)
	if bytes.Equal(code, older) {
		t.Fatalf("%s does not have the command", module)
	}
	if err := os.WriteFile(module, older, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
