package goceph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ceph/go-ceph/cephfs/admin"
	"github.com/ceph/go-ceph/common/commands"
	"github.com/ceph/go-ceph/rados"

	"ceph.example/ceph-provisioner/cephclient"
)

// recentFor is how old a list of file systems may be.
const recentFor = time.Second

// fileSystems implements [cephclient.FileSystems].
type fileSystems struct{ session *session }

// listing is what an identity was told.
type listing struct {
	begun       time.Time
	fileSystems []cephclient.FileSystem
}

// FileSystems is similar to: ceph fs ls; ceph fs dump. The default one may be among
// those that the identity may not see.
func (f fileSystems) FileSystems(ctx context.Context) ([]cephclient.FileSystem, error) {
	op := operation{name: "list the file systems of " + f.session.cluster.String(), asks: monitor}
	begun := time.Now()
	found, err := call(ctx, f.session, op, func(conn *rados.Conn) ([]cephclient.FileSystem, error) {
		return listFileSystems(conn)
	})
	if err == nil {
		f.session.pool.listings.Store(f.session.identity, listing{begun, found})
	}
	return found, err
}

// RecentFileSystems shares what an identity was told with all that ask within the next second.
func (f fileSystems) RecentFileSystems(ctx context.Context) ([]cephclient.FileSystem, error) {
	if known, ok := f.session.pool.listings.Load(f.session.identity); ok {
		if last := known.(listing); time.Since(last.begun) < recentFor {
			return last.fileSystems, nil
		}
	}
	return f.FileSystems(ctx)
}

func listFileSystems(conn commands.RadosCommander) ([]cephclient.FileSystem, error) {
	listed, err := admin.NewFromConn(conn).ListFileSystems()
	if err != nil {
		return nil, err
	}
	byDefault, err := defaultFileSystem(conn)
	if err != nil {
		return nil, err
	}
	var fileSystems []cephclient.FileSystem
	for _, each := range listed {
		if each.Name == "" {
			return nil, errors.New("the monitors' `fs ls` has a file system without a name")
		}
		fileSystems = append(fileSystems, cephclient.FileSystem{
			Name: each.Name, DataPools: each.DataPools, Default: each.Name == byDefault,
		})
	}
	return fileSystems, nil
}

func defaultFileSystem(conn commands.MonCommander) (name string, err error) {
	answer, _, err := conn.MonCommand([]byte(`{"prefix":"fs dump","format":"json"}`))
	if err != nil {
		return "", err
	}
	var dump struct {
		DefaultID   int64 `json:"default_fscid"`
		FileSystems []struct {
			ID  int64
			Map struct {
				Name string `json:"fs_name"`
			} `json:"mdsmap"`
		} `json:"filesystems"`
	}
	if err := json.Unmarshal(answer, &dump); err != nil {
		return "", fmt.Errorf("the monitors' `fs dump` can't be read: %w", err)
	}
	for _, each := range dump.FileSystems {
		if each.ID == dump.DefaultID {
			name = each.Map.Name
		}
	}
	return name, nil
}
