package audit

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// together is how many volumes or users are looked at at once. The mgr, which answers
// for subvolumes, gains nothing from more.
const together = 8

// examine lists all places, and looks at what is in them.
func (a *Audit) examine(ctx context.Context, s *state) {
	for _, at := range a.ways.inOrder() {
		volumes, err := a.examinePlace(ctx, s, at)
		if err != nil {
			s.fail(at.site.cluster, at.site.place.String(), at.site.place.String(), err)
			continue
		}
		s.examined[at.site] = true
		for _, each := range volumes {
			s.found[keyOf(at.site.cluster, each.Volume)] = each
		}
	}
}

// examinePlace tries one identity after the other that may list the place. The reason
// why the first may not is the one to mend.
func (a *Audit) examinePlace(ctx context.Context, s *state, at *target) (volumes []*found, err error) {
	for _, by := range at.by {
		volumes, failure := a.examineAs(ctx, s, at.site, by)
		if failure == nil {
			return volumes, nil
		}
		if err == nil {
			err = failure
		}
		if !errors.Is(failure, cephclient.ErrDenied) {
			break
		}
	}
	return nil, err
}

func (a *Audit) examineAs(ctx context.Context, s *state, at site, by *connection) ([]*found, error) {
	listed, err := within(ctx, a.Timeout, func(ctx context.Context) ([]cephclient.Volume, error) {
		return by.inventory.List(ctx, at.place, isVolumeName)
	})
	if err != nil {
		return nil, err
	}
	all := make([]*found, len(listed))
	workers, ctx := errgroup.WithContext(ctx)
	workers.SetLimit(together)
	for i, volume := range listed {
		if _, known := s.found[keyOf(at.cluster, volume)]; known {
			continue
		}
		workers.Go(func() (err error) {
			all[i], err = a.look(ctx, at, by, volume)
			return err
		})
	}
	err = workers.Wait()
	return slices.DeleteFunc(all, func(each *found) bool { return each == nil }), err
}

func isVolumeName(name string) bool {
	_, ok := pvspec.ClaimUIDIn(name)
	return ok
}

// look returns nil for a volume that is gone meanwhile, and an error only for what
// holds for the whole place.
func (a *Audit) look(ctx context.Context, at site, by *connection, volume cephclient.Volume) (*found, error) {
	seen, err := within(ctx, a.Timeout, func(ctx context.Context) (cephclient.Found, error) {
		return by.inventory.Look(ctx, volume)
	})
	switch {
	case err == nil:
		return newFound(seen, at, by), nil
	case errors.Is(err, cephclient.ErrNotFound):
		return nil, nil
	case isOfPlace(err):
		return nil, err
	}
	return &found{Found: cephclient.Found{Volume: volume}, site: at, by: by, err: err}, nil
}

func isOfPlace(err error) bool {
	for _, cause := range []error{cephclient.ErrDenied, cephclient.ErrUnauthorized, cephclient.ErrUnreachable, cephclient.ErrTimeout, cephclient.ErrNoSuchPlace, context.Canceled} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// lookAgain brings what was found to what is there now.
func (a *Audit) lookAgain(ctx context.Context, seen *found) error {
	now, err := a.look(ctx, seen.site, seen.by, seen.Volume)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch at := keyOf(seen.site.cluster, seen.Volume); {
	case err != nil:
		a.state.fail(seen.site.cluster, seen.site.place.String(), nameOf(seen.Volume), err)
	case now == nil:
		delete(a.state.found, at)
	default:
		a.state.found[at] = now
	}
	return err
}

// readUsers asks for the users of PersistentVolumes, unless they were found before, and
// for those that may be left of what has none.
func (a *Audit) readUsers(ctx context.Context, s *state) {
	asked := map[userRef][]*connection{}
	for _, pv := range s.volumes {
		if ref := pv.userRef(); pv.user.ID != "" && s.users[ref] == "" {
			asked[ref] = []*connection{pv.by}
		}
	}
	for ref := range s.suspects {
		asked[ref] = a.ways.askers(ref.cluster)
	}
	var workers errgroup.Group
	workers.SetLimit(together)
	for ref, by := range asked {
		workers.Go(func() error {
			path, err := a.pathOf(ctx, ref, by)
			a.mu.Lock()
			defer a.mu.Unlock()
			if err == nil {
				s.users[ref] = path
			} else {
				delete(s.users, ref)
				s.fail(ref.cluster, "users", "as client."+by[0].identity.ID, err)
			}
			return nil
		})
	}
	_ = workers.Wait() // failures are findings
}

// unclear is the path of a user that has not exactly one.
const unclear = "?"

// pathOf asks one identity after the other, and returns "" for a user that is not there.
func (a *Audit) pathOf(ctx context.Context, ref userRef, by []*connection) (path string, err error) {
	for _, each := range by {
		path, err = within(ctx, a.Timeout, func(ctx context.Context) (string, error) {
			users, err := a.Access.Users(ctx, each.cluster, each.identity)
			if err != nil {
				return "", err
			}
			return users.Path(ctx, ref.id)
		})
		switch {
		case errors.Is(err, cephclient.ErrNotFound):
			return "", nil
		case err == nil && path == "":
			return unclear, nil
		case err == nil:
			return path, nil
		}
	}
	return "", err
}

func within[T any](ctx context.Context, timeout time.Duration, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return f(ctx)
}
