package goceph

import (
	"errors"

	"github.com/ceph/go-ceph/rados"
)

var errHasHeader = errors.New("the image has a header, and may have data; `rbd trash mv` ends a removal that was cut short")

// discard removes what a creation that was cut short has left of an image. librbd's own
// removal would do so by way of the trash; cut short as well, it leaves an entry that no
// later removal takes away when an image of that name has been made meanwhile. An image
// with a header is left as it is, with errHasHeader.
func discard(ioctx *rados.IOContext, name string) error {
	var keys []string
	for _, find := range []func(*rados.IOContext, string) (string, error){idInObject, idInDirectory} {
		id, err := find(ioctx, name)
		if err != nil {
			return err
		}
		if id == "" {
			continue
		}
		if _, err := ioctx.Stat(headerPrefix + id); err == nil {
			return errHasHeader
		} else if err := unlessAbsent(err); err != nil {
			return err
		}
		keys = append(keys, nameKey+name, idKey+id)
	}
	if len(keys) > 0 {
		if err := ioctx.RmOmapKeys(imageDirectory, keys); err != nil {
			return err
		}
	}
	return unlessAbsent(ioctx.Delete(idPrefix + name))
}
