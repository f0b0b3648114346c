package cephclient_test

import (
	"context"
	"errors"
	"maps"
	"testing"

	"ceph.example/ceph-provisioner/cephclient"
)

// userStore is the monitors in memory.
type userStore map[string]cephclient.Caps

func (s userStore) GetOrCreate(_ context.Context, id string, caps cephclient.Caps) (cephclient.Secret, error) {
	if present, found := s[id]; found && !maps.Equal(present, caps) {
		return cephclient.Secret{}, cephclient.NewError(cephclient.ErrInvalid, "make", "exists but cap does not match", true)
	}
	s[id] = caps
	return cephclient.NewSecret("key of " + id), nil
}

func (s userStore) Caps(_ context.Context, id string) (cephclient.Caps, error) {
	if caps, found := s[id]; found {
		return caps, nil
	}
	return nil, cephclient.NewError(cephclient.ErrNotFound, "look", "", false)
}

func (s userStore) Remove(_ context.Context, id string) error {
	delete(s, id)
	return nil
}

const home = "/volumes/kubernetes/x/uuid"

func volumeInfo(change func(*cephclient.Info)) cephclient.Info {
	info := cephclient.Info{
		Volume:   cephclient.Volume{Kind: cephclient.CephFS, Container: "a", Group: "kubernetes", Name: "x", Path: home},
		DataPool: "a.data",
	}
	if change != nil {
		change(&info)
	}
	return info
}

func TestUsersReachOneVolume(t *testing.T) {
	for state, c := range map[string]struct {
		change   func(*cephclient.Info)
		mds, osd string
	}{
		"the only file system": {mds: "allow rw path=" + home, osd: "allow rw pool=a.data"},
		"a RADOS namespace": {
			change: func(i *cephclient.Info) { i.Namespace = "ns" },
			mds:    "allow rw path=" + home, osd: "allow rw pool=a.data namespace=ns",
		},
		"several file systems": {
			change: func(i *cephclient.Info) { i.OtherFileSystems = true },
			mds:    "allow rw fsname=a path=" + home, osd: "allow rw pool=a.data",
		},
	} {
		t.Run(state, func(t *testing.T) {
			store := userStore{}
			key, err := cephclient.NewUsers(store).Ensure(t.Context(), "u", volumeInfo(c.change))
			want := cephclient.Caps{"mon": "allow r", "mds": c.mds, "osd": c.osd}
			if err != nil || key.Reveal() != "key of u" || !maps.Equal(store["u"], want) {
				t.Errorf("caps %v, %v; want %v", store["u"], err, want)
			}
		})
	}
}

func TestUsersNeedAPool(t *testing.T) {
	store := userStore{}
	_, err := cephclient.NewUsers(store).Ensure(t.Context(), "u", volumeInfo(func(i *cephclient.Info) { i.DataPool = "" }))
	if !errors.Is(err, cephclient.ErrInvalid) || len(store) > 0 {
		t.Errorf("a user that reaches no pool, or all: %v, %v", store, err)
	}
	mustSay(t, err, "setfattr")
}

func TestUsersOfOthersAreRefused(t *testing.T) {
	store := userStore{"u": {"mds": "allow rw path=/volumes/kubernetes/y"}}
	users := cephclient.NewUsers(store)
	_, err := users.Ensure(t.Context(), "u", volumeInfo(nil))
	if !errors.Is(err, cephclient.ErrExists) {
		t.Errorf("a user with other caps is taken: %v", err)
	}
	mustSay(t, err, "path=/volumes/kubernetes/y")
	if found, err := users.Find(t.Context(), "u"); err != nil || !found {
		t.Errorf("not found: %v", err)
	}
	if found, err := users.Find(t.Context(), "v"); err != nil || found {
		t.Errorf("found: %v", err)
	}
}

func TestUsersAreDeletedWithTheirVolume(t *testing.T) {
	for state, c := range map[string]struct {
		mds, osd string
		deletes  bool
	}{
		"the volume":                           {"allow rw path=" + home, "allow rw pool=a", true},
		"the volume in a file system":          {"allow rw fsname=a path=" + home, "allow rw pool=a", true},
		"as ceph.com/cephfs made it":           {"allow r,allow rw path=" + home, "allow rw pool=a namespace=b", true},
		"as it made it twice":                  {"allow rw path=" + home + ",allow r", "allow rw pool=a", true},
		"as its first versions left it":        {"allow r", "", true},
		"nothing":                              {"", "", true},
		"a pool":                               {"", "allow rw pool=a", false},
		"a pool, and may look at all paths":    {"allow r", "allow rw pool=a", false},
		"everything":                           {"allow *", "allow *", false},
		"all paths":                            {"allow rw", "", false},
		"the parent":                           {"allow rw path=/volumes/kubernetes", "allow rw pool=a", false},
		"a path that begins like the volume's": {"allow rw path=" + home + "2", "allow rw pool=a", false},
		"the volume and another":               {"allow rw path=" + home + ", allow rw path=/volumes/y/z", "allow rw pool=a", false},
		"the volume; and everything":           {"allow rw path=" + home + " ; allow rw", "allow rw pool=a", false},
	} {
		store := userStore{"u": {"mds": c.mds, "osd": c.osd}}
		err := cephclient.NewUsers(store).Delete(t.Context(), "u", home)
		if deleted := len(store) == 0; deleted != c.deletes || errors.Is(err, cephclient.ErrExists) == c.deletes {
			t.Errorf("a user that reaches %s: deleted %t, %v", state, deleted, err)
		}
	}
	if err := cephclient.NewUsers(userStore{}).Delete(t.Context(), "u", home); err != nil {
		t.Errorf("an absent user: %v", err)
	}
}

func TestUsersPath(t *testing.T) {
	for state, c := range map[string]struct{ mds, want string }{
		"ours":                    {"allow rw path=" + home, home},
		"among several":           {"allow rw fsname=a path=" + home, home},
		"of ceph.com/cephfs":      {"allow r,allow rw path=" + home, home},
		"all of the file system":  {"allow rw", ""},
		"two paths":               {"allow rw path=/a,allow rw path=/b", ""},
		"nothing in file systems": {"", ""},
	} {
		users := cephclient.NewUsers(userStore{"x": {"mds": c.mds}})
		if path, err := users.Path(context.Background(), "x"); err != nil || path != c.want {
			t.Errorf("%s: the path is %q (%v), want %q", state, path, err, c.want)
		}
	}
	if _, err := cephclient.NewUsers(userStore{}).Path(context.Background(), "x"); !errors.Is(err, cephclient.ErrNotFound) {
		t.Errorf("a user that is not there: %v", err)
	}
}
