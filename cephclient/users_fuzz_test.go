package cephclient_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"ceph.example/ceph-provisioner/cephclient"
)

// FuzzUsers makes users for volumes of any name, and deletes users that somebody may
// have given any caps.
func FuzzUsers(f *testing.F) {
	for _, path := range []string{home, "/volumes/g/x, allow *", "/a;allow rw", "/a allow rw path=/", "/a b", `/a"b`, "/", "", "/ä", "/a\x00b"} {
		f.Add(path, "a.data", "", "a", false, "allow rw path="+home, "allow rw pool=a")
		f.Add(path, "a.data, allow *", "ns", "a", true, "allow r,allow rw path="+home+";allow *", "allow *")
		f.Add(path, "", "ns allow", "a b", true, "allow rw path="+home+" , allow r ;allow rw", "")
		f.Add(path, "a", "", "", true, "allow r", "allow rw")
		f.Add(path, "a", "", "", true, "allow rw path="+home+" ; allow rw", "allow rw")
	}
	f.Fuzz(func(t *testing.T, path, pool, namespace, fileSystem string, others bool, mds, osd string) {
		store := userStore{}
		users := cephclient.NewUsers(store)
		info := cephclient.Info{
			Volume:   cephclient.Volume{Kind: cephclient.CephFS, Container: fileSystem, Path: path},
			DataPool: pool, Namespace: namespace, OtherFileSystems: others,
		}
		_, err := users.Ensure(t.Context(), "u", info)
		if (err == nil) != (len(store) == 1) {
			t.Fatalf("made %v, %v", store, err)
		}
		if err == nil {
			checkCaps(t, store["u"], info)
			if reached, err := users.Path(t.Context(), "u"); err != nil || reached != path {
				t.Errorf("%v reach %q, %v; want %q", store["u"], reached, err, path)
			}
			if err := users.Delete(t.Context(), "u", path); err != nil || len(store) > 0 {
				t.Errorf("what was made is not deleted: %v", err)
			}
		}
		checkDelete(t, cephclient.Caps{"mon": "allow r", "mds": mds, "osd": osd}, path)
	})
}

// checkCaps takes caps apart as Ceph does.
func checkCaps(t *testing.T, caps cephclient.Caps, info cephclient.Info) {
	t.Helper()
	mds, osd := []string{"allow", "rw"}, []string{"allow", "rw", "pool=" + info.DataPool}
	if info.OtherFileSystems {
		mds = append(mds, "fsname="+info.Volume.Container)
	}
	if info.Namespace != "" {
		osd = append(osd, "namespace="+info.Namespace)
	}
	mds = append(mds, "path="+info.Volume.Path)
	for daemon, want := range map[string][]string{"mon": {"allow", "r"}, "mds": mds, "osd": osd} {
		if words := strings.FieldsFunc(caps[daemon], isBetweenWords); !slices.Equal(words, want) {
			t.Errorf("%s: %q, want %q", daemon, words, want)
		}
	}
}

func isBetweenWords(r rune) bool { return strings.ContainsRune(" \t\n,;\"'", r) }

// checkDelete holds that no user is removed that reaches anything but the path, though
// ceph.com/cephfs let its users read the tree.
func checkDelete(t *testing.T, caps cephclient.Caps, path string) {
	t.Helper()
	store := userStore{"u": caps}
	err := cephclient.NewUsers(store).Delete(t.Context(), "u", path)
	if removed := len(store) == 0; removed != (err == nil) || !removed && !errors.Is(err, cephclient.ErrExists) {
		t.Errorf("removed %t, %v", removed, err)
	}
	if err != nil {
		return
	}
	for _, grant := range strings.FieldsFunc(caps["mds"], func(r rune) bool { return r == ',' || r == ';' }) {
		words := strings.Fields(grant)
		if len(words) > 0 && !slices.Equal(words, []string{"allow", "r"}) && !slices.Contains(words, "path="+path) {
			t.Errorf("a user with %q is removed with %q", caps["mds"], path)
		}
	}
}
