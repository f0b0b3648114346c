package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// auditReport is what `ceph-provisioner audit -o json` prints. Other tests have findings
// in it, too.
type auditReport struct {
	Installation string           `json:"installation"`
	Findings     []map[string]any `json:"findings"`
	Summary      struct {
		Problems int
		Complete bool
	} `json:"summary"`
}

// runAudit runs the command as the controller's service account.
func runAudit(ctx context.Context, args ...string) (stdout string, code int, err error) {
	stdout, err = output(ctx, []string{"CEPH_CONF=", "KUBECONFIG="}, suite.binary, auditArgs(args...)...)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 1 {
		return stdout, exit.ExitCode(), nil
	}
	return stdout, 0, err
}

func auditArgs(args ...string) []string {
	return append([]string{
		"audit", "--kubeconfig=" + suite.kubeconfig, "--secret-namespace=" + volumeSecrets, "--timeout=20s",
		"--cephfs-provisioner-name=" + cephfsProvisioner + "," + legacyProvisioner,
	}, args...)
}

// audited returns the findings about these names, and all of the report.
func audited(ctx context.Context, names []string) (kinds map[string]string, report auditReport, err error) {
	stdout, code, err := runAudit(ctx, "-o", "json")
	if err != nil {
		return nil, report, err
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		return nil, report, err
	}
	want := 0
	switch {
	case !report.Summary.Complete:
		want = 3
	case report.Summary.Problems > 0:
		want = 2
	}
	if code != want {
		return nil, report, fmt.Errorf("the exit code is %d, want %d for %+v", code, want, report.Summary)
	}
	kinds = map[string]string{}
	report.Findings = slices.DeleteFunc(report.Findings, func(f map[string]any) bool {
		name := f["name"].(string)
		mine := slices.ContainsFunc(names, func(part string) bool { return strings.Contains(name, part) })
		if mine {
			kinds[name] = f["kind"].(string)
		}
		return !mine
	})
	return kinds, report, nil
}

// abandon deletes a PersistentVolume before its claim, which leaves all there is in Ceph.
func (s *scene) abandon(class string, changes ...claimChange) *corev1.PersistentVolumeClaim {
	s.t.Helper()
	claim, pv := s.made(class, "8Mi", changes...)
	if err := suite.client.CoreV1().PersistentVolumes().Delete(s.t.Context(), pv.Name, metav1.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.deleteClaim(claim)
	s.gone(pv.Name)
	return claim
}

// foreignImage makes an image with the name of a volume, and with an owner if it has one.
func (c *cephCluster) foreignImage(t testing.TB, installation string) (name string) {
	t.Helper()
	claimUID := string(uuid.NewUUID())
	name = "kubernetes-dynamic-pvc-" + claimUID
	spec := defaultPool + "/" + name
	c.run(t, "rbd", "create", "--size=8M", spec)
	t.Cleanup(func() { c.runAtEnd(t, "rbd", "rm", "--no-progress", spec) })
	if installation != "" {
		c.run(t, "rbd", "image-meta", "set", spec, ownerKey,
			fmt.Sprintf(`{"installation":%q,"namespace":"a","claim":"b","claimUID":%q,"persistentVolume":"pvc-%s"}`, installation, claimUID, claimUID))
	}
	return name
}

// What Kubernetes and Ceph do not agree on is told, by its kind; what is left over, and
// no more, is deleted by the list of it. Not parallel: it looks at the classes of all tests,
// some of which lead to clusters that do not answer.
func TestAudit(t *testing.T) {
	ceph := suite.ceph[0]
	s := newScene(t)
	images, tenants := s.rbdClass(ceph), s.tenantClass(ceph)
	directories := s.directoryClass(ceph, with("deterministicNames", "true"))

	image, snapped, subvolume := s.abandon(images), s.abandon(images), s.abandon(tenants)
	directory := s.abandon(directories, named("left"))
	ceph.run(t, "rbd", "snap", "create", "--no-progress", imageSpec(snapped)+"@kept")
	missing, _ := s.made(images, "8Mi")
	ceph.run(t, "rbd", "rm", "--no-progress", imageSpec(missing))
	resized, pv := s.made(tenants, "8Mi")
	if err := syscall.Setxattr(ceph.path(pv.Spec.CephFS.Path), "ceph.quota.max_bytes", []byte("4194304"), 0); err != nil {
		t.Fatal(err)
	}
	locked, lockedPV := s.made(tenants, "8Mi")
	s.printsNoKey(s.keyIn(lockedPV.Spec.CephFS.SecretRef))
	ceph.run(t, "ceph", "auth", "rm", "client."+ownUser(locked))
	if err := suite.client.CoreV1().Secrets(volumeSecrets).Delete(t.Context(), ownSecret(locked), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	sound, soundPV := s.made(images, "1500001")
	theirs, unmarked := ceph.foreignImage(t, "another"), ceph.foreignImage(t, "")
	copied := "copy-of-" + s.namespace
	ceph.run(t, "rbd", "cp", "--no-progress", imageSpec(sound), defaultPool+"/"+copied)
	t.Cleanup(func() { ceph.runAtEnd(t, "rbd", "rm", "--no-progress", defaultPool+"/"+copied) })

	named := "k8s." + s.namespace + ".left"
	orphans := map[string]string{
		volumeName(image):           "orphan-image",
		volumeName(snapped):         "orphan-image",
		volumeName(subvolume):       "orphan-subvolume",
		ownUser(subvolume):          "orphan-user",
		ownSecret(subvolume):        "orphan-secret",
		s.namespace + "/left":       "orphan-directory",
		named:                       "orphan-user",
		"ceph-" + named + "-secret": "orphan-secret",
	}
	others := map[string]string{
		volumeName(missing): "missing-volume",
		volumeName(resized): "size-differs",
		ownUser(locked):     "missing-user",
		ownSecret(locked):   "missing-secret",
		theirs:              "another-installation",
		unmarked:            "unmarked",
		copied:              "marked-copy",
	}
	names := []string{s.namespace, theirs, unmarked}
	for _, claim := range []*corev1.PersistentVolumeClaim{image, snapped, subvolume, directory, missing, resized, locked, sound} {
		names = append(names, string(claim.UID))
	}
	var report auditReport
	s.findings(names, union(orphans, others), &report)

	s.isInTable(union(orphans, others))

	kept := map[string]string{volumeName(image): "orphan-image", volumeName(snapped): "orphan-image"}
	list := s.list(report, func(map[string]any) {})
	s.becomes(list, "1h", "kept", orphans, "grace period")

	// A list that says more than the audit does is not believed.
	claimed := map[string]string{theirs: "orphan-image", unmarked: "orphan-image", copied: "orphan-image"}
	s.becomes(s.list(report, func(finding map[string]any) {
		finding["kind"] = "size-differs"
		if claimed[finding["name"].(string)] != "" {
			finding["kind"] = "orphan-image"
		}
	}), "0s", "kept", claimed, "no orphan")

	anew := s.list(report, func(finding map[string]any) {
		if finding["name"] == volumeName(image) {
			finding["id"] = "another"
		}
	})
	gone := maps.Clone(orphans)
	maps.DeleteFunc(gone, func(name, _ string) bool { return kept[name] != "" })
	s.becomes(anew, "0s", "deleted", gone, "")
	s.findings(names, union(kept, others), &report)

	inUse := soundPV.DeepCopy()
	inUse.Spec.RBD.RBDImage = volumeName(image)
	release := s.holdImage(inUse)
	s.becomes(list, "0s", "kept", map[string]string{volumeName(image): "orphan-image"}, "open or mapped")
	release()

	unsnapped := map[string]string{volumeName(snapped): "orphan-image"}
	s.becomes(list, "0s", "kept", unsnapped, "snapshots")
	ceph.run(t, "rbd", "snap", "purge", "--no-progress", imageSpec(snapped))
	s.becomes(list, "0s", "deleted", unsnapped, "")
	s.findings(names, others, &report)
	for _, claim := range []*corev1.PersistentVolumeClaim{image, snapped, subvolume} {
		s.traceless(ceph, claim)
	}
}

// isInTable looks for each finding in what administrators read.
func (s *scene) isInTable(want map[string]string) {
	s.t.Helper()
	s.eventually("all is in the table", func(ctx context.Context) error {
		text, _, err := runAudit(ctx)
		for name, kind := range want {
			if shown := slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool {
				return strings.HasPrefix(line, kind) && strings.Contains(line, name)
			}); !shown && kind != "another-installation" { // which is only counted
				err = errors.Join(err, fmt.Errorf("it has no %s %s", kind, name))
			}
		}
		return err
	})
}

// list writes a report to a file, with each finding changed.
func (s *scene) list(report auditReport, change func(finding map[string]any)) (path string) {
	s.t.Helper()
	var findings []map[string]any
	for _, finding := range report.Findings {
		finding = maps.Clone(finding)
		change(finding)
		findings = append(findings, finding)
	}
	report.Findings = findings
	content, err := json.Marshal(report)
	path = filepath.Join(s.t.TempDir(), "list.json")
	if err := errors.Join(err, os.WriteFile(path, content, 0o600)); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// findings waits until these are all there is about these names. Tests that stop a
// daemon of Ceph keep an audit from seeing everything.
func (s *scene) findings(names []string, want map[string]string, report *auditReport) {
	s.t.Helper()
	found := s.eventuallyIn(s.t.Context(), toolInterval, 2*patience, "the audit finds what it should", func(ctx context.Context) error {
		kinds, now, err := audited(ctx, names)
		if err == nil && !maps.Equal(kinds, want) {
			err = fmt.Errorf("it finds %v, want %v", kinds, want)
		}
		*report = now
		return err
	})
	if !found {
		s.t.FailNow()
	}
}

// becomes waits until each of these has been told to be kept or deleted, for a reason.
// What was deleted in an earlier attempt is no orphan any more.
func (s *scene) becomes(list, grace, outcome string, want map[string]string, reason string) {
	s.t.Helper()
	open := maps.Clone(want)
	found := s.eventuallyIn(s.t.Context(), toolInterval, 2*patience, "orphans are "+outcome, func(ctx context.Context) error {
		stdout, _, err := runAudit(ctx, "--delete-orphans="+list, "--grace-period="+grace)
		for line := range strings.Lines(stdout) {
			for name, kind := range open {
				switch {
				case !strings.Contains(line, kind+" "+name+" "):
				case strings.HasPrefix(line, outcome) && strings.Contains(line, reason):
					delete(open, name)
				case outcome == "kept" && strings.HasPrefix(line, "deleted"):
					s.t.Errorf("%q, but it was to be kept", line)
				}
			}
		}
		if len(open) > 0 {
			return fmt.Errorf("not so for %v (%w):\n%s", open, err, stdout)
		}
		return nil
	})
	if !found {
		s.t.FailNow()
	}
}

// printsNoKey looks at all that the command writes, however much it logs.
func (s *scene) printsNoKey(key string) {
	s.t.Helper()
	cmd := child([]string{"CEPH_CONF=", "KUBECONFIG="}, suite.binary, "audit", "--kubeconfig="+suite.kubeconfig, "--secret-namespace="+volumeSecrets, "--v=10")
	printed, err := cmd.CombinedOutput()
	if len(printed) == 0 || bytes.Contains(withDumps(printed), []byte(key)) {
		s.t.Errorf("the audit prints nothing, or a key (%v)", err)
	}
}

func union(parts ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, each := range parts {
		maps.Copy(all, each)
	}
	return all
}
