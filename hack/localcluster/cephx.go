package localcluster

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// identity is a cephx user with its capabilities, in the order of a keyring.
type identity struct {
	name string
	key  string
	caps [][2]string
}

// newCephxKey makes a key as ceph-authtool does: type 1 (AES), the time of
// creation, and 16 random bytes after their count.
func newCephxKey(now time.Time) string {
	key := binary.LittleEndian.AppendUint16(nil, 1)
	key = binary.LittleEndian.AppendUint32(key, uint32(now.Unix()))
	key = binary.LittleEndian.AppendUint32(key, uint32(now.Nanosecond()))
	key = binary.LittleEndian.AppendUint16(key, 16)
	secret := make([]byte, 16)
	rand.Read(secret) // never fails
	return base64.StdEncoding.EncodeToString(append(key, secret...))
}

func newUUID() string {
	var u [16]byte
	rand.Read(u[:]) // never fails
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

func (i identity) keyring() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[%s]\n\tkey = %s\n", i.name, i.key)
	for _, c := range i.caps {
		fmt.Fprintf(&b, "\tcaps %s = %q\n", c[0], c[1])
	}
	return b.String()
}

func everything(services ...string) [][2]string {
	var caps [][2]string
	for _, service := range services {
		caps = append(caps, [2]string{service, "allow *"})
	}
	return caps
}
