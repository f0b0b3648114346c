package goceph

import (
	"encoding/binary"
	"errors"

	"github.com/ceph/go-ceph/rados"
)

// What leads from an image's name to its header, as librbd names it (RBD_ID_PREFIX,
// RBD_DIRECTORY, RBD_DIR_NAME_KEY_PREFIX, RBD_DIR_ID_KEY_PREFIX). Creation makes the
// header last.
const (
	idPrefix     = "rbd_id."
	directory    = "rbd_directory"
	nameKey      = "name_"
	idKey        = "id_"
	longestValue = 4096 // bytes; librbd's IDs have some 20
)

var errHasHeader = errors.New("the image has a header, and may have data")

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
		if err := ioctx.RmOmapKeys(directory, keys); err != nil {
			return err
		}
	}
	return unlessAbsent(ioctx.Delete(idPrefix + name))
}

// idInObject is empty if there is none.
func idInObject(ioctx *rados.IOContext, name string) (id string, err error) {
	content := make([]byte, longestValue)
	n, err := ioctx.Read(idPrefix+name, content, 0)
	if err != nil {
		return "", unlessAbsent(err)
	}
	return decodeString(content[:n]), nil
}

// idInDirectory is empty if there is none.
func idInDirectory(ioctx *rados.IOContext, name string) (id string, err error) {
	found, err := ioctx.GetOmapValues(directory, "", nameKey+name, 1) // the first with that prefix is the shortest
	if err != nil {
		return "", unlessAbsent(err)
	}
	return decodeString(found[nameKey+name]), nil
}

// decodeString reads Ceph's encoding of a string: its length in 4 bytes, lowest first. What
// is not one is read as empty.
func decodeString(encoded []byte) string {
	if len(encoded) < 4 || uint64(len(encoded)) != 4+uint64(binary.LittleEndian.Uint32(encoded)) {
		return ""
	}
	return string(encoded[4:])
}
