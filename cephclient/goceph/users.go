package goceph

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/ceph/go-ceph/rados"

	"ceph.example/ceph-provisioner/cephclient"
)

// users implements [cephclient.UserStore] with commands to the monitors. The mgr's
// `fs subvolume authorize` is not used: it crashes in a daemonized mgr of 16.2.
type users struct{ session *session }

// entity is what the monitors tell of a user. It holds the key, so whatever is
// printed of a failure to read it must not quote it.
type entity struct {
	Name string          `json:"entity"`
	Key  string          `json:"key"`
	Caps cephclient.Caps `json:"caps"`
}

func readEntity(answer []byte, id string) (entity, error) {
	var found []entity
	err := json.Unmarshal(answer, &found)
	if err != nil || len(found) != 1 || found[0].Name != user(id).String() || found[0].Key == "" {
		return entity{}, errors.New("the monitors' answer can't be read")
	}
	return found[0], nil
}

func readNothing([]byte, string) (entity, error) { return entity{}, nil }

// GetOrCreate is similar to: ceph auth get-or-create.
func (u users) GetOrCreate(ctx context.Context, id string, caps cephclient.Caps) (cephclient.Secret, error) {
	var list []string
	for _, daemon := range slices.Sorted(maps.Keys(caps)) {
		list = append(list, daemon, caps[daemon])
	}
	op := change("make", user(id), monitor)
	found, err := u.ask(ctx, op, "auth get-or-create", id, list, readEntity)
	return cephclient.NewSecret(found.Key), err
}

// Caps is similar to: ceph auth get.
func (u users) Caps(ctx context.Context, id string) (cephclient.Caps, error) {
	op := operation{name: "look for " + user(id).String(), asks: monitor}
	found, err := u.ask(ctx, op, "auth get", id, nil, readEntity)
	return found.Caps, err
}

// Remove is similar to: ceph auth rm, which succeeds also where there is no such user.
func (u users) Remove(ctx context.Context, id string) error {
	op := change("remove", user(id), monitor)
	_, err := u.ask(ctx, op, "auth rm", id, nil, readNothing)
	return err
}

// user names a user in messages.
type user string

func (u user) String() string { return "client." + string(u) }

func (u users) ask(
	ctx context.Context, op operation, prefix, id string, caps []string, read func(answer []byte, id string) (entity, error),
) (entity, error) {
	op.needs = `mon 'allow command "` + prefix + `"'`
	return call(ctx, u.session, op, func(conn *rados.Conn) (entity, error) {
		arguments := map[string]any{"prefix": prefix, "entity": user(id).String(), "format": "json"}
		if caps != nil {
			arguments["caps"] = caps
		}
		command, err := json.Marshal(arguments)
		if err != nil {
			return entity{}, err
		}
		answer, _, err := conn.MonCommand(command)
		if err != nil {
			return entity{}, err
		}
		return read(answer, id)
	})
}
