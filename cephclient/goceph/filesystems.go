package goceph

import (
	"context"

	"github.com/ceph/go-ceph/cephfs/admin"
	"github.com/ceph/go-ceph/rados"

	"ceph.example/ceph-provisioner/cephclient"
)

// fileSystems implements [cephclient.FileSystems].
type fileSystems struct{ session *session }

// FileSystems is similar to: ceph fs ls.
func (f fileSystems) FileSystems(ctx context.Context) ([]cephclient.FileSystem, error) {
	op := operation{name: "list the file systems of " + f.session.cluster.String(), asks: monitor}
	return call(ctx, f.session, op, func(conn *rados.Conn) ([]cephclient.FileSystem, error) {
		listed, err := admin.NewFromConn(conn).ListFileSystems()
		var fileSystems []cephclient.FileSystem
		for _, each := range listed {
			fileSystems = append(fileSystems, cephclient.FileSystem{Name: each.Name, DataPools: each.DataPools})
		}
		return fileSystems, err
	})
}
