package goceph

import (
	"encoding/json"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"

	"ceph.example/ceph-provisioner/cephclient"
)

// answers is a cluster that answers every command with the same text.
type answers struct{ monitors, dump, mgr string }

func (a answers) MonCommand(command []byte) ([]byte, string, error) {
	if strings.Contains(string(command), "fs dump") {
		return []byte(a.dump), "", nil
	}
	return []byte(a.monitors), "", nil
}

func (a answers) MgrCommand([][]byte) ([]byte, string, error) { return []byte(a.mgr), "", nil }

// noAnswers are what no command answers.
var noAnswers = []string{"", "null", "{}", "[]", "[null]", "[{}]", "[[]]", `""`, "0", "{", "\x00", `{"":`, "[{},{}]", "\xff", strings.Repeat("[", 11000), "Error EINVAL: no"}

// FuzzEntity also holds that no message quotes the answer, which has the key.
func FuzzEntity(f *testing.F) {
	const right = `[{"entity":"client.u","key":"AQ==","caps":{"mon":"allow r","mds":"allow rw path=/a"}}]`
	for _, answer := range append(noAnswers, right, strings.Replace(right, "client.u", "client.v", 1), strings.Replace(right, "AQ==", "", 1),
		strings.Replace(right, `"allow r"`, "7", 1), strings.Replace(right, `{"mon"`, `{"mon":"allow *","mon"`, 1), right[:len(right)-1]+","+right[1:], right+right) {
		f.Add(answer, "u")
		f.Add(answer, "")
		f.Add(answer, "v")
	}
	f.Fuzz(func(t *testing.T, answer, id string) {
		found, err := readEntity([]byte(answer), id)
		if err == nil && (found.Key == "" || found.Name != "client."+id) {
			t.Errorf("%q is taken for the user %q: %+v", answer, id, found)
		}
		if _, other := readEntity(nil, id); err != nil && (err.Error() != other.Error() || found.Key != "" || found.Caps != nil) {
			t.Errorf("%+v, %v", found, err)
		}
	})
}

func FuzzFileSystems(f *testing.F) {
	const list = `[{"name":"a","metadata_pool":"a.meta","metadata_pool_id":1,"data_pool_ids":[2],"data_pools":["a.data"]},{"name":"b","data_pools":[]}]`
	const dump = `{"epoch":7,"default_fscid":1,"filesystems":[{"mdsmap":{"fs_name":"a"},"id":1},{"mdsmap":{"fs_name":"b"},"id":2}]}`
	for _, answer := range noAnswers {
		f.Add(answer, dump)
		f.Add(list, answer)
	}
	f.Add(list, dump)
	f.Add(`[{"name":""}]`, `{"default_fscid":-1}`)
	f.Add(`[{"name":7}]`, dump)
	f.Add(list, strings.Replace(dump, `"default_fscid":1`, `"default_fscid":9`, 1))
	f.Add(list, strings.Replace(dump, `"default_fscid":1`, `"default_fscid":1e3`, 1))
	f.Fuzz(func(t *testing.T, list, dump string) {
		fileSystems, err := listFileSystems(answers{monitors: list, dump: dump})
		if err != nil && fileSystems != nil {
			t.Errorf("%v, and %+v", err, fileSystems)
		}
		byDefault := ""
		for _, each := range fileSystems {
			if each.Name == "" || each.Default && byDefault != "" && byDefault != each.Name {
				t.Errorf("%q, %q: %+v", list, dump, fileSystems)
			}
			if each.Default {
				byDefault = each.Name
			}
		}
	})
}

func FuzzSubvolumeInfo(f *testing.F) {
	const right = `{"atime":"2024-01-02 03:04:05","bytes_pcent":"0.00","bytes_quota":1073741824,"bytes_used":0,"created_at":"2024-01-02 03:04:05",` +
		`"data_pool":"a.data","features":["snapshot-clone"],"gid":0,"mode":16895,"path":"/volumes/g/x/uuid","pool_namespace":"","state":"complete","type":"subvolume","uid":0}`
	for _, answer := range noAnswers {
		f.Add(answer)
	}
	for _, quota := range []string{`"infinite"`, "0", "-1", "9007199254740993", "9223372036854775807", "9223372036854775808", "18446744073709551616", "1e400", "1.5", "1e3", "null", `"1"`, "[]"} {
		f.Add(strings.Replace(right, "1073741824", quota, 1))
		f.Add(strings.Replace(right, `"bytes_used":0`, `"bytes_used":`+quota, 1))
	}
	for _, home := range []string{"", "/", "/volumes/g", "/volumes/g/", "/volumes/g/x", "/volumes/g/../h/x", "/volumes/h/x", "volumes/g/x", "/volumes/g//x", "/volumes/g/x, allow *"} {
		f.Add(strings.Replace(right, "/volumes/g/x/uuid", home, 1))
	}
	f.Add(strings.Replace(right, "03:04:05", "soon", 1))
	f.Add(strings.Replace(right, `"bytes_quota"`, `"BYTES_QUOTA":7,"bytes_quota"`, 1))
	f.Fuzz(func(t *testing.T, answer string) {
		volume := cephclient.Volume{Kind: cephclient.CephFS, Container: "a", Group: "g", Name: "x"}
		info, err := subvolumeInfo(answers{mgr: answer}, volume)
		if err != nil {
			return
		}
		if info.quotaBytes < 0 || int64(info.BytesUsed) < 0 || info.quotaBytes != 0 && !strings.Contains(answer, strconv.FormatInt(info.quotaBytes, 10)) {
			t.Errorf("%q has a quota of %d, and %d are used", answer, info.quotaBytes, info.BytesUsed)
		}
		if info.wantPath(volume) == nil && (path.Clean(info.Path) != info.Path || !strings.HasPrefix(info.Path, "/volumes/g/")) {
			t.Errorf("%q is not in the group", info.Path)
		}
	})
}

func FuzzParseSeconds(f *testing.F) {
	for _, text := range []string{"", ".", "1700000000.000000001", "1700000000.999999999", "1700000000.09123456789", "1700000000.0912", "1700000000", "0.0", "4294967296.0", "-1.5", "1.-5", "+1.0", "9223372036854775807.0", " 1.0", "1e9.0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := parseSeconds(text)
		if _, err := json.Marshal(got); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		whole, _, _ := strings.Cut(text, ".")
		if seconds, err := strconv.ParseInt(whole, 10, 64); !got.IsZero() && (err != nil || got.Unix() != seconds || got.After(time.Unix(1<<32, 0))) {
			t.Errorf("%q is taken for %v", text, got)
		}
	})
}

// FuzzPlaceOf holds that no names lead out of a volume's root.
func FuzzPlaceOf(f *testing.F) {
	for _, name := range []string{"x", "", ".", "..", "../x", "a/../x", "a/x", "/x", "x/", ".deleting", ".deleting/x", "_nogroup", "x\x00", "\xff"} {
		for _, home := range []string{"", "/volumes/g/x/uuid", "/volumes/g/x", "/volumes/../etc/x", "/volumes/g/../h", "/" + name, "/volumes/" + name + "/x"} {
			f.Add("", "g", name, home)
			f.Add("", name, "x", home)
			f.Add("", "../etc", name, "/etc/x")
			f.Add("/data", name, "x", home)
			f.Add("/data/"+name, "", name, home)
			f.Add(name, name, name, home)
		}
	}
	f.Fuzz(func(t *testing.T, root, group, name, home string) {
		volume := cephclient.Volume{Kind: cephclient.CephFS, Container: "a", Root: root, Group: group, Name: name, Path: home}
		at, ok := placeOf(volume)
		if !ok {
			return
		}
		if !path.IsAbs(at.root) || path.Clean(at.root) != at.root || !fs.ValidPath(at.directory) || at.directory == "." || at.path() != path.Clean(at.path()) {
			t.Errorf("%+v is at %+v", volume, at)
		}
		first, _, _ := strings.Cut(at.directory, "/")
		switch above, _ := path.Split(at.root); {
		case volume.IsDirectory():
			if at.root != path.Clean(root) || at.path() != volume.Home() || !at.ours || first == ".deleting" {
				t.Errorf("the directory %+v is at %+v", volume, at)
			}
		case above != "/volumes/" || at.path() != home || at.ours:
			t.Errorf("the subvolume %+v is at %+v", volume, at)
		}
		for _, parent := range at.parents() {
			if !strings.HasPrefix(at.directory, parent+"/") {
				t.Errorf("%q is not above %q", parent, at.directory)
			}
		}
	})
}
