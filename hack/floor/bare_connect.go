package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ceph/go-ceph/cephfs"
	"github.com/ceph/go-ceph/rados"
)

// configuration is what librados and libcephfs get to know, as in the controller.
type configuration map[string]string

func readConfiguration(o options) (configuration, error) {
	key, err := io.ReadAll(os.Stdin)
	return configuration{
		"mon_host": "v1:" + strings.ReplaceAll(o.monitors, ",", ",v1:"), "key": strings.TrimSpace(string(key)),
		"log_to_stderr": "false", "err_to_stderr": "false", "log_file": "", "admin_socket": "",
	}, err
}

// apply leaves the value out of the error: one of them is the key.
func (c configuration) apply(set func(name, value string) error) error {
	for name, value := range c {
		if set(name, value) != nil {
			return fmt.Errorf("librados does not take the option %s", name)
		}
	}
	return nil
}

// bareCalls are the steps as calls. Of images, remove leaves the work to the mgr.
type bareCalls interface {
	steps
	destroy(name string) error // at once
}

// connectBare returns the calls of a kind, and what ends the connections behind them.
func connectBare(o options) (calls bareCalls, end func(), err error) {
	configuration, err := readConfiguration(o)
	if err != nil {
		return nil, nil, err
	}
	conn, err := rados.NewConnWithUser(o.id)
	if err == nil {
		err = configuration.apply(conn.SetConfigOption)
	}
	if err == nil {
		err = conn.Connect()
	}
	if err != nil {
		return nil, nil, err
	}
	if o.kind == rbdImage {
		ioctx, err := conn.OpenIOContext(pool)
		return &images{ioctx: ioctx}, conn.Shutdown, err
	}
	volumes := fileSystemVolumes{options: o, conn: conn}
	if volumes.mount, err = mount(o, configuration); err != nil {
		return nil, nil, err
	}
	end = func() {
		_ = volumes.mount.Unmount() // nothing is written that could be lost
		conn.Shutdown()
	}
	if o.kind.isDirectory() {
		return directories{volumes}, end, nil
	}
	return newSubvolumes(volumes), end, nil
}

func mount(o options, configuration configuration) (*cephfs.MountInfo, error) {
	mount, err := cephfs.CreateMountWithId(o.id)
	if err == nil {
		err = configuration.apply(mount.SetConfigOption)
	}
	if err == nil {
		err = mount.SetConfigOption("client_quota", "false")
	}
	if err == nil {
		err = mount.SelectFilesystem(o.fileSystem)
	}
	if err == nil {
		err = mount.MountWithRoot(o.kind.root())
	}
	return mount, err
}

// manager lets two calls at a time through, as the controller does: the mgr works on
// one, and more only wait there.
type manager chan struct{}

func newManager() manager { return make(manager, 2) }

func (m manager) call(f func() error) error {
	m <- struct{}{}
	defer func() { <-m }()
	return f()
}
