package cephclient_test

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"ceph.example/ceph-provisioner/cephclient"
)

// FuzzOwner reads marks, which pods can write onto their directories, and has directories
// adopted with them.
func FuzzOwner(f *testing.F) {
	const uid = "1-2-3"
	f.Add("\xc3", "\xa9", "data", int64(1))
	for _, text := range []string{
		"", "{}", "null", "[]", `"1-2-3"`, `{"claimUID":"1-2-3"}`, `{"CLAIMUID":"1-2-3"}`, `{"claimUID":"4-5-6","claimUID":"1-2-3"}`, `{"claimUID":7}`,
		`{"claimUID":"1-2-3"} `, `{"claimUID":"1-2-3"}{}`, `{"claimUID":"1-2-3","more":[[[]]]}`, `{"claimUID":"\u0000"}`, `{"claimUID":"\u001b]0;"}`, "{\"claimUID\":\"\xff\"}", strings.Repeat("[", 20000),
		cephclient.Owner{Installation: "here", Namespace: "ns", Claim: "<data>&", ClaimUID: "1-2-3", PersistentVolume: "pvc-1-2-3"}.String(),
	} {
		f.Add(text, uid, "kubernetes-dynamic-pvc-"+uid, int64(1))
		f.Add(text, uid, "data", int64(1))
		f.Add(text, "4-5-6", "data", int64(0))
		f.Add(text, "", "data", int64(1))
	}
	f.Fuzz(func(t *testing.T, text, uid, name string, entries int64) {
		owner, marked := cephclient.ParseOwner(text)
		said := strings.Join([]string{owner.Installation, owner.Namespace, owner.Claim, owner.ClaimUID, owner.PersistentVolume}, "")
		if marked && (owner.ClaimUID == "" || !isPrintable(said)) {
			t.Errorf("%q is nobody's mark", text)
		}
		if again, ok := cephclient.ParseOwner(owner.String()); marked && (!ok || again != owner) {
			t.Errorf("%+v is read back as %+v", owner, again)
		}
		mine := cephclient.Owner{Installation: text, Namespace: name, Claim: uid, ClaimUID: uid, PersistentVolume: name}
		isText := utf8.ValidString(text) && utf8.ValidString(uid) && utf8.ValidString(name)
		if again, ok := cephclient.ParseOwner(mine.String()); isText && (ok != (uid != "" && isPrintable(text+uid+name)) || ok && again != mine) {
			t.Errorf("%+v is read back as %+v", mine, again)
		}
		adopt(t, mine, cephclient.CephFSInfo{QuotaBytes: gib, Entries: entries, Owner: text, Path: "/data/ns/" + name})
	})
}

func isPrintable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// adopt holds that a directory with data is given to the claim that its mark names, or
// that its name is made of, and to no other.
func adopt(t *testing.T, claim cephclient.Owner, found cephclient.CephFSInfo) {
	t.Helper()
	volume := directory(claim.PersistentVolume)
	store := newSubvolumeStore("a")
	store.subvolumes[volume.Name] = found
	_, err := cephclient.NewCephFS(store, nowhere{}, store).Ensure(t.Context(), volume, gib, cephclient.CreateOptions{Owner: claim})
	left := store.subvolumes[volume.Name]
	if err == nil && left.Owner != claim.String() || err != nil && (!errors.Is(err, cephclient.ErrExists) || left != found) {
		t.Errorf("left as %+v, %v", left, err)
	}
	owner, marked := cephclient.ParseOwner(found.Owner)
	named := claim.ClaimUID != "" && strings.Contains(volume.Name, claim.ClaimUID)
	switch mine := marked && owner.ClaimUID == claim.ClaimUID; {
	case err == nil && !mine && (marked || found.Entries != 0 && !named):
		t.Errorf("a directory of %q with %d entries is given to %+v", found.Owner, found.Entries, claim)
	case err != nil && mine:
		t.Errorf("its own directory is refused: %v", err)
	}
}
