package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ceph.example/ceph-provisioner/hack/localcluster"
)

// identitiesDocument has the commands that make the identities, for
// administrators to copy: the tests run those very lines.
const (
	identitiesDocument = "../docs/ceph-identities.md"
	identityCommand    = "ceph auth get-or-create "
)

// Identities of that document, and the secrets that manifests/examples name for them.
const (
	rbdAdminID      = "kubernetes-rbd"
	rbdUserID       = "kubernetes-rbd-node"
	cephfsAdminID   = "kubernetes-cephfs-shared"
	tenantAdminID   = "kubernetes-cephfs"
	dirAdminID      = "kubernetes-cephfs-directories"
	cephfsUserID    = "kubernetes-cephfs-node"
	rbdAdminSecret  = "ceph-rbd-admin"
	rbdUserSecret   = "ceph-rbd-user"
	cephfsAdminName = "ceph-cephfs-shared"
	tenantAdminName = "ceph-cephfs-admin"
	dirAdminName    = "ceph-cephfs-directories"
	cephfsUserName  = "ceph-cephfs-user"
)

var secretsOfIdentities = map[string]string{
	rbdAdminID:    rbdAdminSecret,
	rbdUserID:     rbdUserSecret,
	cephfsAdminID: cephfsAdminName,
	tenantAdminID: tenantAdminName,
	dirAdminID:    dirAdminName,
	cephfsUserID:  cephfsUserName,
}

// cephCluster is one Ceph cluster, as its administrator sees it. The namespace
// of its name holds the secrets for it.
type cephCluster struct {
	localcluster.Ceph
	root *mount // the whole file system, as admin
}

// patienceOfMDS makes others wait some seconds for a client of CephFS that was killed at
// work. By default it is a minute, for each of the dozens of controllers that the tests
// kill.
var patienceOfMDS = map[string]string{evictionTimeout: "8", "mds_tick_interval": "1"}

const evictionTimeout = "mds_cap_revoke_eviction_timeout"

// evictNobody has the MDS wait as by default, until the returned function is called, for
// clients that are alive and must not lose their mounts: the mgr for one.
func (c *cephCluster) evictNobody(t testing.TB) (again func()) {
	t.Helper()
	set := func(seconds string) { c.runAtEnd(t, "ceph", "config", "set", "mds", evictionTimeout, seconds) }
	set("0")
	return func() { set(patienceOfMDS[evictionTimeout]) }
}

// prepareCeph makes the identities on all clusters and puts their keys, and no
// others, into secrets.
func (e *environment) prepareCeph(ctx context.Context) error {
	commands, err := identityCommands()
	if err != nil {
		return err
	}
	for _, ceph := range e.ceph {
		for option, value := range patienceOfMDS {
			if _, err := output(ctx, ceph.Env(), "ceph", "config", "set", "mds", option, value); err != nil {
				return err
			}
		}
		for _, command := range commands {
			if _, err := output(ctx, ceph.Env(), "bash", "-c", command); err != nil {
				return err
			}
		}
		root, err := mountCephFS(ctx, filepath.Join(e.dir, ceph.Name), ceph.Env())
		if err != nil {
			return err
		}
		ceph.root = root
		if err := os.Mkdir(ceph.path(claimRoot), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := e.createNamespace(ctx, ceph.Name); err != nil {
			return err
		}
		for id, secret := range secretsOfIdentities {
			key, err := ceph.key(ctx, id)
			if err != nil {
				return err
			}
			if err := e.putSecret(ctx, ceph.Name, secret, map[string]string{"key": key}); err != nil {
				return err
			}
		}
	}
	return nil
}

// claimRoot is where the identity of that document may make directories.
const claimRoot = "/pvc-volumes"

// groupPath is where its subvolumes lie.
const groupPath = "/volumes/kubernetes"

// path is where a path of the file system is for its administrator.
func (c *cephCluster) path(parts ...string) string {
	return filepath.Join(append([]string{c.root.dir}, parts...)...)
}

func identityCommands() ([]string, error) {
	document, err := os.Open(identitiesDocument)
	if err != nil {
		return nil, err
	}
	defer document.Close()
	var commands []string
	lines := bufio.NewScanner(document)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), identityCommand) {
			commands = append(commands, lines.Text())
		}
	}
	if len(commands) == 0 {
		return nil, fmt.Errorf("%s has no line that begins with %q", identitiesDocument, identityCommand)
	}
	return commands, lines.Err()
}

func (e *environment) createNamespace(ctx context.Context, name string) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	_, err := e.client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// putSecret makes or replaces a secret.
func (e *environment) putSecret(ctx context.Context, namespace, name string, entries map[string]string) error {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Type:       "kubernetes.io/rbd",
		StringData: entries,
	}
	secrets := e.client.CoreV1().Secrets(namespace)
	err := secrets.Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	_, err = secrets.Create(ctx, secret, metav1.CreateOptions{})
	return err
}

// key is the cephx key of an identity.
func (c *cephCluster) key(ctx context.Context, id string) (string, error) {
	key, err := output(ctx, c.Env(), "ceph", "auth", "print-key", "client."+id)
	return strings.TrimSpace(key), err
}

// run is an administrator's command that must succeed.
func (c *cephCluster) run(t testing.TB, name string, args ...string) string {
	t.Helper()
	stdout, err := output(t.Context(), c.Env(), name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return stdout
}

// runAtEnd is run for a test's cleanup, when its context has ended.
func (c *cephCluster) runAtEnd(t testing.TB, name string, args ...string) {
	t.Helper()
	if _, err := output(context.Background(), c.Env(), name, args...); err != nil {
		t.Error(err)
	}
}

// read decodes what a command prints with --format=json.
func (c *cephCluster) read(ctx context.Context, into any, name string, args ...string) error {
	stdout, err := output(ctx, c.Env(), name, append(args, "--format=json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(stdout), into); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

// signal goes to daemons of this cluster: mon, mgr, osd, mds.
func (c *cephCluster) signal(signal syscall.Signal, daemons ...string) error {
	var errs []error
	for _, daemon := range daemons {
		errs = append(errs, suite.cluster.Signal(c.Name+"/"+daemon, signal))
	}
	return errors.Join(errs...)
}

// hang stops daemons, which then neither answer nor close connections, until the
// returned function, which the end of the test calls too, lets them go on.
func (c *cephCluster) hang(t testing.TB, daemons ...string) (resume func()) {
	t.Helper()
	evict := c.evictNobody(t)
	resume = sync.OnceFunc(func() {
		if err := c.signal(syscall.SIGCONT, daemons...); err != nil {
			t.Error(err)
		}
		evict()
	})
	t.Cleanup(resume)
	if err := c.signal(syscall.SIGSTOP, daemons...); err != nil {
		t.Fatal(err)
	}
	return resume
}

// restartManager is what `ceph mgr fail` is where there is a standby. A mgr (16.2) that was
// purging a subvolume when its file system went away, or its mount was evicted, may
// wait for ever, and all calls to it with it.
func (c *cephCluster) restartManager(t testing.TB) {
	t.Helper()
	if err := suite.cluster.Restart(context.Background(), c.Name+"/mgr"); err != nil {
		t.Error(err)
	}
}
