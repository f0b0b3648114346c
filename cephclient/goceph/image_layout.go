package goceph

import (
	"encoding/binary"
	"errors"

	"github.com/ceph/go-ceph/rados"
)

// What librbd keeps of an image of format 2, as it names it: RBD_ID_PREFIX,
// RBD_DIRECTORY, RBD_DIR_NAME_KEY_PREFIX, RBD_DIR_ID_KEY_PREFIX, RBD_HEADER_PREFIX; and
// cls_rbd the header's keys. The ID leads from a name to the header, which creation makes
// last.
const (
	idPrefix       = "rbd_id."
	imageDirectory = "rbd_directory"
	nameKey        = "name_"
	idKey          = "id_"
	headerPrefix   = "rbd_header."
	metadataPrefix = "metadata_"
	longestID      = 4096 // bytes; librbd's have some 20
)

// idInObject is empty if there is none.
func idInObject(ioctx *rados.IOContext, name string) (id string, err error) {
	content := make([]byte, longestID)
	n, err := ioctx.Read(idPrefix+name, content, 0)
	if err != nil {
		return "", unlessAbsent(err)
	}
	return decodeString(content[:n]), nil
}

// idInDirectory is empty if there is none.
func idInDirectory(ioctx *rados.IOContext, name string) (id string, err error) {
	found, err := ioctx.GetOmapValues(imageDirectory, "", nameKey+name, 1) // the first with that prefix is the shortest
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

// setImageMetadata is what librbd does, but for opening the image and for telling those who have
// it open: it is for an image that nobody else knows of yet.
func setImageMetadata(ioctx *rados.IOContext, id, key, value string) error {
	write := rados.CreateWriteOp()
	defer write.Release()
	write.AssertExists()
	write.SetOmap(map[string][]byte{metadataPrefix + key: []byte(value)})
	err := write.Operate(ioctx, headerPrefix+id, rados.OperationNoFlag)
	if failed := (rados.OperationError{}); errors.As(err, &failed) && failed.OpError != nil {
		return failed.OpError
	}
	return err
}
