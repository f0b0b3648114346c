package localcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	monitorV2Port = 3300
	monitorV1Port = 6789
	firstOSDPort  = 6800 // of the range from which OSD, manager and MDS take theirs
)

// cephCluster is one Ceph cluster during its bring-up.
type cephCluster struct {
	*supervisor
	cephFiles
	name    string
	fsid    string
	osdUUID string
	address *address
	env     []string
	monitor *monitor
}

// startCeph returns when a cluster of one monitor, manager, OSD and MDS serves
// its pools and its file system, and calls itself healthy.
func (s *supervisor) startCeph(ctx context.Context, name string) (Ceph, error) {
	described, err := s.tryStartCeph(ctx, name)
	if err != nil {
		return Ceph{}, fmt.Errorf("%s: %w", name, err)
	}
	s.log.printf("%s is healthy at %s", name, described.Monitors)
	return described, nil
}

func (s *supervisor) tryStartCeph(ctx context.Context, name string) (Ceph, error) {
	programs := []string{"ceph-mon", "ceph-mgr", "ceph-osd", "ceph-mds", "monmaptool", "ceph-authtool", "rbd", debianPython}
	if err := findPrograms(programs...); err != nil {
		return Ceph{}, err
	}
	address, err := s.takeAddress(monitorV2Port, monitorV1Port, firstOSDPort)
	if err != nil {
		return Ceph{}, err
	}
	dir := filepath.Join(s.options.Dir, name)
	c := &cephCluster{
		supervisor: s, cephFiles: cephFiles{dir}, name: name, fsid: newUUID(), osdUUID: newUUID(),
		address: address, env: childEnv(s.options.Dir, os.Getenv("PATH")),
	}
	keys, err := newKeys(ctx, c.env, entities...)
	if err != nil {
		return Ceph{}, err
	}
	if err := c.write(c.fsid, address.ip, keys); err != nil {
		return Ceph{}, err
	}
	if err := c.bringUp(ctx); err != nil {
		return Ceph{}, err
	}
	return c.describe(keys["client.admin"]), nil
}

func (c *cephCluster) describe(adminKey string) Ceph {
	return Ceph{
		Name: c.name, FSID: c.fsid, Monitors: c.address.port(monitorV1Port), Conf: c.conf(),
		AdminID: "admin", AdminKey: adminKey, AdminKeyring: c.adminKeyring(),
		RBDPool: rbdPool, RBDDataPool: rbdDataPool, FileSystem: fileSystem, LogDir: c.logDir(),
	}
}

func (c *cephCluster) bringUp(ctx context.Context) error {
	if err := inParallel(ctx, c.startMonitor, c.formatOSD); err != nil {
		return err
	}
	defer c.monitor.close()
	c.log.printf("%s: monitor answers", c.name)
	if err := c.startDaemons(ctx); err != nil {
		return err
	}
	if err := c.createPools(ctx); err != nil {
		return err
	}
	if err := waitUntil(ctx, "the OSD", c.osdIsUp); err != nil {
		return err
	}
	c.log.printf("%s: OSD is up", c.name)
	if err := inParallel(ctx, c.initPool(rbdPool), c.initPool(rbdDataPool)); err != nil {
		return err
	}
	if err := waitUntil(ctx, "the cluster's health", c.isHealthy); err != nil {
		return err
	}
	return waitUntil(ctx, "the manager's module volumes", c.listsVolumes)
}

func (c *cephCluster) createPools(ctx context.Context) error {
	var pools []command
	for _, pool := range []string{rbdPool, rbdDataPool, metadataPool, dataPool} {
		pools = append(pools, command{"prefix": "osd pool create", "pool": pool})
	}
	if err := c.monitor.do(ctx, pools...); err != nil {
		return err
	}
	return c.monitor.do(ctx, command{
		"prefix": "fs new", "fs_name": fileSystem, "metadata": metadataPool, "data": dataPool})
}

func (c *cephCluster) initPool(pool string) func(context.Context) error {
	return func(ctx context.Context) error {
		return c.launcher.run(ctx, c.env, "rbd", "--conf", c.conf(), "pool", "init", pool)
	}
}

func (c *cephCluster) osdIsUp(ctx context.Context) error {
	var stat struct {
		Up int `json:"num_up_osds"`
	}
	if err := c.monitor.ask(ctx, command{"prefix": "osd stat"}, &stat); err != nil {
		return err
	}
	if stat.Up == 0 {
		return errors.New("it is down")
	}
	return nil
}

// cephStatus is the part of `ceph status` that tells whether a cluster serves.
type cephStatus struct {
	Health struct {
		Status string              `json:"status"`
		Checks map[string]struct{} `json:"checks"`
	} `json:"health"`
	PGMap struct {
		States []struct {
			Name string `json:"state_name"`
		} `json:"pgs_by_state"`
	} `json:"pgmap"`
	MgrMap struct {
		Available bool `json:"available"`
	} `json:"mgrmap"`
	FSMap struct {
		Ranks []struct {
			Status string `json:"status"`
		} `json:"by_rank"`
	} `json:"fsmap"`
}

func (c *cephCluster) isHealthy(ctx context.Context) error {
	var status cephStatus
	if err := c.monitor.ask(ctx, command{"prefix": "status"}, &status); err != nil {
		return err
	}
	return status.missing()
}

// missing is what keeps the cluster from serving.
func (s cephStatus) missing() error {
	var problems []string
	if s.Health.Status != "HEALTH_OK" {
		problems = append(problems, s.Health.Status)
		for check := range s.Health.Checks {
			problems = append(problems, check)
		}
	}
	if !s.MgrMap.Available {
		problems = append(problems, "no manager")
	}
	if len(s.FSMap.Ranks) != 1 || s.FSMap.Ranks[0].Status != "up:active" {
		problems = append(problems, "no active MDS")
	}
	if len(s.PGMap.States) != 1 || s.PGMap.States[0].Name != "active+clean" {
		problems = append(problems, fmt.Sprintf("placement groups %v", s.PGMap.States))
	}
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, ", "))
	}
	return nil
}

func (c *cephCluster) listsVolumes(ctx context.Context) error {
	return c.monitor.askManager(ctx, command{"prefix": "fs volume ls"})
}
