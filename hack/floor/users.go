package main

import (
	"encoding/json"
	"strings"

	"github.com/ceph/go-ceph/rados"
)

// userOf names the cephx user of a volume as the controller does.
func userOf(volume string) string {
	return "kubernetes-dynamic-user-" + strings.TrimPrefix(volume, "kubernetes-dynamic-pvc-")
}

// userCaps are those that the controller gives, as `ceph auth` takes them.
func userCaps(path, fileSystem string) []string {
	return []string{
		"mds", "allow rw path=" + path,
		"mon", "allow r",
		"osd", "allow rw pool=cephfs." + fileSystem + ".data",
	}
}

func makeUser(conn *rados.Conn, volume, path, fileSystem string) error {
	return askMonitors(conn, map[string]any{
		"prefix": "auth get-or-create", "entity": "client." + userOf(volume), "caps": userCaps(path, fileSystem),
	})
}

func removeUser(conn *rados.Conn, volume string) error {
	return askMonitors(conn, map[string]any{"prefix": "auth rm", "entity": "client." + userOf(volume)})
}

func askMonitors(conn *rados.Conn, command map[string]any) error {
	text, err := json.Marshal(command)
	if err != nil {
		return err
	}
	_, _, err = conn.MonCommand(text)
	return err
}
