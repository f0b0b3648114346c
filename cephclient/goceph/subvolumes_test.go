package goceph

import (
	"errors"
	"testing"

	"ceph.example/ceph-provisioner/cephclient"
)

// What can't be done past the mgr, the mgr is asked for.
func TestPastTheManager(t *testing.T) {
	subvolume := cephclient.Volume{Kind: cephclient.CephFS, Container: "fs", Group: "g", Name: "x", Path: "/volumes/g/x/data"}
	for name, c := range map[string]struct {
		volume   cephclient.Volume
		answers  error
		indirect bool
		asked    [2]int // in the first and the second attempt
	}{
		"it works":              {subvolume, nil, false, [2]int{1, 1}},
		"no caps":               {subvolume, cephclient.ErrDenied, true, [2]int{1, 0}},
		"releases differ":       {subvolume, cephclient.ErrUnsupported, true, [2]int{1, 1}},
		"nobody answers":        {subvolume, cephclient.ErrTimeout, false, [2]int{1, 1}},
		"the path is not known": {cephclient.Volume{Kind: cephclient.CephFS, Container: "fs", Group: "g", Name: "x"}, nil, true, [2]int{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewPool(Options{}).session(cephclient.Cluster{Monitors: []string{"192.0.2.1"}}, cephclient.Credentials{ID: "u"})
			for attempt := range c.asked {
				asked := 0
				_, err := direct(s, c.volume, func(directories) (none, error) {
					asked++
					return none{}, c.answers
				})
				if errors.Is(err, errIndirect) != c.indirect || !c.indirect && !errors.Is(err, c.answers) || asked != c.asked[attempt] {
					t.Errorf("attempt %d: asked %d times: %v", attempt, asked, err)
				}
			}
		})
	}
}
