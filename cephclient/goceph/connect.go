package goceph

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/ceph/go-ceph/rados"

	"ceph.example/ceph-provisioner/cephclient"
)

// anyName is a name for the cluster. While it has none, options count only once librados is
// connected, and a key that it can't read stands on stderr, as a whole (seen in 16.2).
const anyName = "ceph"

// connect opens a connection. It returns after timeout at the latest, and so
// does every later call on the connection that waits for an OSD: librados waits
// for ever unless it is told otherwise. What it made of a connection that failed
// is freed with the object: Shutdown does nothing before Connect has succeeded.
func connect(cluster cephclient.Cluster, credentials cephclient.Credentials, timeout time.Duration) (*rados.Conn, error) {
	op := "connect to " + cluster.String() + " as client." + credentials.ID
	conn, err := rados.NewConnWithClusterAndUser(anyName, user(credentials.ID).String())
	if err != nil {
		return nil, typed(op, false, err)
	}
	for name, value := range configuration(cluster, credentials, timeout) {
		if err := conn.SetConfigOption(name, value); err != nil {
			// The value is left out: one of them is the key.
			return nil, cephclient.NewError(cephclient.ErrInvalid, op, "librados does not take the option "+name, false)
		}
	}
	if err := conn.Connect(); err != nil {
		return nil, refusedConnection(typed(op, false, err), credentials.Key.Cipher())
	}
	return conn, nil
}

// configuration is all that librados gets to know. Options set this way
// outrank the environment and the cluster's own configuration database.
//
// rados_mon_op_timeout stays unset: it also ends calls to the mgr, and librados
// (16.2 to at least 19.2) then leaves the call in its table with pointers to a
// stack that is gone. An answer that comes later crashes the process. Such calls
// are abandoned by their callers instead, and end when the mgr is back.
func configuration(cluster cephclient.Cluster, credentials cephclient.Credentials, timeout time.Duration) map[string]string {
	monitors := make([]string, len(cluster.Monitors))
	for i, monitor := range cluster.Monitors {
		monitors[i] = "v1:" + monitor // a bare address makes librados try msgr v2 first
	}
	seconds := strconv.Itoa(max(1, int(timeout.Seconds())))
	return map[string]string{
		"mon_host":             strings.Join(monitors, ","),
		"keyring":              "", // files would outrank the key
		"key":                  credentials.Key.Reveal(),
		"client_mount_timeout": seconds,
		"rados_osd_op_timeout": seconds,
		"log_to_stderr":        "false",
		"err_to_stderr":        "false",
		"log_file":             "",
		"admin_socket":         "",
	}
}

// doubts are of keys that are right, and refused all the same.
var doubts = map[cephclient.Cipher]string{
	cephclient.AES:     "; if both are right, see whether auth_allowed_ciphers in `ceph mon dump` leaves out this key's, which is aes",
	cephclient.AES256K: "; if both are right, take an image with Ceph 19.2.6, 20.2.4 or later: others can't read this key, which is of cipher aes256k",
}

// refusedConnection tells a key that the cluster does not take from caps that
// do not suffice: both are EACCES or EPERM, but only the first happens here.
func refusedConnection(err error, cipher cephclient.Cipher) error {
	var e *cephclient.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Cause {
	case cephclient.ErrDenied, cephclient.ErrNotFound, cephclient.ErrInvalid, cephclient.ErrUnsupported:
		e.Cause = cephclient.ErrUnauthorized
		e.Remedy = "compare the key in the secret with `ceph auth get-key` and the id with the StorageClass" + doubts[cipher]
	case cephclient.ErrTimeout:
		e.Cause = cephclient.ErrUnreachable
		e.Remedy = "check the monitors of the StorageClass (msgr v1 addresses) and the network to them"
	}
	return e
}
