package main

import (
	"context"
	"errors"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/ceph/go-ceph/cephfs"
	"github.com/ceph/go-ceph/cephfs/admin"
	"github.com/ceph/go-ceph/rados"
)

const (
	mode           = 0o777
	quotaAttribute = "ceph.quota.max_bytes"
)

// fileSystemVolumes is what all volumes of CephFS have in common.
type fileSystemVolumes struct {
	options options
	conn    *rados.Conn
	mount   *cephfs.MountInfo // of the kind's root
}

func (f fileSystemVolumes) makeUser(name, path string) error {
	if !f.options.kind.hasUsers() {
		return nil
	}
	return makeUser(f.conn, name, path, f.options.fileSystem)
}

func (f fileSystemVolumes) removeUser(name string) error {
	if !f.options.kind.hasUsers() {
		return nil
	}
	return removeUser(f.conn, name)
}

// setQuota is given a path below the root.
func (f fileSystemVolumes) setQuota(path string, bytes int64) error {
	return f.mount.SetXattr(path, quotaAttribute, []byte(strconv.FormatInt(bytes, 10)), cephfs.XattrDefault)
}

// subvolumes are the calls to the mgr. A volume's path is the mgr's to say.
type subvolumes struct {
	fileSystemVolumes
	manager manager
	mu      *sync.Mutex
	paths   map[string]string
}

func newSubvolumes(common fileSystemVolumes) subvolumes {
	return subvolumes{common, newManager(), &sync.Mutex{}, map[string]string{}}
}

func (s subvolumes) ask(f func(fs *admin.FSAdmin) error) error {
	return s.manager.call(func() error { return f(admin.NewFromConn(s.conn)) })
}

func (s subvolumes) create(_ context.Context, name string, sizeBytes int64) error {
	fileSystem := s.options.fileSystem
	err := s.ask(func(fs *admin.FSAdmin) error {
		return fs.CreateSubVolume(fileSystem, group, name, &admin.SubVolumeOptions{Size: admin.ByteCount(sizeBytes), Mode: mode})
	})
	if err != nil {
		return err
	}
	var info *admin.SubVolumeInfo
	if err := s.ask(func(fs *admin.FSAdmin) (err error) {
		info, err = fs.SubVolumeInfo(fileSystem, group, name)
		return err
	}); err != nil {
		return err
	}
	s.mu.Lock()
	s.paths[name] = info.Path
	s.mu.Unlock()
	return s.makeUser(name, info.Path)
}

func (s subvolumes) grow(_ context.Context, name string, sizeBytes int64) error {
	s.mu.Lock()
	path := s.paths[name]
	s.mu.Unlock()
	return s.setQuota(strings.TrimPrefix(path, groupRoot), sizeBytes)
}

func (s subvolumes) remove(_ context.Context, name string) error {
	return errors.Join(
		s.ask(func(fs *admin.FSAdmin) error { return fs.RemoveSubVolume(s.options.fileSystem, group, name) }),
		s.removeUser(name),
	)
}

// directories are the calls to libcephfs.
type directories struct{ fileSystemVolumes }

func (d directories) create(_ context.Context, name string, sizeBytes int64) error {
	if err := d.mount.MakeDir(name, mode); err != nil {
		return err
	}
	if err := d.setQuota(name, sizeBytes); err != nil {
		return err
	}
	return d.makeUser(name, path.Join(claimRoot, name))
}

func (d directories) grow(_ context.Context, name string, sizeBytes int64) error {
	return d.setQuota(name, sizeBytes)
}

func (d directories) remove(_ context.Context, name string) error {
	return errors.Join(d.mount.RemoveDir(name), d.removeUser(name))
}

func (s subvolumes) destroy(name string) error { return s.remove(context.Background(), name) }

func (d directories) destroy(name string) error { return d.remove(context.Background(), name) }
