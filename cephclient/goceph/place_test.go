package goceph

import (
	"slices"
	"testing"

	"ceph.example/ceph-provisioner/cephclient"
)

func TestPlaceOf(t *testing.T) {
	directory := func(root, group, name string) cephclient.Volume {
		return cephclient.Volume{Kind: cephclient.CephFS, Container: "fs", Root: root, Group: group, Name: name}
	}
	subvolume := func(group, path string) cephclient.Volume {
		return cephclient.Volume{Kind: cephclient.CephFS, Container: "fs", Group: group, Name: "x", Path: path}
	}
	for name, c := range map[string]struct {
		volume cephclient.Volume
		want   place
		refuse bool
	}{
		"a directory":                       {volume: directory("/k", "", "x"), want: place{"fs", "/k", "x", true}},
		"a directory in a group":            {volume: directory("/k/l/", "ns/team", "x"), want: place{"fs", "/k/l", "ns/team/x", true}},
		"a directory of the whole tree":     {volume: directory("/", "ns", "x"), want: place{"fs", "/", "ns/x", true}},
		"a root that is not absolute":       {volume: directory("k", "", "x"), refuse: true},
		"a directory without a name":        {volume: directory("/k", "ns", ""), refuse: true},
		"a name that leads upwards":         {volume: directory("/k", "", "../y"), refuse: true},
		"a group that leads upwards":        {volume: directory("/k", "ns/../..", "x"), refuse: true},
		"a group from the top":              {volume: directory("/k", "/etc", "x"), refuse: true},
		"the root itself":                   {volume: directory("/k", "", "."), refuse: true},
		"where the deleted ones are":        {volume: directory("/k", "", ".deleting"), refuse: true},
		"below where the deleted ones are":  {volume: directory("/k", ".deleting", "x"), refuse: true},
		"a subvolume":                       {volume: subvolume("g", "/volumes/g/x/uuid"), want: place{"fs", "/volumes/g", "x/uuid", false}},
		"a subvolume of the first version":  {volume: subvolume("g", "/volumes/g/x"), want: place{"fs", "/volumes/g", "x", false}},
		"a subvolume without a group":       {volume: subvolume("", "/volumes/_nogroup/x/uuid"), want: place{"fs", "/volumes/_nogroup", "x/uuid", false}},
		"a subvolume whose path is unknown": {volume: subvolume("g", ""), refuse: true},
		"a path of another group":           {volume: subvolume("g", "/volumes/g2/x/uuid"), refuse: true},
		"a path that leads out":             {volume: subvolume("g", "/volumes/g/../g2/x"), refuse: true},
		"a subvolume of some file system":   {volume: cephclient.Volume{Group: "g", Path: "/volumes/g/x"}, refuse: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := placeOf(c.volume)
			if ok == c.refuse || ok && got != c.want {
				t.Errorf("got %+v, %v; want %+v", got, ok, c.want)
			}
		})
	}
}

func TestParents(t *testing.T) {
	for directory, want := range map[string][]string{
		"x":     nil,
		"a/x":   {"a"},
		"a/b/x": {"a", "a/b"},
	} {
		if got := (place{directory: directory}).parents(); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", directory, got, want)
		}
	}
}
