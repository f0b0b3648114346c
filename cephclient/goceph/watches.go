package goceph

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"
)

const (
	// watcherTimeout is how long the clients that watch an image may take to say so.
	watcherTimeout = time.Second
	// objectsInMemory are those that an OSD has in memory of each placement group, at its
	// default osd_pg_object_context_cache_count.
	objectsInMemory = 64
	// mostInMemory takes some seconds: each costs the OSDs a note in their log.
	mostInMemory = 4 * 4 * objectsInMemory
)

var errStillForgotten = errors.New("the OSD keeps a watch of which it knows nothing; restart the image's primary OSD, or `ceph osd down` it")

// timeForgottenWatches makes watches of an image end that never would, and says whether there
// are such. An OSD to which a watch comes in the moment in which the client dies may write it
// down and never look whether it is over (16.2, at every third client that was killed within
// 1 ms of asking for it), until it reads the image's header anew: it then takes it for over
// after 30 s, as any whose client does not come back. As long as the image has other watches
// the OSD does not read it anew, so this is to be repeated. Blocklisting the client does not
// help.
func timeForgottenWatches(ioctx *rados.IOContext, id string) (forgotten bool, err error) {
	image, err := rbd.OpenImageByIdReadOnly(ioctx, id, rbd.NoSnapshot)
	if err != nil {
		return false, err
	}
	forgotten, err = endForgotten(ioctx, headerPrefix+id, image)
	return forgotten, errors.Join(err, image.Close())
}

// endForgotten pushes the header out among ever more objects, since an OSD may have been told
// to keep more of them in memory.
func endForgotten(ioctx *rados.IOContext, header string, image *rbd.Image) (forgotten bool, err error) {
	for objects := objectsInMemory; ; objects *= 4 {
		left, err := anyForgotten(ioctx, header, image)
		if err != nil || !left {
			return forgotten, err
		}
		forgotten = true
		if objects > mostInMemory {
			return true, errStillForgotten
		}
		if err := pushOut(ioctx, header, objects); err != nil {
			return true, err
		}
		if _, err := ioctx.Stat(header); err != nil {
			return true, err
		}
	}
}

// anyForgotten asks all who watch an image whether they are there. A watch of which the OSD
// knows nothing is neither among the answers nor among those that it waited for, nor does it
// go meanwhile.
func anyForgotten(ioctx *rados.IOContext, header string, image *rbd.Image) (bool, error) {
	watchers, err := image.ListWatchers()
	if err != nil || len(watchers) == 0 {
		return false, err
	}
	answers, silent, err := ioctx.NotifyWithTimeout(header, nil, watcherTimeout)
	if len(answers)+len(silent) == 0 && err != nil {
		return false, err
	}
	type watch struct{ client, cookie uint64 }
	known := map[watch]bool{}
	for _, w := range answers {
		known[watch{uint64(w.NotifierID), uint64(w.WatcherID)}] = true
	}
	for _, w := range silent {
		known[watch{uint64(w.NotifierID), uint64(w.WatcherID)}] = true
	}
	now, err := image.ListWatchers()
	return slices.ContainsFunc(now, func(w rbd.ImageWatcher) bool {
		return !known[watch{uint64(w.Id), w.Cookie}] && slices.Contains(watchers, w)
	}), err
}

// pushOut has the OSD put other objects of the same placement group into the place in
// memory that an unused object has. It deletes some that do not exist, and can't: no other
// client's objects have this locator.
func pushOut(ioctx *rados.IOContext, object string, objects int) error {
	ioctx.SetLocator(object)
	defer ioctx.SetLocator("")
	for i := range objects {
		if err := unlessAbsent(ioctx.Delete(fmt.Sprintf("absent.%d", i))); err != nil {
			return err
		}
	}
	return nil
}
