package fake

import (
	"context"
	"sync"

	"ceph.example/ceph-provisioner/cephclient"
)

// Users keeps cephx users in memory, each with the path that it reaches. The zero
// value is ready; it is safe for concurrent use.
type Users struct {
	// Fault, if set, is asked before each call of a method and fails it with what it
	// returns.
	Fault func(method, id string) error
	// Key, if set, is that of all users.
	Key cephclient.Secret

	mu    sync.Mutex
	paths map[string]string
	made  int
}

var _ cephclient.Users = (*Users)(nil)

// Paths returns the path that each user reaches.
func (u *Users) Paths() map[string]string {
	u.mu.Lock()
	defer u.mu.Unlock()
	paths := map[string]string{}
	for id, path := range u.paths {
		paths[id] = path
	}
	return paths
}

// Find implements [cephclient.Users].
func (u *Users) Find(_ context.Context, id string) (bool, error) {
	if err := u.fault("Find", id); err != nil {
		return false, err
	}
	_, found := u.Paths()[id]
	return found, nil
}

// Path implements [cephclient.Users].
func (u *Users) Path(_ context.Context, id string) (string, error) {
	if err := u.fault("Path", id); err != nil {
		return "", err
	}
	path, found := u.Paths()[id]
	if !found {
		return "", cephclient.NewError(cephclient.ErrNotFound, "look for client."+id, "", false)
	}
	return path, nil
}

// Ensure implements [cephclient.Users]. A key tells by a number how many users have
// been made, unless Key is set.
func (u *Users) Ensure(_ context.Context, id string, info cephclient.Info) (cephclient.Secret, error) {
	if err := u.fault("Ensure", id); err != nil {
		return cephclient.Secret{}, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	switch path, found := u.paths[id]; {
	case found && path != info.Volume.Path:
		return cephclient.Secret{}, cephclient.NewError(cephclient.ErrExists, "make client."+id, "it reaches "+path, false)
	case !found:
		if u.paths == nil {
			u.paths = map[string]string{}
		}
		u.made++
		u.paths[id] = info.Volume.Path
	}
	if u.Key != (cephclient.Secret{}) {
		return u.Key, nil
	}
	return cephclient.NewSecret(id + " " + string(rune('0'+u.made))), nil
}

// Delete implements [cephclient.Users].
func (u *Users) Delete(_ context.Context, id, path string) error {
	if err := u.fault("Delete", id); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if present, found := u.paths[id]; found && present != path {
		return cephclient.NewError(cephclient.ErrExists, "remove client."+id, "it reaches "+present, false)
	}
	delete(u.paths, id)
	return nil
}

func (u *Users) fault(method, id string) error {
	if u.Fault == nil {
		return nil
	}
	return u.Fault(method, id)
}
