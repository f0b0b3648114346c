package audit

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"ceph.example/ceph-provisioner/cephclient"
)

func TestMayDelete(t *testing.T) {
	const grace = time.Hour
	now := longAgo.Add(24 * time.Hour)
	user := userRef{fsid, userID}
	for state, test := range map[string]struct {
		change func(*cephclient.Found)
		grace  time.Duration
		want   string // what the refusal says; empty if there is none
	}{
		"old and idle":                          {grace: grace},
		"young":                                 {func(f *cephclient.Found) { f.CreatedAt = now.Add(-time.Minute) }, grace, "grace period"},
		"young, without a grace period":         {func(f *cephclient.Found) { f.CreatedAt = now.Add(-time.Minute) }, 0, ""},
		"made just a grace period ago":          {func(f *cephclient.Found) { f.CreatedAt = now.Add(-grace) }, grace, ""},
		"changed lately":                        {func(f *cephclient.Found) { f.ModifiedAt = now.Add(-time.Minute) }, grace, "grace period"},
		"changed in the future":                 {func(f *cephclient.Found) { f.ModifiedAt = now.Add(time.Minute) }, grace, "grace period"},
		"made in an unknown time zone":          {func(f *cephclient.Found) { f.CreatedAt, f.Slack = now.Add(-12*time.Hour), 12*time.Hour }, grace, "time zone"},
		"made long ago in any time zone":        {func(f *cephclient.Found) { f.CreatedAt, f.Slack = now.Add(-13*time.Hour), 12*time.Hour }, grace, ""},
		"of unknown age":                        {func(f *cephclient.Found) { f.CreatedAt = time.Time{} }, 0, "how old"},
		"watched":                               {func(f *cephclient.Found) { f.Watchers = 1 }, 0, "open or mapped"},
		"with snapshots":                        {func(f *cephclient.Found) { f.Snapshots = 2 }, 0, "2 snapshots"},
		"of another installation, by any means": {marked(func(o *cephclient.Owner) { o.Installation = "there" }), 0, "mark of this installation"},
		"without a mark, by any means":          {unmarked, 0, "mark of this installation"},
	} {
		t.Run(state, func(t *testing.T) {
			s := newScene()
			var changes []func(*cephclient.Found)
			if test.change != nil {
				changes = append(changes, test.change)
			}
			orphan := s.inCeph(rbdVolume, changes...).about(OrphanImage, "")
			wantRefusal(t, s.mayDelete(orphan, test.grace, now), test.want)
		})
	}
	t.Run("user and secret after their volume", func(t *testing.T) {
		s := newScene()
		s.inCeph(subvolume)
		s.users[user], s.secrets[secretRef] = subvolume.Path, secret{uid: "s", owner: ownerHere(), createdAt: longAgo}
		s.suspects = suspected(compare(s.state), map[string]bool{fsid: true})
		orphan := map[Kind]Finding{}
		for _, finding := range compare(s.state) {
			orphan[finding.Kind] = finding
		}
		wantRefusal(t, s.mayDelete(orphan[OrphanUser], grace, now), "volume is still there")
		wantRefusal(t, s.mayDelete(orphan[OrphanSecret], grace, now), "volume is still there")
		clear(s.found)
		s.examined[site{fsid, subvolume.Place()}] = false
		wantRefusal(t, s.mayDelete(orphan[OrphanUser], grace, now), "could not be seen what is at")
		s.examined[site{fsid, subvolume.Place()}] = true
		wantRefusal(t, s.mayDelete(orphan[OrphanUser], grace, now), "")
		wantRefusal(t, s.mayDelete(orphan[OrphanSecret], grace, now), "user is still there")
		s.users[user] = ""
		wantRefusal(t, s.mayDelete(orphan[OrphanSecret], grace, now), "")
	})
}

func wantRefusal(t *testing.T, got, want string) {
	t.Helper()
	if (got == "") != (want == "") || !strings.Contains(got, want) {
		t.Errorf("the refusal is %q, want %q", got, want)
	}
}

// The list decides by identity: what was made anew under a name is another thing.
func TestReportsAreReadAsTheyWereWritten(t *testing.T) {
	s := newScene()
	s.inCeph(rbdVolume)
	report := newReport(here, longAgo, compare(s.state))
	var text bytes.Buffer
	if err := report.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadReport(strings.NewReader(text.String()), "there"); err == nil {
		t.Error("the list of another installation is accepted")
	}
	list, err := ReadReport(&text, here)
	if err != nil || len(list.Findings) != 1 || list.Findings[0].identity() != report.Findings[0].identity() {
		t.Errorf("read %+v (%v), want %+v", list, err, report)
	}
	anew := s.inCeph(rbdVolume, func(f *cephclient.Found) { f.ID = "anew" }).about(OrphanImage, "")
	if anew.identity() == list.Findings[0].identity() {
		t.Error("an image that was made anew is taken for the first")
	}
}
