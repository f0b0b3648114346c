package localcluster

import (
	"fmt"
	"os"
	"path/filepath"
)

const (
	// osdSize is sparse: only what tests write takes space.
	osdSize    = 20 << 30
	placements = 8 // placement groups a pool

	rbdPool      = "rbd"
	rbdDataPool  = "rbd-data"
	fileSystem   = "cephfs"
	metadataPool = "cephfs.cephfs.meta"
	dataPool     = "cephfs.cephfs.data"
)

// cephConf is for daemons and clients alike. What is not about place, size or
// speed is as in production: cephx, both messenger versions, secure global ids.
const cephConf = `[global]
fsid = %[1]s
mon host = [v2:%[2]s:3300,v1:%[2]s:6789]
mon initial members = a
public addr = %[2]s
cluster addr = %[2]s
ms bind ipv6 = false
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = %[3]s/keyring
run dir = %[3]s/run
log file = %[3]s/log/$name.log
crash dir = %[3]s/run
err to stderr = true
debug rocksdb = 1/5

osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = %[4]d
osd pool default pgp num = %[4]d
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0

[mon]
mon data = %[3]s/mon
mon allow pool size one = true
mon allow pool delete = true
mon max pg per osd = 2000
mon warn on pool no redundancy = false
# The host's disk is not the cluster's business.
mon data avail warn = 1
mon data avail crit = 0
auth allow insecure global id reclaim = false
# Quick to notice and decide, alone as it is.
mon tick interval = 1
mon cluster log file = %[3]s/log/cluster.log
# Beyond the modules that cannot be turned off, one: some listen on all addresses,
# and an empty list is taken for none given.
mgr initial modules = iostat

[mgr]
mgr data = %[3]s/mgr
keyring = %[3]s/mgr/keyring
mgr stats period = 1
mgr tick period = 1

[osd]
osd data = %[3]s/osd
keyring = %[3]s/osd/keyring
osd objectstore = bluestore
bluestore block size = %[5]d
bluestore cache autotune = false
bluestore cache size = 67108864
osd memory target = 939524096
osd mon report interval = 1
osd class update on start = false
osd max pg log entries = 500
# A read lease lasts this many heartbeat graces of 20 s. Tests stop the OSD for up to
# a minute; with leases of 16 s, the default, placement groups then now and then
# stayed "laggy" for ever once it went on. A killed OSD is waited for as long.
osd pool default read lease ratio = 6

[mds]
mds data = %[3]s/mds
keyring = %[3]s/mds/keyring
mds cache memory limit = 268435456
mds beacon interval = 1
`

// cephFiles are the paths of one Ceph cluster.
type cephFiles struct{ dir string }

func (f cephFiles) conf() string                 { return filepath.Join(f.dir, "ceph.conf") }
func (f cephFiles) adminKeyring() string         { return filepath.Join(f.dir, "keyring") }
func (f cephFiles) initialKeyring() string       { return filepath.Join(f.dir, "initial-keyring") }
func (f cephFiles) monmap() string               { return filepath.Join(f.dir, "monmap") }
func (f cephFiles) logDir() string               { return filepath.Join(f.dir, "log") }
func (f cephFiles) daemonLog(kind string) string { return filepath.Join(f.logDir(), kind+".log") }

// entities have a key from the start.
var entities = []string{"client.admin", "mon.", "mgr.a", "osd.0", "mds.a"}

// write lays out configuration and keys. All entities are made here, so that
// the monitors know them from the start.
func (f cephFiles) write(fsid, ip string, keys map[string]string) error {
	for _, sub := range []string{"run", "log", "mon", "mgr", "osd", "mds"} {
		if err := os.MkdirAll(filepath.Join(f.dir, sub), 0o700); err != nil {
			return err
		}
	}
	admin := identity{"client.admin", keys["client.admin"], everything("mds", "mgr", "mon", "osd")}
	files := map[string]string{
		f.conf():         fmt.Sprintf(cephConf, fsid, ip, f.dir, placements, osdSize),
		f.adminKeyring(): admin.keyring(),
	}
	initial := identity{"mon.", keys["mon."], everything("mon")}.keyring() + admin.keyring()
	for kind, daemon := range cephDaemonIdentities(keys) {
		files[filepath.Join(f.dir, kind, "keyring")] = daemon.keyring()
		initial += daemon.keyring()
	}
	files[f.initialKeyring()] = initial
	for path, content := range files {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// cephDaemonIdentities have the capabilities that Ceph's own deployment gives.
func cephDaemonIdentities(keys map[string]string) map[string]identity {
	return map[string]identity{
		"mgr": {"mgr.a", keys["mgr.a"], [][2]string{
			{"mon", "allow profile mgr"}, {"osd", "allow *"}, {"mds", "allow *"}}},
		"osd": {"osd.0", keys["osd.0"], [][2]string{
			{"mon", "allow profile osd"}, {"mgr", "allow profile osd"}, {"osd", "allow *"}}},
		"mds": {"mds.a", keys["mds.a"], [][2]string{
			{"mon", "allow profile mds"}, {"mgr", "allow profile mds"}, {"osd", "allow rwx"}, {"mds", "allow *"}}},
	}
}
