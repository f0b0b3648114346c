package goceph

import (
	"context"
	"errors"
	"time"

	"github.com/ceph/go-ceph/cephfs"

	"ceph.example/ceph-provisioner/cephclient"
)

const (
	// journalAfter is how long the mgr may take for one removal, which takes it some 10 ms,
	// until the MDS is to write its journal. Each time it may take twice as long.
	journalAfter = 50 * time.Millisecond
	// journalAttribute is there for as long as that takes.
	journalAttribute = "user.ceph.example/journal"
)

// writeJournal has the MDS write its journal for as long as a call of the mgr goes on, if
// the volume can be reached past the mgr. An MDS answers most changes before it writes
// them, keeps others from what they have changed until then, and writes when it is asked to,
// or after 5 s (mds_tick_interval): seen, 16.2, in removals that took 5, 10, and 15 s while
// the mgr purged what had been removed before. A client that waits for a change of its own
// asks for it.
func (s *session) writeJournal(volume cephclient.Volume) (stop func()) {
	at, known := placeOf(volume)
	// The MDS of a full cluster denies this, and nothing else that an identity may do.
	denial := s.mountKey(at) + " journal"
	if !known || s.isDenied(s.mountKey(at)) || s.isDenied(denial) {
		return func() {}
	}
	stopped := make(chan struct{})
	go func() {
		for pause := journalAfter; ; pause *= 2 {
			select {
			case <-stopped:
				return
			case <-time.After(pause):
			}
			err := directories{s}.writeJournal(volume)
			if errors.Is(err, cephclient.ErrDenied) {
				s.noteDenied(denial)
			}
			if err != nil {
				return
			}
		}
	}()
	return func() { close(stopped) }
}

// writeJournal needs a change that the MDS answers early. It leaves nothing.
func (d directories) writeJournal(volume cephclient.Volume) error {
	ctx, cancel := context.WithTimeout(context.Background(), d.session.pool.options.Timeout)
	defer cancel()
	op := operation{name: "have the journal written for " + volume.String(), asks: metadata}
	_, err := callMount(ctx, d.session, op, volume, func(mount *cephfs.MountInfo, _ place) (none, error) {
		if err := mount.LsetXattr(top, journalAttribute, []byte("1"), cephfs.XattrDefault); err != nil {
			return none{}, err
		}
		_ = mount.LremoveXattr(top, journalAttribute) // unless another call has
		return none{}, mount.SyncFs()
	})
	return err
}
