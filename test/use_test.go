package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// debianPython is the one that python3-rbd belongs to, whatever else PATH has.
const debianPython = "/usr/bin/python3"

// A mounted CephFS volume takes data up to its quota, and the same mount takes
// more when the claim has grown.
func TestCephFSQuotaHoldsAndGrowsUnderAMount(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	claim, pv := s.made(s.cephfsClass(suite.ceph[0]), "8Mi", modes(corev1.ReadWriteMany))
	mounted := s.mount(pv)

	written, err := fill(mounted, 64)
	if !errors.Is(err, syscall.EDQUOT) {
		t.Fatalf("after %d MiB in a volume of 8 MiB: %v, want %v", written, err, syscall.EDQUOT)
	}
	mustKubectl(t, "patch", "pvc", claim.Name, "-n", claim.Namespace, "-p", `{"spec":{"resources":{"requests":{"storage":"128Mi"}}}}`)
	s.eventually("the mount takes more data", func(context.Context) error {
		return writeMiB(filepath.Join(mounted, "after"))
	})
	if total, err := fill(mounted, 64); err != nil {
		t.Errorf("after %d MiB in a volume of 128 MiB: %v", total, err)
	}
}

// fill writes files of 1 MiB until an error, or until there are count of them.
func fill(dir string, count int) (written int, err error) {
	for written < count && err == nil {
		if err = writeMiB(filepath.Join(dir, fmt.Sprint("file-", written))); err == nil {
			written++
		}
	}
	return written, err
}

func writeMiB(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = file.Write(make([]byte, 1<<20))
	return errors.Join(err, file.Sync(), file.Close())
}

// mount mounts a CephFS volume as the kubelet does, with what the volume names,
// until the end of the test.
func (s *scene) mount(pv *corev1.PersistentVolume) (dir string) {
	s.t.Helper()
	source := pv.Spec.CephFS
	keyring := filepath.Join(s.t.TempDir(), "keyring")
	content := fmt.Sprintf("[client.%s]\n\tkey = %s\n", source.User, s.keyIn(source.SecretRef))
	if err := os.WriteFile(keyring, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
	mounted, err := mountCephFS(s.t.Context(), filepath.Join(suite.dir, s.namespace), []string{"CEPH_CONF="},
		append(fileSystemOption(pv), "-c", "/dev/null", "-k", keyring, "-m", strings.Join(source.Monitors, ","), "--id", source.User, "-r", source.Path)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := mounted.unmount(); err != nil {
			s.t.Error(err)
		}
	})
	return mounted.dir
}

// fileSystemOption says to ceph-fuse what the mount option says to kernels.
func fileSystemOption(pv *corev1.PersistentVolume) (args []string) {
	for _, option := range pv.Spec.MountOptions {
		if name, ok := strings.CutPrefix(option, "mds_namespace="); ok {
			args = append(args, "--client_fs="+name)
		}
	}
	return args
}

// keyIn is what the kubelet takes out of a volume's secret.
func (s *scene) keyIn(ref *corev1.SecretReference) string {
	s.t.Helper()
	secret, err := suite.client.CoreV1().Secrets(ref.Namespace).Get(s.t.Context(), ref.Name, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	if len(secret.Data) != 1 {
		s.t.Fatalf("secret %s has %d entries, want 1", ref.Name, len(secret.Data))
	}
	for _, key := range secret.Data {
		return string(key)
	}
	return ""
}

// An RBD image takes data beyond its old size when the claim has grown, and keeps
// what was written before, wherever its data is.
func TestRBDImageTakesDataBeyondItsOldSize(t *testing.T) {
	t.Parallel()
	for place, changes := range map[string][]classChange{
		"in its pool": nil, "in a pool of their own": {with("dataPool", suite.ceph[0].RBDDataPool)},
	} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.takesDataBeyondItsOldSize(s.rbdClass(suite.ceph[0], changes...))
		})
	}
}

func (s *scene) takesDataBeyondItsOldSize(class string) {
	s.t.Helper()
	claim, pv := s.made(class, "8Mi")
	const early, late = 1 << 20, 12 << 20

	if _, err := s.onImage(pv, "write", strconv.Itoa(early), "before"); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.onImage(pv, "write", strconv.Itoa(late), "too far"); err == nil {
		s.t.Fatalf("an image of 8 MiB takes data at %d", late)
	}
	s.request(claim, "16Mi")
	s.grown(claim, pv.Name, 16<<20)
	if _, err := s.onImage(pv, "write", strconv.Itoa(late), "after"); err != nil {
		s.t.Error(err)
	}
	for offset, want := range map[int]string{early: "before", late: "after"} {
		got, err := s.onImage(pv, "read", strconv.Itoa(offset), strconv.Itoa(len(want)))
		if err != nil || got != want {
			s.t.Errorf("at %d stands %q (%v), want %q", offset, got, err, want)
		}
	}
}

// nodeEnv is what a node gets to know of an RBD volume.
func (s *scene) nodeEnv(pv *corev1.PersistentVolume) []string {
	s.t.Helper()
	source := pv.Spec.RBD
	return []string{
		"CEPH_CONF=", "MONITORS=v1:" + strings.Join(source.CephMonitors, ",v1:"),
		"POOL=" + source.RBDPool, "USER=" + source.RadosUser, "KEY=" + s.keyIn(source.SecretRef),
	}
}

func (s *scene) onImage(pv *corev1.PersistentVolume, action string, args ...string) (string, error) {
	s.t.Helper()
	args = append([]string{"testdata/image.py", action, pv.Spec.RBD.RBDImage}, args...)
	return output(s.t.Context(), s.nodeEnv(pv), debianPython, args...)
}

// holdImage opens an image as a node, until the returned function or the end of
// the test.
func (s *scene) holdImage(pv *corev1.PersistentVolume) (release func()) {
	s.t.Helper()
	release, _ = s.heldImage(pv)
	return release
}

// heldImage also returns what makes the node crash.
func (s *scene) heldImage(pv *corev1.PersistentVolume) (release, crash func()) {
	s.t.Helper()
	holder := child(s.nodeEnv(pv), debianPython, "testdata/image.py", "hold", pv.Spec.RBD.RBDImage)
	stdin, err := holder.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	stdout, err := holder.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		s.t.Fatal(err)
	}
	release = func() {
		_ = stdin.Close()
		_ = holder.Wait()
	}
	s.t.Cleanup(release)
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "held\n" {
		s.t.Fatalf("the image was not opened: %q", line)
	}
	crash = func() {
		if err := holder.Process.Kill(); err != nil {
			s.t.Error(err)
		}
		release()
	}
	return release, crash
}
