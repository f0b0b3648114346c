package audit

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// connection is a cluster, seen by one identity.
type connection struct {
	cluster   cephclient.Cluster
	identity  pvspec.Identity
	inventory cephclient.Inventory
	fsid      string
	err       error // why there is none
	// makesUsers says that a class or PersistentVolume has this identity make users.
	makesUsers bool
}

// route is how a class or PersistentVolume says that a place is reached.
type route struct {
	monitors string
	identity pvspec.Identity
	place    cephclient.Place
}

// arrival is where a route leads.
type arrival struct {
	site site
	by   *connection
	err  error
}

// target is a place that is looked at.
type target struct {
	site site
	by   []*connection // the one with most rights first
}

// ways remembers which routes lead where: thousands of PersistentVolumes share a few.
type ways struct {
	access      Access
	timeout     time.Duration         // for following one
	connections map[route]*connection // without place
	arrivals    map[route]arrival
	targets     map[site]*target
}

func newWays(access Access, timeout time.Duration) *ways {
	return &ways{access, timeout, map[route]*connection{}, map[route]arrival{}, map[site]*target{}}
}

// follow leads to a place. ownUsers says that the identity makes users, too.
func (w *ways) follow(ctx context.Context, monitors []string, identity pvspec.Identity, place cephclient.Place, ownUsers bool) arrival {
	by := route{strings.Join(monitors, ","), identity, place}
	if known, found := w.arrivals[by]; found && (known.err != nil || known.by.makesUsers || !ownUsers) {
		return known
	}
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	there := arrival{by: w.connect(ctx, monitors, identity)}
	if there.err = there.by.err; there.err == nil {
		place, there.err = there.by.inventory.Resolve(ctx, place)
		there.site = site{there.by.fsid, place}
	}
	w.arrivals[by] = there
	if there.err == nil {
		w.aim(there, ownUsers)
	}
	return there
}

func (w *ways) aim(there arrival, ownUsers bool) {
	there.by.makesUsers = there.by.makesUsers || ownUsers
	at, known := w.targets[there.site]
	if !known {
		at = &target{site: there.site}
		w.targets[there.site] = at
	}
	switch {
	case slices.Contains(at.by, there.by):
	case ownUsers:
		at.by = slices.Insert(at.by, 0, there.by)
	default:
		at.by = append(at.by, there.by)
	}
}

func (w *ways) connect(ctx context.Context, monitors []string, identity pvspec.Identity) *connection {
	by := route{monitors: strings.Join(monitors, ","), identity: identity}
	if known, found := w.connections[by]; found {
		return known
	}
	c := &connection{identity: identity}
	w.connections[by] = c
	if c.cluster, c.err = w.access.Cluster(ctx, monitors); c.err != nil {
		return c
	}
	if c.inventory, c.err = w.access.Inventory(ctx, c.cluster, identity); c.err != nil {
		return c
	}
	c.fsid, c.err = c.inventory.Cluster(ctx)
	return c
}

// failures notes the routes that lead nowhere.
func (w *ways) failures(s *state) {
	for by, there := range w.arrivals {
		if there.err != nil {
			s.fail("", by.place.String(), "monitors "+by.monitors+" as client."+by.identity.ID, there.err)
		}
	}
}

// inOrder are directories before all else: what ceph.com/cephfs made in a subvolume
// group is looked at as what it is.
func (w *ways) inOrder() (targets []*target) {
	for _, each := range w.targets {
		targets = append(targets, each)
	}
	slices.SortFunc(targets, func(a, b *target) int {
		return cmp.Or(-cmp.Compare(a.site.place.Root, b.site.place.Root), cmp.Compare(a.site.place.String(), b.site.place.String()))
	})
	return targets
}

// askers are the identities in a cluster that may know its users.
func (w *ways) askers(cluster string) (by []*connection) {
	for _, each := range w.connections {
		if each.fsid == cluster && each.makesUsers {
			by = append(by, each)
		}
	}
	slices.SortFunc(by, func(a, b *connection) int { return cmp.Compare(a.identity.ID, b.identity.ID) })
	return by
}

// withUsers are the clusters that have users of single volumes.
func (w *ways) withUsers() map[string]bool {
	clusters := map[string]bool{}
	for _, each := range w.connections {
		if each.makesUsers {
			clusters[each.fsid] = true
		}
	}
	return clusters
}
