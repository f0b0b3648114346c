package cephclient_test

import (
	"context"
	"errors"
	"testing"

	"ceph.example/ceph-provisioner/cephclient"
)

func directory(name string) cephclient.Volume {
	return cephclient.Volume{Kind: cephclient.CephFS, Root: "/k", Group: "ns", Name: name}
}

// nowhere is a store that must not be asked.
type nowhere struct{ cephclient.CephFSStore }

func TestDirectoryEnsure(t *testing.T) {
	mark := func(uid string) string { return cephclient.Owner{Claim: "c" + uid, ClaimUID: uid}.String() }
	for name, c := range map[string]struct {
		name    string
		present *cephclient.CephFSInfo
		makes   bool // anew, or what is missing of it
		cause   error
		says    string
	}{
		"absent":                       {name: "x", makes: true},
		"made by us":                   {name: "x", present: &cephclient.CephFSInfo{QuotaBytes: gib, Owner: mark("1"), Entries: 9}},
		"half made by us":              {name: "x", present: &cephclient.CephFSInfo{Owner: mark("1")}, makes: true},
		"another claim's":              {name: "x", present: &cephclient.CephFSInfo{QuotaBytes: gib, Owner: mark("2")}, cause: cephclient.ErrExists, says: "c2"},
		"another claim's, in our name": {name: "pvc-1", present: &cephclient.CephFSInfo{QuotaBytes: gib, Owner: mark("2")}, cause: cephclient.ErrExists, says: "another name"},
		"nobody's and empty":           {name: "x", present: &cephclient.CephFSInfo{}, makes: true},
		"nobody's, with data":          {name: "x", present: &cephclient.CephFSInfo{QuotaBytes: gib, Entries: 1, Path: "/k/ns/x"}, cause: cephclient.ErrExists, says: `setfattr -n user.ceph.example/owner -v '{"claimUID":"1"}' /k/ns/x`},
		"an unreadable mark, and data": {name: "x", present: &cephclient.CephFSInfo{QuotaBytes: gib, Entries: 1, Owner: "bob"}, cause: cephclient.ErrExists, says: "whose"},
		"nobody's, in our name":        {name: "pvc-1", present: &cephclient.CephFSInfo{QuotaBytes: gib, Entries: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			store := newSubvolumeStore("a")
			if c.present != nil {
				store.subvolumes[c.name] = *c.present
			}
			before := store.subvolumes[c.name]
			_, err := cephclient.NewCephFS(store, nowhere{}, store).Ensure(context.Background(), directory(c.name), gib,
				cephclient.CreateOptions{Owner: cephclient.Owner{ClaimUID: "1"}})
			if !errors.Is(err, c.cause) || cephclient.MayBeHalfDone(err) {
				t.Errorf("got %v, want %v", err, c.cause)
			}
			if made := len(store.calls) > 0; made != c.makes {
				t.Errorf("calls %q", store.calls)
			}
			owner, _ := cephclient.ParseOwner(store.subvolumes[c.name].Owner)
			if err == nil && owner.ClaimUID != "1" || err != nil && store.subvolumes[c.name] != before {
				t.Errorf("it is left as %+v", store.subvolumes[c.name])
			}
			mustSay(t, err, c.says)
		})
	}
}

func TestADirectoryIsToldItsDataPool(t *testing.T) {
	for asked, want := range map[string]string{"": "a.data", "a.data": "a.data"} {
		store := newSubvolumeStore("a")
		if _, err := cephclient.NewCephFS(store, nowhere{}, store).Ensure(context.Background(), directory("x"), gib, cephclient.CreateOptions{DataPool: asked}); err != nil {
			t.Fatal(err)
		}
		if store.options.DataPool != want {
			t.Errorf("asked for %q: got %q, want %q", asked, store.options.DataPool, want)
		}
	}
}

func TestWhatCannotHaveAQuotaIsTakenBack(t *testing.T) {
	failure := func(cause *cephclient.Cause) error {
		e := cephclient.NewError(cause, "create", "", true)
		e.Wrote = true
		return e
	}
	for name, c := range map[string]struct {
		createErr, removeErr error
		present              bool
		left, halfDone       bool
	}{
		"quotas are not supported":                    {createErr: failure(cephclient.ErrUnsupported)},
		"the caps do not allow them":                  {createErr: failure(cephclient.ErrDenied)},
		"nothing had been made":                       {createErr: cephclient.NewError(cephclient.ErrUnsupported, "create", "", true), left: true},
		"it can't be removed either":                  {createErr: failure(cephclient.ErrUnsupported), removeErr: failure(cephclient.ErrTimeout), left: true, halfDone: true},
		"it timed out, and may be complete next time": {createErr: failure(cephclient.ErrTimeout), left: true, halfDone: true},
		"it had been there before: it may hold data":  {createErr: failure(cephclient.ErrUnsupported), present: true, left: true, halfDone: true},
	} {
		t.Run(name, func(t *testing.T) {
			store := newSubvolumeStore("a")
			store.createErr, store.removeErr = c.createErr, c.removeErr
			if c.present {
				store.subvolumes["x"] = cephclient.CephFSInfo{}
			}
			_, err := cephclient.NewCephFS(store, nowhere{}, store).Ensure(context.Background(), directory("x"), gib, cephclient.CreateOptions{})
			if err == nil || cephclient.MayBeHalfDone(err) != c.halfDone {
				t.Errorf("got %v", err)
			}
			if _, left := store.subvolumes["x"]; left != c.left {
				t.Errorf("left: %v, want %v", left, c.left)
			}
			if !c.left {
				mustSay(t, err, "removed again")
			}
		})
	}
}

func TestDirectoriesGrowAndGoInTheirOwnStore(t *testing.T) {
	store := newSubvolumeStore("a")
	store.subvolumes["x"] = cephclient.CephFSInfo{QuotaBytes: 5}
	backend := cephclient.NewCephFS(store, nowhere{}, store)
	info, err := backend.Grow(context.Background(), directory("x"), 9)
	if err != nil || info.SizeBytes != 9 {
		t.Errorf("got %d bytes, %v", info.SizeBytes, err)
	}
	volume := directory("x")
	volume.Container = "a"
	for range 2 {
		if err := backend.Delete(context.Background(), volume); err != nil || len(store.subvolumes) != 0 {
			t.Errorf("got %v, left %v", err, store.subvolumes)
		}
	}
}
