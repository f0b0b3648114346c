package e2e

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
)

// grant is one part of an identity's caps, and what it is needed for.
type grant struct {
	daemon, part string
	step         string // provision, grow or delete
	says         string // that the event about it contains; default: the part
	refusal      string // that it contains as well; default: permission denied
	instead      string // of the part; default: nothing
}

// The identities of the documentation have no cap too many: without any one of them
// something fails, with an event that names it, and goes on when it is given.
func TestEachCapIsNeeded(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	user := func(prefix string) []grant {
		return []grant{
			{daemon: "mon", part: `command "auth get" with entity prefix ` + prefix, step: "provision", says: `command "auth get"`},
			{daemon: "mon", part: `command "auth get-or-create" with entity prefix ` + prefix, step: "provision", says: `command "auth get-or-create"`},
			{daemon: "mon", part: `command "auth rm" with entity prefix ` + prefix, step: "delete", says: `command "auth rm"`},
		}
	}
	subvolume := []grant{
		{daemon: "mgr", part: `command "fs subvolume create"`, step: "provision"},
		{daemon: "mgr", part: `command "fs subvolume info"`, step: "provision"},
		{daemon: "mgr", part: `command "fs subvolume metadata set"`, step: "provision"},
		{daemon: "mgr", part: `command "fs subvolume rm"`, step: "delete"},
	}
	for _, identity := range []struct {
		id     string
		class  func(*scene, *cephCluster, ...classChange) string
		change classChange
		grants []grant
	}{
		{tenantAdminID, (*scene).tenantClass, nil, append(append(user("client.kubernetes-dynamic-user-"), subvolume...),
			grant{daemon: "mds", part: "rwp", step: "grow", says: "mds 'allow rwp", instead: "rw"})},
		{cephfsAdminID, (*scene).cephfsClass, nil, subvolume},
		{cephfsAdminID, (*scene).cephfsClass, func(class *storagev1.StorageClass) { class.Parameters["subvolumeGroup"] = "of-" + class.Name }, []grant{
			{daemon: "mgr", part: `command "fs subvolumegroup create"`, step: "provision"},
			{daemon: "mgr", part: `command "fs subvolume resize"`, step: "grow"},
		}},
		{dirAdminID, (*scene).directoryClass, nil, append(user("client.kubernetes-dynamic-user-"),
			grant{daemon: "mds", part: "rwp", step: "provision", says: "mds 'allow rwp", instead: "rw"})},
		{dirAdminID, (*scene).directoryClass, with("deterministicNames", "true"), user("client.k8s.")},
		{rbdAdminID, (*scene).rbdClass, nil, []grant{
			{daemon: "mon", part: "profile rbd", step: "provision", says: "connect to Ceph", refusal: "refuses this identity"},
			{daemon: "osd", part: "profile rbd pool=rbd", step: "provision", says: "cap"},
		}},
	} {
		for _, without := range identity.grants {
			t.Run(identity.id+" without "+without.String(), func(t *testing.T) {
				t.Parallel()
				s, give := sceneWithout(t, ceph, identity.id, without)
				changes := s.asAdmin()
				if identity.change != nil {
					changes = append(changes, identity.change)
				}
				s.goesOnWithTheCap(identity.class(s, ceph, changes...), without, give)
			})
		}
	}
}

// sceneWithout has an identity, its secret, and the caps of another but for one, which give
// adds.
func sceneWithout(t *testing.T, ceph *cephCluster, as string, without grant) (s *scene, give func()) {
	t.Helper()
	full, err := ceph.caps(t.Context(), as)
	if err != nil {
		t.Fatal(err)
	}
	s = sceneWithCaps(t, ceph, without.takenFrom(t, full))
	return s, func() {
		ceph.run(t, "ceph", append([]string{"auth", "caps", "client." + s.namespace}, capArguments(full)...)...)
	}
}

// sceneWithCaps has an identity with these caps, and its secret.
func sceneWithCaps(t *testing.T, ceph *cephCluster, caps map[string]string) (s *scene) {
	t.Helper()
	t.Cleanup(func() { ceph.runAtEnd(t, "ceph", "auth", "rm", "client."+s.namespace) }) // after the scene's volumes
	s = newScene(t)
	s.identity(ceph, s.namespace, secretWithout, caps)
	return s
}

// sceneThroughTheManager has an identity for subvolumes that may not mount them.
func sceneThroughTheManager(t *testing.T, ceph *cephCluster) *scene {
	t.Helper()
	caps, err := ceph.caps(t.Context(), cephfsAdminID)
	if err != nil {
		t.Fatal(err)
	}
	delete(caps, "mds")
	return sceneWithCaps(t, ceph, caps)
}

// Without mds caps, all that there is to do goes through the mgr.
func TestSubvolumeThroughTheManager(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	s := sceneThroughTheManager(t, ceph)
	claim, pv := s.made(s.cephfsClass(ceph, s.asAdmin()...), "1Gi")
	s.request(claim, "2Gi")
	s.grown(claim, pv.Name, 2<<30)
	ceph.wantQuota(t, claim, 2<<30)
	s.deleteClaim(claim)
	s.gone(pv.Name)
}

// secretWithout has the key of the identity of a scene.
const secretWithout = "identity"

// asAdmin has the controller, and asUser nodes, use the identity of a scene.
func (s *scene) asAdmin() []classChange {
	return []classChange{with("adminId", s.namespace), with("adminSecretName", secretWithout), with("adminSecretNamespace", s.namespace)}
}

func (s *scene) asUser() []classChange {
	return []classChange{with("userId", s.namespace), with("userSecretName", secretWithout), with("userSecretNamespace", s.namespace)}
}

// goesOnWithTheCap makes, grows and deletes a volume, and gives the cap where it is missed.
func (s *scene) goesOnWithTheCap(class string, missing grant, give func()) {
	s.t.Helper()
	refusal, says := cmp.Or(missing.refusal, "permission denied"), cmp.Or(missing.says, missing.part)
	claim := s.claim(class, "1Gi")
	if missing.step == "provision" {
		s.event(claim, "ProvisioningFailed", refusal, says)
		give()
	}
	pv := s.bound(claim)
	s.request(claim, "2Gi")
	if missing.step == "grow" {
		s.event(claim, "VolumeResizeFailed", refusal, says)
		give()
	}
	s.grown(claim, pv.Name, 2<<30)
	s.deleteClaim(claim)
	if missing.step == "delete" {
		s.event(pv, "VolumeFailedDelete", refusal, says)
		give()
	}
	s.gone(pv.Name)
}

// String names the cap.
func (g grant) String() string {
	if g.instead != "" {
		return g.daemon + " " + g.part + ", but with " + g.instead
	}
	return g.daemon + " " + g.part
}

// takenFrom returns the caps without this one.
func (g grant) takenFrom(t *testing.T, full map[string]string) map[string]string {
	t.Helper()
	less := maps.Clone(full)
	if g.instead != "" {
		less[g.daemon] = strings.Replace(full[g.daemon], g.part, g.instead, 1)
	} else {
		kept := slices.DeleteFunc(strings.Split(full[g.daemon], ", "), func(each string) bool { return strings.Contains(each+" ", g.part+" ") })
		less[g.daemon] = strings.Join(kept, ", ")
	}
	if less[g.daemon] == full[g.daemon] {
		t.Fatalf("there is no %s in %s", g.part, full[g.daemon])
	}
	if less[g.daemon] == "" {
		delete(less, g.daemon)
	}
	return less
}

// The same for identities of nodes: without any one cap a node can't do what pods need, and
// with it the same volume can be used.
func TestEachCapOfNodesIsNeeded(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	writesImage := func(s *scene, pv *corev1.PersistentVolume) error {
		_, err := s.onImage(pv, "write", "0", "text")
		return err
	}
	writesFile := func(s *scene, pv *corev1.PersistentVolume) error {
		_, err := s.asTenant(pv, "write", pv.Spec.CephFS.Path, "file", "text")
		return err
	}
	for _, without := range []struct {
		id    string
		class func(*scene, *cephCluster, ...classChange) string
		grant
		use    func(*scene, *corev1.PersistentVolume) error
		change classChange
	}{
		{rbdUserID, (*scene).rbdClass, grant{daemon: "mon", part: "profile rbd"}, writesImage, nil},
		{rbdUserID, (*scene).rbdClass, grant{daemon: "mon", part: "profile rbd", instead: "allow r"}, takesOver, with("imageFeatures", "layering,exclusive-lock")},
		{rbdUserID, (*scene).rbdClass, grant{daemon: "osd", part: "profile rbd pool=rbd"}, writesImage, nil},
		{rbdUserID, (*scene).rbdClass, grant{daemon: "osd", part: "profile rbd pool=rbd-data"}, writesImage, with("dataPool", ceph.RBDDataPool)},
		{cephfsUserID, (*scene).cephfsClass, grant{daemon: "mon", part: "allow r fsname=cephfs"}, writesFile, nil},
		{cephfsUserID, (*scene).cephfsClass, grant{daemon: "mds", part: "allow rw fsname=cephfs path=/volumes/kubernetes"}, writesFile, nil},
		{cephfsUserID, (*scene).cephfsClass, grant{daemon: "mds", part: "rw", instead: "r"}, writesFile, nil},
		{cephfsUserID, (*scene).cephfsClass, grant{daemon: "osd", part: "allow rw tag cephfs data=cephfs"}, writesFile, nil},
	} {
		t.Run(without.id+" without "+without.String(), func(t *testing.T) {
			t.Parallel()
			s, give := sceneWithout(t, ceph, without.id, without.grant)
			changes := s.asUser()
			if without.change != nil {
				changes = append(changes, without.change)
			}
			_, pv := s.made(without.class(s, ceph, changes...), "8Mi")
			if err := without.use(s, pv); err == nil {
				t.Error("a node can use the volume without the cap")
			}
			give()
			if err := without.use(s, pv); err != nil {
				t.Error(err)
			}
		})
	}
}

// Without a cap that is for the audit alone, it does not look at the group, and says so. Not
// parallel, like TestAudit.
func TestEachCapOfTheAuditIsNeeded(t *testing.T) {
	ceph := suite.ceph[0]
	for _, command := range []string{"fs subvolume ls", "fs subvolume metadata get"} {
		t.Run(command, func(t *testing.T) {
			s, give := sceneWithout(t, ceph, cephfsAdminID, grant{daemon: "mgr", part: `command "` + command + `"`})
			s.made(s.cephfsClass(ceph, append(s.asAdmin(), with("subvolumeGroup", s.namespace))...), "8Mi")
			names, place := []string{s.namespace}, "subvolume group "+ceph.FileSystem+":"+s.namespace
			var report auditReport
			s.findings(names, map[string]string{place: "not-examined"}, &report)
			if detail := fmt.Sprint(report.Findings[0]["detail"]); !strings.Contains(detail, command) {
				t.Errorf("the audit says %q", detail)
			}
			give()
			s.findings(names, map[string]string{}, &report)
		})
	}
}

// takesOver writes to an image that has been locked by a node that is dead.
func takesOver(s *scene, pv *corev1.PersistentVolume) error {
	_, crash := s.heldImage(pv)
	crash()
	_, err := s.onImage(pv, "write", "0", "text")
	return err
}

// identity makes an identity with these caps, unless it is there, and puts its key into a
// secret of the test's.
func (s *scene) identity(ceph *cephCluster, id, secret string, caps map[string]string) {
	s.t.Helper()
	ceph.run(s.t, "ceph", append([]string{"auth", "get-or-create", "client." + id}, capArguments(caps)...)...)
	s.publishKey(ceph, id, secret)
}

// publishKey puts the identity's present key into a secret of the test's.
func (s *scene) publishKey(ceph *cephCluster, id, secret string) {
	s.t.Helper()
	key, err := ceph.key(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	s.secret(secret, map[string]string{"key": key})
}

func capArguments(caps map[string]string) (args []string) {
	for _, daemon := range slices.Sorted(maps.Keys(caps)) {
		args = append(args, daemon, caps[daemon])
	}
	return args
}
