package localcluster

import (
	"context"
	"crypto/rand"
	"fmt"
	"os/exec"
	"strings"
)

// identity is a cephx user with its capabilities, in the order of a keyring.
type identity struct {
	name string
	key  string
	caps [][2]string
}

// newKeys has Ceph make keys for entities: which cipher they are of depends on its release.
func newKeys(ctx context.Context, env []string, entities ...string) (map[string]string, error) {
	keys := map[string]string{}
	for _, entity := range entities {
		cmd := exec.CommandContext(ctx, "ceph-authtool", "--gen-print-key")
		cmd.Env = env
		key, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("make a key for %s: %w", entity, err)
		}
		keys[entity] = strings.TrimSpace(string(key))
	}
	return keys, nil
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
