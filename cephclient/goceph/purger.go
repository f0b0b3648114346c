package goceph

import (
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/ceph/go-ceph/cephfs"
	"golang.org/x/sync/errgroup"
)

const (
	// purgeTogether is how many files are removed at once.
	purgeTogether = 4
	// purgeBatch bounds how many names are held in memory.
	purgeBatch = 1000
)

// purger empties a mount. Whoever has the directories mounted may change them
// meanwhile, put symbolic links in their place, and libcephfs (16.2) follows
// "..", in links too, out of a mount. So it uses names of one part only, which
// no call follows, in a working directory that it has made sure of by its inode
// number; and directories are moved to the top of the mount before they are
// entered. That also makes trees of any depth flat.
type purger struct {
	mount    *cephfs.MountInfo
	stop     *atomic.Bool
	progress *atomic.Int64 // how many entries were dealt with
}

const top = "/"

var (
	errEnough   = errors.New("enough for one batch")
	errStopped  = errors.New("the purge is stopped")
	errReplaced = errors.New("something else has taken its place")
	errStalled  = errors.New("nothing was removed for a while; it is tried again with another mount")
)

// purge removes batch after batch until there is nothing, or nothing that can be
// removed.
func (p purger) purge() error {
	for {
		batch, err := p.list()
		if err != nil || len(batch) == 0 {
			return err
		}
		removed := 0
		for _, entry := range batch {
			if p.stop.Load() {
				return nil
			}
			if failure := p.remove(entry); failure != nil {
				err = fmt.Errorf("%s: %w", entry.Name(), failure)
				continue
			}
			removed++
		}
		if removed == 0 && !p.stop.Load() {
			return err
		}
	}
}

func (p purger) list() (batch []*cephfs.DirEntry, err error) {
	err = eachEntry(p.mount, top, func(entry *cephfs.DirEntry) error {
		if len(batch) == purgeBatch {
			return errEnough
		}
		batch = append(batch, entry)
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return batch, err
}

// remove removes an entry of the top.
func (p purger) remove(entry *cephfs.DirEntry) error {
	defer p.progress.Add(1)
	if entry.DType() != cephfs.DTypeDir {
		return unlessAbsent(p.mount.Unlink(top + entry.Name()))
	}
	err := p.empty(entry)
	if err := p.mount.ChangeDir(top); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	return unlessAbsent(p.mount.RemoveDir(top + entry.Name()))
}

// empty unlinks the files of a directory and moves its directories to the top.
func (p purger) empty(entry *cephfs.DirEntry) error {
	if err := p.mount.ChangeDir(top + entry.Name()); err != nil {
		return err
	}
	here, err := p.mount.Statx(".", cephfs.StatxIno, 0)
	if err != nil {
		return err
	}
	if here.Inode != entry.Inode() {
		return errReplaced
	}
	var workers errgroup.Group
	workers.SetLimit(purgeTogether)
	err = eachEntry(p.mount, ".", func(entry *cephfs.DirEntry) error {
		if p.stop.Load() {
			return errStopped
		}
		workers.Go(func() error { return unlessAbsent(p.clear(entry)) })
		return nil
	})
	if failure := workers.Wait(); failure != nil {
		return failure
	}
	return err
}

// clear takes an entry out of the working directory.
func (p purger) clear(entry *cephfs.DirEntry) error {
	defer p.progress.Add(1)
	if entry.DType() != cephfs.DTypeDir {
		return p.mount.Unlink(entry.Name())
	}
	return p.mount.Rename(entry.Name(), top+strconv.FormatUint(uint64(entry.Inode()), 16))
}
