package goceph

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

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

// An MDS of Ceph 17.2 or later does not answer an identity without mds caps. Others must not
// take it for one that hangs.
func TestAnMDSThatNeverAnsweredAnIdentity(t *testing.T) {
	subvolume := cephclient.Volume{Kind: cephclient.CephFS, Container: "fs", Group: "g", Name: "x", Path: "/volumes/g/x/data"}
	directory := cephclient.Volume{Kind: cephclient.CephFS, Container: "fs", Root: "/volumes", Group: "g", Name: "x"}
	s := NewPool(Options{Timeout: time.Second, CallsPerService: 4}).session(deaf(t), cephclient.Credentials{ID: "kube", Key: key})
	at, _ := placeOf(subvolume)
	ask := func(volume cephclient.Volume) error {
		_, err := direct(s, volume, func(d directories) (cephclient.CephFSInfo, error) { return d.Quota(context.Background(), volume) })
		return err
	}
	for range 2 * restAfter {
		if err := ask(subvolume); !errors.Is(err, errIndirect) {
			t.Errorf("a subvolume, which the mgr reaches too: %v", err)
		}
		s.forgetDenied(s.mountKey(at))
	}
	if s.limits(metadataOf(at)).rest() {
		t.Error("the MDS is left alone")
	}
	if err := ask(directory); !errors.Is(err, cephclient.ErrTimeout) || !strings.Contains(err.Error(), "client.kube has mds caps") {
		t.Errorf("a directory: %v", err)
	}
	s.noteAllowed(s.mountKey(at))
	if err := ask(subvolume); !errors.Is(err, cephclient.ErrTimeout) || strings.Contains(err.Error(), "mds caps") {
		t.Errorf("a subvolume, whose identity has mounted before: %v", err)
	}
}
