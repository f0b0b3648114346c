package localcluster

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

const (
	commandPackage = "ceph.example/ceph-provisioner/hack/localcluster/cmd/localcluster"
	// binaryVariable names a built localcluster, which saves building it.
	binaryVariable = "LOCALCLUSTER_BIN"
)

// Cluster is a running cluster that ends with this process.
type Cluster struct {
	*Description
	supervisor *exec.Cmd
	stdin      io.Closer
}

// Start runs a cluster for this process, which may be killed in any way without
// leaving anything of the cluster behind. It returns when the cluster is ready;
// ctx bounds the wait, not the cluster's life.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	binary, remove, err := supervisorBinary(ctx)
	if err != nil {
		return nil, err
	}
	defer remove()
	options.Dir, err = prepareDir(options)
	if err != nil {
		return nil, err
	}
	args := append([]string{"run", "--until-stdin-closes"}, options.arguments()...)
	cmd := exec.Command(binary, args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	description, err := await(ctx, cmd, options)
	if err != nil {
		return nil, errors.Join(err, stdin.Close())
	}
	return &Cluster{Description: description, supervisor: cmd, stdin: stdin}, nil
}

// StartDetached runs a cluster that outlives this process, until Stop. The program
// is this process's own, which must be localcluster.
func StartDetached(ctx context.Context, options Options) (*Description, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, err
	}
	options.Dir, err = prepareDir(options)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(binary, append([]string{"run"}, options.arguments()...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return await(ctx, cmd, options)
}

// Stop ends the cluster and returns when nothing of it is left.
func (c *Cluster) Stop() error {
	if err := c.stdin.Close(); err != nil {
		return err
	}
	if err := c.supervisor.Wait(); err != nil {
		return fmt.Errorf("the supervisor of %s: %w", c.Dir, err)
	}
	return nil
}

// Signal sends a signal to a daemon: SIGSTOP and SIGCONT for one that hangs for a
// while, SIGKILL for one that crashes.
func (c *Cluster) Signal(daemon string, signal syscall.Signal) error {
	d, err := c.Daemon(daemon)
	if err != nil {
		return err
	}
	pid, err := d.LastPID()
	if err == nil {
		err = syscall.Kill(pid, signal)
	}
	if err != nil {
		return fmt.Errorf("sending %s to %s: %w", signal, daemon, err)
	}
	return nil
}

// Restart starts a daemon again, killing it first if it runs, and updates the
// description. It returns when the process runs, not when it serves.
func (c *Cluster) Restart(ctx context.Context, daemon string) error {
	if err := Restart(ctx, c.Dir, daemon); err != nil {
		return err
	}
	description, err := Load(c.Dir)
	if err != nil {
		return err
	}
	c.Description = description
	return nil
}

func prepareDir(options Options) (string, error) {
	if err := options.Validate(); err != nil || options.Dir != "" {
		return options.Dir, err
	}
	return newDir()
}

// supervisorBinary is the program to run, and what removes it after its start.
func supervisorBinary(ctx context.Context) (path string, remove func(), err error) {
	if path := os.Getenv(binaryVariable); path != "" {
		return path, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "localcluster-build-")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	path = filepath.Join(dir, "localcluster")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, commandPackage)
	// The caller's GOFLAGS (-race, -tags) are about what it tests, not about this.
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly -buildvcs=false")
	if output, err := build.CombinedOutput(); err != nil {
		remove()
		return "", nil, fmt.Errorf("building %s: %w\n%s", commandPackage, err, output)
	}
	return path, remove, nil
}

// await starts the supervisor and returns when it is ready. On failure it has
// ended, with everything that it started.
func await(ctx context.Context, cmd *exec.Cmd, options Options) (*Description, error) {
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		_ = os.Remove(options.Dir) // if it was made for this, it is empty
		return nil, fmt.Errorf("starting the supervisor: %w", err)
	}
	var untold bytes.Buffer // what went wrong, if the caller does not watch
	told := make(chan struct{})
	go func() {
		defer close(told)
		var progress io.Writer = &untold
		if options.Progress != nil {
			progress = options.Progress
		}
		_, _ = io.Copy(progress, stderr)
		_, _ = io.Copy(io.Discard, stderr) // a full pipe would block the supervisor
	}()
	stopWatching := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	line, _ := bufio.NewReader(stdout).ReadString('\n') // nothing, if it ends before
	if stopWatching() && line == readyLine+"\n" {
		return Load(options.Dir)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM) // or it has ended by itself
	<-told
	err = cmd.Wait()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("waiting for the cluster: %w", context.Cause(ctx))
	}
	return nil, fmt.Errorf("the cluster did not start: %w\n%s", err, untold.String())
}
