package e2e

import (
	"maps"
	"slices"
	"strings"
	"testing"

	storagev1 "k8s.io/api/storage/v1"
)

// grant is one part of an identity's caps, and what it is needed for.
type grant struct {
	daemon, part string
	step         string // provision, grow or delete
	says         string // that the event about it contains; default: the part
}

// The identities of the documentation have no cap too many: without any one of them
// something fails, with an event that names it, and goes on when it is given.
func TestEachCapIsNeeded(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	user := func(prefix string) []grant {
		return []grant{
			{"mon", `command "auth get" with entity prefix ` + prefix, "provision", `command "auth get"`},
			{"mon", `command "auth get-or-create" with entity prefix ` + prefix, "provision", `command "auth get-or-create"`},
			{"mon", `command "auth rm" with entity prefix ` + prefix, "delete", `command "auth rm"`},
		}
	}
	subvolume := []grant{
		{"mgr", `command "fs subvolume create"`, "provision", ""},
		{"mgr", `command "fs subvolume info"`, "provision", ""},
		{"mgr", `command "fs subvolume metadata set"`, "provision", ""},
		{"mgr", `command "fs subvolume rm"`, "delete", ""},
	}
	for _, identity := range []struct {
		id     string
		class  func(*scene, *cephCluster, ...classChange) string
		change classChange
		grants []grant
	}{
		{cephfsAdminID, (*scene).cephfsClass, func(class *storagev1.StorageClass) { class.Parameters["subvolumeGroup"] = "of-" + class.Name },
			[]grant{{"mgr", `command "fs subvolumegroup create"`, "provision", ""}}},
		{tenantAdminID, (*scene).tenantClass, nil, append(append(user("client.kubernetes-dynamic-user-"), subvolume...),
			grant{"mds", "rwp", "grow", `mds 'allow rwp`})},
		{cephfsAdminID, (*scene).cephfsClass, nil, append(subvolume,
			grant{"mgr", `command "fs subvolume resize"`, "grow", ""})},
		{dirAdminID, (*scene).directoryClass, nil, append(user("client.kubernetes-dynamic-user-"),
			grant{"mds", "rwp", "provision", "mds 'allow rwp"})},
		{dirAdminID, (*scene).directoryClass, with("deterministicNames", "true"), user("client.k8s.")},
	} {
		for _, without := range identity.grants {
			t.Run(identity.id+" without "+without.part, func(t *testing.T) {
				t.Parallel()
				full, err := ceph.caps(t.Context(), identity.id)
				if err != nil {
					t.Fatal(err)
				}
				var id string
				t.Cleanup(func() { ceph.runAtEnd(t, "ceph", "auth", "rm", "client."+id) })
				s := newScene(t)
				id = s.namespace
				give := func(caps map[string]string) {
					args := []string{"auth", "caps", "client." + id}
					for daemon, each := range caps {
						args = append(args, daemon, each)
					}
					ceph.run(t, "ceph", args...)
				}
				ceph.run(t, "ceph", "auth", "get-or-create", "client."+id)
				give(without.takenFrom(t, full))
				key, err := ceph.key(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				s.secret("admin", map[string]string{"key": key})
				changes := []classChange{with("adminId", id), with("adminSecretName", "admin"), with("adminSecretNamespace", s.namespace)}
				if identity.change != nil {
					changes = append(changes, identity.change)
				}
				s.goesOnWithTheCap(identity.class(s, ceph, changes...), without, func() { give(full) })
			})
		}
	}
}

// goesOnWithTheCap makes, grows and deletes a volume, and gives the cap where it is missed.
func (s *scene) goesOnWithTheCap(class string, missing grant, give func()) {
	s.t.Helper()
	says := missing.says
	if says == "" {
		says = missing.part
	}
	claim := s.claim(class, "1Gi")
	if missing.step == "provision" {
		s.event(claim, "ProvisioningFailed", "permission denied", says)
		give()
	}
	pv := s.bound(claim)
	s.request(claim, "2Gi")
	if missing.step == "grow" {
		s.event(claim, "VolumeResizeFailed", "permission denied", says)
		give()
	}
	s.grown(claim, pv.Name, 2<<30)
	s.deleteClaim(claim)
	if missing.step == "delete" {
		s.event(pv, "VolumeFailedDelete", "permission denied", says)
		give()
	}
	s.gone(pv.Name)
}

// takenFrom returns the caps without this one.
func (g grant) takenFrom(t *testing.T, full map[string]string) map[string]string {
	t.Helper()
	less := maps.Clone(full)
	if g.part == "rwp" {
		less[g.daemon] = strings.Replace(full[g.daemon], "rwp", "rw", 1)
	} else {
		const separator = ", allow "
		grants := strings.Split(strings.TrimPrefix(full[g.daemon], "allow "), separator)
		kept := slices.DeleteFunc(grants, func(each string) bool { return strings.Contains(each, g.part) })
		less[g.daemon] = "allow " + strings.Join(kept, separator)
	}
	if less[g.daemon] == full[g.daemon] {
		t.Fatalf("there is no %s in %s", g.part, full[g.daemon])
	}
	return less
}
