package localcluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
)

// findPrograms tells what to do about a missing program, before anything else
// fails for want of it.
func findPrograms(programs ...string) error {
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w; run hack/install-deps.sh", err)
		}
	}
	return nil
}

// startMonitor makes the monitor's store, starts it and connects to it.
func (c *cephCluster) startMonitor(ctx context.Context) error {
	addresses := fmt.Sprintf("[v2:%s,v1:%s]", c.address.port(monitorV2Port), c.address.port(monitorV1Port))
	if err := c.launcher.run(ctx, c.env, "monmaptool", "--create", "--fsid", c.fsid,
		"--addv", "a", addresses, c.monmap()); err != nil {
		return err
	}
	if err := c.launcher.run(ctx, c.env, "ceph-mon", "--conf", c.conf(), "--mkfs", "--id", "a",
		"--monmap", c.monmap(), "--keyring", c.initialKeyring()); err != nil {
		return err
	}
	if err := c.startCephDaemon("mon", "a"); err != nil {
		return err
	}
	if err := waitUntil(ctx, "the monitor's port", c.monitorListens); err != nil {
		return err
	}
	var err error
	if c.monitor, err = connectMonitor(c.launcher, c.env, c.conf()); err != nil {
		return err
	}
	return c.monitor.do(ctx, command{"prefix": "osd new", "uuid": c.osdUUID, "id": 0})
}

func (c *cephCluster) monitorListens(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp4", c.address.port(monitorV2Port))
	if err != nil {
		return err
	}
	return conn.Close()
}

// formatOSD makes an empty BlueStore. It needs no monitor.
func (c *cephCluster) formatOSD(ctx context.Context) error {
	return c.launcher.run(ctx, c.env, "ceph-osd", "--conf", c.conf(), "--mkfs", "--id", "0",
		"--osd-uuid", c.osdUUID, "--no-mon-config")
}

// startDaemons configures the manager, which takes the monitor a second or two,
// while the others start.
func (c *cephCluster) startDaemons(ctx context.Context) error {
	if err := errors.Join(c.startCephDaemon("osd", "0"), c.startCephDaemon("mds", "a")); err != nil {
		return err
	}
	if err := c.configureManager(ctx); err != nil {
		return err
	}
	return c.startCephDaemon("mgr", "a")
}

// configureManager keeps the modules quiet that cannot be turned off: devicehealth
// would make a pool of its own. Module options live in the monitors alone.
func (c *cephCluster) configureManager(ctx context.Context) error {
	var settings []command
	for _, option := range []string{"mgr/devicehealth/enable_monitoring", "mgr/balancer/active"} {
		settings = append(settings, command{
			"prefix": "config set", "who": "mgr", "name": option, "value": "false", "force": true})
	}
	return c.monitor.do(ctx, settings...)
}

// startCephDaemon starts it in the foreground. Ceph writes its log itself; what
// it prints goes to the same file.
func (c *cephCluster) startCephDaemon(kind, id string) error {
	return c.startDaemon(&daemon{
		name:    c.name + "/" + kind,
		program: "ceph-" + kind,
		args:    []string{"-f", "--conf", c.conf(), "--id", id},
		env:     c.env,
		log:     c.daemonLog(kind + "." + id),
	})
}
