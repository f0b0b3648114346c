package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	manifests       = "../manifests"
	serviceAccount  = "ceph-provisioner"
	systemNamespace = "kube-system"
	volumeSecrets   = "ceph-volumes"
	mainPackage     = "ceph.example/ceph-provisioner/cmd/ceph-provisioner"
)

// controller is one process of the binary under test.
type controller struct {
	cmd      *exec.Cmd
	log      string
	endpoint string // host:port of metrics and probes
	// arguments are what every user of the machine can read about the process, and
	// environment what its own user and every child can.
	arguments, environment []byte
	exited                 chan struct{}
	killed                 bool
	err                    error // of its exit; read it after exited is closed
}

// installManifests applies what an administrator applies, and makes a kubeconfig
// that holds nothing but a token of the service account in it.
func (e *environment) installManifests(ctx context.Context) error {
	if _, err := kubectl(ctx, "apply", "-k", manifests); err != nil {
		return err
	}
	token, err := kubectl(ctx, "create", "token", "-n", systemNamespace, serviceAccount, "--duration=24h")
	if err != nil {
		return err
	}
	e.token = strings.TrimSpace(token)
	admin, err := clientcmd.LoadFromFile(e.cluster.Kubernetes.Kubeconfig)
	if err != nil {
		return err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["local"] = admin.Clusters[admin.Contexts[admin.CurrentContext].Cluster]
	config.AuthInfos[serviceAccount] = &clientcmdapi.AuthInfo{Token: e.token}
	config.Contexts["local"] = &clientcmdapi.Context{Cluster: "local", AuthInfo: serviceAccount}
	config.CurrentContext = "local"
	e.kubeconfig = filepath.Join(e.dir, "controller.kubeconfig")
	return clientcmd.WriteToFile(*config, e.kubeconfig)
}

func (e *environment) buildController(ctx context.Context) error {
	if e.binary = os.Getenv("CEPH_PROVISIONER_BIN"); e.binary != "" {
		return nil
	}
	e.binary = filepath.Join(e.dir, "ceph-provisioner")
	if built, err := exec.CommandContext(ctx, "go", "build", "-o", e.binary, mainPackage).CombinedOutput(); err != nil {
		return fmt.Errorf("build the controller: %w\n%s", err, built)
	}
	return nil
}

// startController returns when the process is ready, be it leader or standby. Further
// arguments override the usual ones.
func (e *environment) startController(ctx context.Context, args ...string) (*controller, error) {
	return e.start(ctx, e.binary, nil, args...)
}

// start runs a build of the controller.
func (e *environment) start(ctx context.Context, binary string, env []string, args ...string) (*controller, error) {
	c := &controller{endpoint: ownEndpoint()}
	// No CEPH_CONF and no KUBECONFIG: flags are all that it may know.
	c.cmd = child(append(env, "CEPH_CONF=", "KUBECONFIG="), binary, append([]string{
		"--kubeconfig=" + e.kubeconfig,
		"--leader-election",
		"--leader-election-namespace=" + systemNamespace,
		"--http-endpoint=" + c.endpoint,
		"--secret-namespace=" + volumeSecrets,
		"--cephfs-provisioner-name=" + cephfsProvisioner + "," + legacyProvisioner,
		"--v=10",
		"--retry-interval-max=5s", // so that a test which repairs something need not wait long
		"--timeout=20s",
	}, args...)...)
	if err := e.launch(c); err != nil {
		return nil, err
	}
	if err := c.awaitReady(ctx); err != nil {
		return c, err
	}
	process := fmt.Sprintf("/proc/%d/", c.cmd.Process.Pid)
	var err error
	if c.arguments, err = os.ReadFile(process + "cmdline"); err != nil {
		return c, err
	}
	c.environment, err = os.ReadFile(process + "environ")
	return c, err
}

// launch starts the process of a controller's command.
func (e *environment) launch(c *controller) error {
	log, err := os.CreateTemp(e.dir, "controller-*.log")
	if err != nil {
		return err
	}
	defer log.Close()
	c.log, c.exited = log.Name(), make(chan struct{})
	c.cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL // it would wait for the API server, which dies as well
	c.cmd.Stdout, c.cmd.Stderr = log, log
	if err := c.cmd.Start(); err != nil {
		return err
	}
	e.mu.Lock()
	e.controllers = append(e.controllers, c)
	e.mu.Unlock()
	go func() {
		c.err = c.cmd.Wait()
		close(c.exited)
	}()
	return nil
}

// ownEndpoint is on an address that nobody else uses: on 127.0.0.1 each connection takes a
// port, perhaps the one that was just free. Clusters are in 127.128.0.0/9.
func ownEndpoint() string {
	return fmt.Sprintf("127.%d.%d.%d:8080", 1+rand.IntN(127), rand.IntN(256), 1+rand.IntN(254))
}

func (c *controller) awaitReady(ctx context.Context) error {
	return wait.PollUntilContextTimeout(ctx, pollInterval, patience, true, func(ctx context.Context) (bool, error) {
		select {
		case <-c.exited:
			return false, fmt.Errorf("the controller ended: %w\n%s", c.err, c.logTail())
		default:
		}
		status, _, err := c.get(ctx, "/readyz")
		return err == nil && status == http.StatusOK, nil
	})
}

// get asks the controller's endpoint.
func (c *controller) get(ctx context.Context, path string) (status int, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.endpoint+path, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// stop sends SIGTERM, and reports an end that is not a clean one.
func (c *controller) stop() error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-c.exited:
		if c.err != nil && !c.killed {
			return fmt.Errorf("the controller's end: %w", c.err)
		}
		return nil
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("the controller has not ended %s after SIGTERM", patience), c.cmd.Process.Kill())
	}
}

// kill ends the process as a crash would.
func (c *controller) kill() {
	c.killed = true
	_ = c.cmd.Process.Kill() // nothing is lost if it has ended by itself: stop reports that
}

// httpTraffic is the HTTP of a log at --v=10, which is almost all of it.
var httpTraffic = regexp.MustCompile(`round_trippers\.go|request\.go|^[0-9a-f]{8}( |$)`)

// logTail leaves out the traffic.
func (c *controller) logTail() string {
	if c == nil {
		return ""
	}
	content, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	const kept = 60
	var lines []string
	for line := range strings.Lines(string(content)) {
		if !httpTraffic.MatchString(line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-kept):], "")
}
