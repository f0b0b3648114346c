package localcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// bringUpTimeout is many times what an idle machine needs.
const bringUpTimeout = 3 * time.Minute

var errTooSlow = fmt.Errorf("not ready within %s", bringUpTimeout)

// pidDir is where daemons' PID files are, below the cluster's directory.
const pidDir = "pids"

// readyLine is what `localcluster run` prints on standard output.
const readyLine = "ready"

// supervisor owns one cluster: its directory, its processes and their end.
type supervisor struct {
	options  Options
	log      *progressLog
	launcher *launcher
	// abort ends the bring-up when a daemon dies in it.
	abort context.CancelCauseFunc

	mu          sync.Mutex
	daemons     []*daemon
	addresses   []*address
	description *Description // nil until everything is ready
}

// Run starts a cluster in options.Dir, writes the word ready to stdout, and keeps
// the cluster until ctx ends or somebody asks it to stop. Then nothing of it
// is left: no process, mount or file.
func Run(ctx context.Context, options Options, stdout io.Writer) (err error) {
	if options.Dir == "" {
		if options.Dir, err = newDir(); err != nil {
			return err
		}
	}
	if err := options.Validate(); err != nil {
		return err
	}
	lock, err := claimDir(options.Dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	control, err := openControl(options.Dir)
	if err != nil {
		return errors.Join(err, os.RemoveAll(options.Dir))
	}
	s, err := newSupervisor(options)
	if err != nil {
		return errors.Join(err, control.Close(), os.RemoveAll(options.Dir))
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := s.serveControl(control, stop)
	err = s.run(ctx, stdout)
	s.log.printf("stopping")
	err = errors.Join(err, s.tearDown(), control.Close())
	served(err)
	return err
}

func newSupervisor(options Options) (*supervisor, error) {
	if err := os.Mkdir(filepath.Join(options.Dir, pidDir), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(options.Dir, "supervisor.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	// The caller's standard error may be gone by the time of a crash.
	if err := debug.SetCrashOutput(file, debug.CrashOptions{}); err != nil {
		return nil, err
	}
	log := &progressLog{start: time.Now(), writers: []io.Writer{file, options.progress()}}
	return &supervisor{options: options, log: log, launcher: newLauncher()}, nil
}

func (s *supervisor) run(ctx context.Context, stdout io.Writer) error {
	s.sweep()
	err := s.findKubernetes(ctx)
	if err == nil {
		err = s.bringUp(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to stop before it was ready
		}
		return err
	}
	s.log.printf("ready: %s", s.options.Dir)
	if _, err := fmt.Fprintln(stdout, readyLine); err != nil {
		s.log.printf("nobody waits for the cluster: %v", err)
	}
	<-ctx.Done()
	return nil
}

func (s *supervisor) sweep() {
	swept, err := sweepAll(baseDir())
	for _, dir := range swept {
		s.log.printf("removed what a dead supervisor left: %s", dir)
	}
	if err != nil {
		s.log.printf("%v", err)
	}
}

// bringUp starts all clusters side by side and describes them.
func (s *supervisor) bringUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, bringUpTimeout, errTooSlow)
	defer cancel()
	ctx, s.abort = context.WithCancelCause(ctx)
	defer s.abort(nil)

	description := &Description{Dir: s.options.Dir, SupervisorPID: os.Getpid()}
	description.Ceph = make([]Ceph, s.options.CephClusters)
	var tasks []func(context.Context) error
	if s.options.Kubernetes {
		tasks = append(tasks, func(ctx context.Context) (err error) {
			description.Kubernetes, err = s.startKubernetes(ctx)
			return err
		})
	}
	for i := range description.Ceph {
		tasks = append(tasks, func(ctx context.Context) (err error) {
			description.Ceph[i], err = s.startCeph(ctx, fmt.Sprintf("ceph-%d", i))
			return err
		})
	}
	if err := inParallel(ctx, tasks...); err != nil {
		return s.explain(err)
	}
	return s.publish(description)
}

// explain adds the logs to a failure of which nobody knows the cause.
func (s *supervisor) explain(err error) error {
	if !errors.Is(err, errTooSlow) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.daemons {
		err = fmt.Errorf("%w\nthe end of the log of %s:\n%s", err, d.name, d.lastLog())
	}
	return err
}

// inParallel runs the tasks to their end and returns the first error, which also
// cancels the others.
func inParallel(ctx context.Context, tasks ...func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, task := range tasks {
		group.Go(func() error { return task(ctx) })
	}
	return group.Wait()
}

// takeAddress reserves an address for the supervisor's lifetime.
func (s *supervisor) takeAddress(ports ...int) (*address, error) {
	network, err := s.options.network()
	if err != nil {
		return nil, err
	}
	taken, err := takeAddress(network, ports...)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addresses = append(s.addresses, taken)
	return taken, nil
}

// startDaemon starts a daemon that then belongs to the cluster.
func (s *supervisor) startDaemon(d *daemon) error {
	d.pidFile = filepath.Join(s.options.Dir, pidDir, strings.ReplaceAll(d.name, "/", ".")+".pid")
	s.mu.Lock()
	s.daemons = append(s.daemons, d)
	s.mu.Unlock()
	return d.start(s.launcher, s.died)
}

// reviveAfter is how long a daemon that is revived stays dead: one that ends at its start
// would otherwise be started without a pause.
const reviveAfter = time.Second

// died tells of a daemon that ended by itself. Tests kill daemons on purpose, so
// a cluster that is ready carries on.
func (s *supervisor) died(d *daemon, err error) {
	if err == nil {
		err = errors.New("exit status 0")
	}
	err = fmt.Errorf("%s ended: %w; the end of its log:\n%s", d.name, err, d.lastLog())
	s.mu.Lock()
	description := s.description
	s.mu.Unlock()
	if description == nil {
		s.abort(err)
		return
	}
	s.log.printf("%v", err)
	if !d.revived {
		return
	}
	time.Sleep(reviveAfter) // nothing is waited for: it stays dead for so long
	if err := errors.Join(d.revive(s.launcher, s.died), s.publish(description)); err != nil {
		s.log.printf("%v", err)
	}
}

// publish writes cluster.json, with the daemons as they are now.
func (s *supervisor) publish(description *Description) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.description = description
	description.Daemons = nil
	for _, d := range s.daemons {
		description.Daemons = append(description.Daemons, d.describe())
	}
	slices.SortFunc(description.Daemons, func(a, b Daemon) int { return strings.Compare(a.Name, b.Name) })
	return description.save()
}

// restart starts a daemon again, which it kills before if it still runs. It does
// not wait until the daemon serves.
func (s *supervisor) restart(name string) error {
	s.mu.Lock()
	description, daemons := s.description, slices.Clone(s.daemons)
	s.mu.Unlock()
	if description == nil {
		return errors.New("the cluster is not ready yet")
	}
	for _, d := range daemons {
		if d.name != name {
			continue
		}
		d.kill()
		if err := d.start(s.launcher, s.died); err != nil {
			return err
		}
		s.log.printf("%s restarted", name)
		return s.publish(description)
	}
	_, err := description.Daemon(name)
	return err
}

// tearDown removes mounts first, while Ceph still answers their servers.
func (s *supervisor) tearDown() error {
	unmountErr := unmountBelow(s.options.Dir)
	s.mu.Lock()
	daemons := slices.Clone(s.daemons)
	s.mu.Unlock()
	var group sync.WaitGroup
	for _, d := range daemons {
		group.Add(1)
		go func() { defer group.Done(); d.kill() }()
	}
	group.Wait()
	for _, a := range s.addresses {
		_ = a.reservation.Close() // nothing is left to lose
	}
	err := clearDir(s.options.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(unmountErr, err)
}
