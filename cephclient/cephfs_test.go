package cephclient_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"ceph.example/ceph-provisioner/cephclient"
)

// subvolumeStore is a file system in memory.
type subvolumeStore struct {
	fileSystems       []cephclient.FileSystem
	recentFileSystems []cephclient.FileSystem // if others have been seen
	subvolumes        map[string]cephclient.CephFSInfo
	statErr           error
	markErr           error
	createErr         error // after the volume was made
	removeErr         error
	deafQuota         bool // setting a quota succeeds and has no effect
	calls             []string
	inspected         int
	options           cephclient.CreateOptions // of the last Create
}

func newSubvolumeStore(fileSystems ...string) *subvolumeStore {
	s := &subvolumeStore{subvolumes: map[string]cephclient.CephFSInfo{}}
	for _, name := range fileSystems {
		s.fileSystems = append(s.fileSystems, cephclient.FileSystem{Name: name, DataPools: []string{name + ".data"}})
	}
	return s
}

func (s *subvolumeStore) FileSystems(context.Context) ([]cephclient.FileSystem, error) {
	return s.fileSystems, nil
}

func (s *subvolumeStore) RecentFileSystems(ctx context.Context) ([]cephclient.FileSystem, error) {
	if s.recentFileSystems != nil {
		return s.recentFileSystems, nil
	}
	return s.FileSystems(ctx)
}

func (s *subvolumeStore) Create(_ context.Context, v cephclient.Volume, quotaBytes int64, options cephclient.CreateOptions) error {
	s.calls = append(s.calls, "create in "+v.Container)
	s.options = options
	if s.deafQuota {
		quotaBytes = cephclient.Unlimited
	}
	s.subvolumes[v.Name] = cephclient.CephFSInfo{QuotaBytes: quotaBytes, Path: "/volumes/" + v.Group + "/" + v.Name}
	return s.createErr
}

func (s *subvolumeStore) Inspect(_ context.Context, v cephclient.Volume) (cephclient.CephFSInfo, error) {
	s.inspected++
	return s.read(v)
}

func (s *subvolumeStore) read(v cephclient.Volume) (cephclient.CephFSInfo, error) {
	subvolume, found := s.subvolumes[v.Name]
	if !found {
		return subvolume, cephclient.NewError(cephclient.ErrNotFound, "read", "", false)
	}
	return subvolume, s.statErr
}

func (s *subvolumeStore) Quota(_ context.Context, v cephclient.Volume) (cephclient.CephFSInfo, error) {
	subvolume, err := s.read(v)
	return cephclient.CephFSInfo{QuotaBytes: subvolume.QuotaBytes, UsedBytes: subvolume.UsedBytes}, err
}

func (s *subvolumeStore) SetQuota(_ context.Context, v cephclient.Volume, quotaBytes int64) error {
	s.calls = append(s.calls, "set quota")
	if s.deafQuota {
		return nil
	}
	subvolume := s.subvolumes[v.Name]
	subvolume.QuotaBytes = quotaBytes
	s.subvolumes[v.Name] = subvolume
	return nil
}

func (s *subvolumeStore) Mark(_ context.Context, v cephclient.Volume, owner cephclient.Owner) error {
	if s.markErr != nil {
		return s.markErr
	}
	subvolume := s.subvolumes[v.Name]
	subvolume.Owner = owner.String()
	s.subvolumes[v.Name] = subvolume
	return nil
}

func (s *subvolumeStore) Remove(_ context.Context, v cephclient.Volume) error {
	if _, found := s.subvolumes[v.Name]; !found {
		return cephclient.NewError(cephclient.ErrNotFound, "remove", "", true)
	}
	if s.removeErr != nil {
		return s.removeErr
	}
	delete(s.subvolumes, v.Name)
	return nil
}

func subvolume(fileSystem string) cephclient.Volume {
	return cephclient.Volume{Kind: cephclient.CephFS, Container: fileSystem, Group: "kubernetes", Name: "x"}
}

func TestCephFSEnsure(t *testing.T) {
	quota := func(bytes int64) *cephclient.CephFSInfo { return &cephclient.CephFSInfo{QuotaBytes: bytes} }
	for name, c := range map[string]struct {
		fileSystems []string
		fsName      string
		dataPool    string
		present     *cephclient.CephFSInfo
		want        int64
		calls       string
		cause       error
		says        string
	}{
		"absent, the only file system":    {fileSystems: []string{"a"}, want: gib + 7, calls: "[create in a]"},
		"absent, a named file system":     {fileSystems: []string{"a", "b"}, fsName: "b", want: gib + 7, calls: "[create in b]"},
		"exists with the same quota":      {fileSystems: []string{"a"}, present: quota(gib + 7), want: gib + 7, calls: "[]"},
		"exists smaller: no resize":       {fileSystems: []string{"a"}, present: quota(5), want: 5, calls: "[]"},
		"exists larger: no resize":        {fileSystems: []string{"a"}, present: quota(2 * gib), want: 2 * gib, calls: "[]"},
		"half made, without quota":        {fileSystems: []string{"a"}, present: quota(cephclient.Unlimited), want: gib + 7, calls: "[create in a]"},
		"a data pool of the file system":  {fileSystems: []string{"a"}, dataPool: "a.data", want: gib + 7, calls: "[create in a]"},
		"no quota, and more in it":        {fileSystems: []string{"a"}, present: &cephclient.CephFSInfo{UsedBytes: 2 * gib}, calls: "[]", cause: cephclient.ErrWouldShrink, says: "ask for at least what it holds"},
		"no file system":                  {cause: cephclient.ErrNoSuchPlace, says: "ceph fs volume create", calls: "[]"},
		"several file systems, none said": {fileSystems: []string{"a", "b"}, cause: cephclient.ErrNoSuchPlace, says: "fsName", calls: "[]"},
		"file system does not exist":      {fileSystems: []string{"a"}, fsName: "c", cause: cephclient.ErrNoSuchPlace, says: `"c"`, calls: "[]"},
		"data pool of another":            {fileSystems: []string{"a"}, dataPool: "p", cause: cephclient.ErrNoSuchPlace, says: "a.data", calls: "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			store := newSubvolumeStore(c.fileSystems...)
			if c.present != nil {
				store.subvolumes["x"] = *c.present
			}
			info, err := cephclient.NewCephFS(store, store, store).Ensure(context.Background(), subvolume(c.fsName), gib+7, cephclient.CreateOptions{DataPool: c.dataPool, Owner: cephclient.Owner{ClaimUID: "1"}})
			if !errors.Is(err, c.cause) || info.SizeBytes != c.want {
				t.Errorf("got %d bytes, %v; want %d, %v", info.SizeBytes, err, c.want, c.cause)
			}
			if got := fmt.Sprint(store.calls); got != c.calls {
				t.Errorf("calls %s, want %s", got, c.calls)
			}
			if owner, _ := cephclient.ParseOwner(store.subvolumes["x"].Owner); err == nil && owner.ClaimUID != "1" {
				t.Errorf("it says that it belongs to %+v", owner)
			}
			mustSay(t, err, c.says)
		})
	}
}

func TestCephFSEnsureFailsUntilTheSubvolumeSaysWhoseItIs(t *testing.T) {
	store := newSubvolumeStore("a")
	store.markErr = cephclient.NewError(cephclient.ErrDenied, "mark", "", true)
	_, err := cephclient.NewCephFS(store, store, store).Ensure(context.Background(), subvolume("a"), gib, cephclient.CreateOptions{})
	if !errors.Is(err, cephclient.ErrDenied) || cephclient.MayBeHalfDone(err) || len(store.subvolumes) > 0 {
		t.Errorf("left %v: %v", store.subvolumes, err)
	}
	mustSay(t, err, "removed again")
	store.subvolumes["x"] = cephclient.CephFSInfo{QuotaBytes: gib}
	if _, err = cephclient.NewCephFS(store, store, store).Ensure(context.Background(), subvolume("a"), gib, cephclient.CreateOptions{}); !cephclient.MayBeHalfDone(err) || len(store.subvolumes) != 1 {
		t.Errorf("one that was there before: left %v: %v", store.subvolumes, err)
	}
}

// What an earlier attempt may have made stands in the journal. Thousands of claims that wait
// for a mgr which hangs must not, as the journal has room for some 1,500.
func TestCephFSEnsureThatSeesNothingMakesNothing(t *testing.T) {
	store := newSubvolumeStore("a")
	store.subvolumes["x"] = cephclient.CephFSInfo{QuotaBytes: gib}
	store.statErr = cephclient.NewError(cephclient.ErrTimeout, "read", "", false)
	_, err := cephclient.NewCephFS(store, store, store).Ensure(context.Background(), subvolume("a"), gib, cephclient.CreateOptions{})
	if !errors.Is(err, cephclient.ErrTimeout) || cephclient.MayBeHalfDone(err) {
		t.Errorf("%v", err)
	}
}

func TestCephFSGrow(t *testing.T) {
	for name, c := range map[string]struct {
		before    cephclient.CephFSInfo
		ask, want int64
		cause     error
	}{
		"smaller":                     {before: cephclient.CephFSInfo{QuotaBytes: 5}, ask: 9, want: 9},
		"equal":                       {before: cephclient.CephFSInfo{QuotaBytes: 9}, ask: 9, want: 9},
		"larger stays so":             {before: cephclient.CephFSInfo{QuotaBytes: 10}, ask: 9, want: 10},
		"no quota, little in it":      {before: cephclient.CephFSInfo{UsedBytes: 9}, ask: 9, want: 9},
		"no quota, more in it: stays": {before: cephclient.CephFSInfo{UsedBytes: 10}, ask: 9, want: cephclient.Unlimited, cause: cephclient.ErrWouldShrink},
	} {
		t.Run(name, func(t *testing.T) {
			store := newSubvolumeStore("a")
			store.subvolumes["x"] = c.before
			_, err := cephclient.NewCephFS(store, store, store).Grow(context.Background(), subvolume("a"), c.ask)
			if !errors.Is(err, c.cause) || store.subvolumes["x"].QuotaBytes != c.want {
				t.Errorf("quota %d, %v; want %d, %v", store.subvolumes["x"].QuotaBytes, err, c.want, c.cause)
			}
			if store.inspected > 0 {
				t.Error("more was read than the quota")
			}
		})
	}
}

func TestCephFSGrowWithoutFileSystem(t *testing.T) {
	store := newSubvolumeStore("a")
	if _, err := cephclient.NewCephFS(store, store, store).Grow(context.Background(), subvolume("b"), 9); !errors.Is(err, cephclient.ErrNoSuchPlace) {
		t.Errorf("got %v, want that the file system is gone", err)
	}
}

func TestCephFSGrowthThatCannotBeSeen(t *testing.T) {
	store := newSubvolumeStore("a")
	store.subvolumes["x"] = cephclient.CephFSInfo{QuotaBytes: 5}
	store.statErr = cephclient.NewError(cephclient.ErrTimeout, "read", "", false)
	if _, err := cephclient.NewCephFS(store, store, store).Grow(context.Background(), subvolume("a"), 9); !cephclient.MayBeHalfDone(err) {
		t.Errorf("whether an earlier attempt has grown it was not seen: %v", err)
	}
}

func TestCephFSQuotaIsReadBack(t *testing.T) {
	store := newSubvolumeStore("a")
	store.deafQuota = true
	_, err := cephclient.NewCephFS(store, store, store).Ensure(context.Background(), subvolume("a"), gib, cephclient.CreateOptions{})
	if !errors.Is(err, cephclient.ErrQuotaMismatch) || cephclient.MayBeHalfDone(err) || len(store.subvolumes) != 0 {
		t.Errorf("a quota that does not hold passed after creation, or something is left: %v", err)
	}
	store.subvolumes["x"] = cephclient.CephFSInfo{QuotaBytes: 5}
	if _, err := cephclient.NewCephFS(store, store, store).Grow(context.Background(), subvolume("a"), gib); !errors.Is(err, cephclient.ErrQuotaMismatch) {
		t.Errorf("a quota that does not hold passed after growth: %v", err)
	}
}

func TestCephFSDelete(t *testing.T) {
	for name, c := range map[string]struct {
		fsName  string
		present bool
		cause   error
	}{
		"present":             {fsName: "a", present: true},
		"absent":              {fsName: "a"},
		"file system is gone": {fsName: "b", cause: cephclient.ErrNoSuchPlace},
	} {
		t.Run(name, func(t *testing.T) {
			store := newSubvolumeStore("a")
			store.recentFileSystems = newSubvolumeStore("a", "b").fileSystems // nothing is concluded from that
			if c.present {
				store.subvolumes["x"] = cephclient.CephFSInfo{}
			}
			if err := cephclient.NewCephFS(store, store, store).Delete(context.Background(), subvolume(c.fsName)); !errors.Is(err, c.cause) {
				t.Errorf("got %v, want %v", err, c.cause)
			}
		})
	}
}

func mustSay(t *testing.T, err error, text string) {
	t.Helper()
	if text != "" && (err == nil || !strings.Contains(err.Error(), text)) {
		t.Errorf("the message does not say %q: %v", text, err)
	}
}
