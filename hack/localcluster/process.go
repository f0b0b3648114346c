package localcluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// launcher starts every child process from one OS thread. The kernel sends a
// child its parent-death signal when the *thread* that forked it ends, and Go
// ends threads as it likes; this one lives as long as the supervisor.
type launcher struct {
	requests chan launch
}

type launch struct {
	cmd    *exec.Cmd
	result chan error
}

func newLauncher() *launcher {
	l := &launcher{requests: make(chan launch)}
	go func() {
		runtime.LockOSThread()
		for request := range l.requests {
			request.result <- request.cmd.Start()
		}
	}()
	return l
}

// start runs the command such that it dies with the supervisor, and out of reach
// of the terminal's interrupt, which is the supervisor's to handle.
func (l *launcher) start(cmd *exec.Cmd) error {
	cmd.Dir = "/" // as systemd does: the OSDs of some packages look for their classes in lib/…
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	request := launch{cmd: cmd, result: make(chan error)}
	l.requests <- request
	return <-request.result
}

// run executes a command to its end. The error has what it printed.
func (l *launcher) run(ctx context.Context, env []string, program string, args ...string) error {
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &output, &output
	err := l.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(program), err, lastLines(output.String(), reportedLines))
	}
	return nil
}

// daemon is a process that is meant to run as long as the cluster.
type daemon struct {
	name    string
	program string
	args    []string
	env     []string
	log     string
	pidFile string
	// revived means that it is started again when it ends by itself, as a kubelet does.
	revived bool

	mu      sync.Mutex
	process *os.Process
	ended   chan struct{}
	killed  bool // by us; otherwise its end is news
}

// start runs the daemon and calls died when it ends other than by kill.
func (d *daemon) start(l *launcher, died func(*daemon, error)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.launch(l, died)
}

// revive starts a daemon that has ended by itself, unless somebody has killed or started
// it since.
func (d *daemon) revive(l *launcher, died func(*daemon, error)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-d.ended:
	default:
		return nil
	}
	if d.killed {
		return nil
	}
	return d.launch(l, died)
}

// launch is called with the lock.
func (d *daemon) launch(l *launcher, died func(*daemon, error)) error {
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(d.program, d.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = d.env, log, log
	if err := l.start(cmd); err != nil {
		return fmt.Errorf("starting %s: %w", d.name, err)
	}
	d.process, d.killed, d.ended = cmd.Process, false, make(chan struct{})
	go d.wait(cmd, d.ended, died)
	return replaceFile(d.pidFile, []byte(strconv.Itoa(cmd.Process.Pid)+"\n"))
}

func (d *daemon) wait(cmd *exec.Cmd, ended chan struct{}, died func(*daemon, error)) {
	err := cmd.Wait()
	d.mu.Lock()
	killed := d.killed
	d.mu.Unlock()
	close(ended)
	if !killed {
		died(d, err)
	}
}

// kill ends the daemon, also one that is stopped or has died before. There is
// nothing to save: its data goes with it, or it is to be restarted like after a
// crash.
func (d *daemon) kill() {
	d.mu.Lock()
	process, ended := d.process, d.ended
	d.killed = true
	d.mu.Unlock()
	if process == nil {
		return
	}
	_ = process.Kill() // fails only if it has ended
	<-ended
}

func (d *daemon) describe() Daemon {
	d.mu.Lock()
	defer d.mu.Unlock()
	described := Daemon{Name: d.name, PIDFile: d.pidFile, Log: d.log}
	if d.process != nil {
		described.PID = d.process.Pid
	}
	return described
}

// reportedLines is how much of a log is shown when something went wrong.
const reportedLines = 20

func (d *daemon) lastLog() string { return LastLog(d.log) }

// LastLog returns the last lines of a log, or why it can't be read.
func LastLog(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return lastLines(string(data), reportedLines)
}

func lastLines(text string, count int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}

// childEnv is all that daemons inherit: no CEPH_ARGS, KUBECONFIG or proxy of the
// caller's may change what they do.
func childEnv(dir, path string) []string {
	return []string{"PATH=" + path, "HOME=" + dir, "TMPDIR=" + dir, "LANG=C.UTF-8"}
}
