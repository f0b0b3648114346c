package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/procfs"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ceph.example/ceph-provisioner/hack/localcluster"
)

// machine notes what the tests had of the machine. Others may use it too, and where a test
// has waited in vain its output is all that is left to tell why.
type machine struct {
	mu      sync.Mutex
	moments []moment // the latest
}

// moment is about a second.
type moment struct {
	at     time.Time
	lag    time.Duration  // by which this process woke too late
	answer time.Duration  // that the API server took for the least that it can be asked
	cpu    procfs.CPUStat // seconds of all processors, until then
}

// momentsKept are those of the longest wait.
const momentsKept = int(3 * patience / time.Second)

// watch goes on as long as this process.
func (m *machine) watch(e *environment) error {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return err
	}
	go func() {
		for {
			slept := time.Now()
			time.Sleep(time.Second) // nothing is waited for: how late it ends is measured
			now := moment{at: time.Now(), lag: time.Since(slept) - time.Second}
			if stat, err := proc.Stat(); err == nil {
				now.cpu = stat.CPUTotal
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // some tests stop it
			_, _ = e.client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceDefault, metav1.GetOptions{})
			cancel()
			now.answer = time.Since(now.at)
			m.mu.Lock()
			m.moments = append(m.moments, now)
			m.moments = m.moments[max(0, len(m.moments)-momentsKept):]
			m.mu.Unlock()
		}
	}()
	return nil
}

// since tells of the time since then in one line.
func (m *machine) since(then time.Time) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var first, last moment
	var lag, answer time.Duration
	for _, now := range m.moments {
		if now.at.Before(then) {
			continue
		}
		if first.at.IsZero() {
			first = now
		}
		last, lag, answer = now, max(lag, now.lag), max(answer, now.answer)
	}
	from, to := first.cpu, last.cpu
	used := to.User + to.Nice + to.System + to.IRQ + to.SoftIRQ - from.User - from.Nice - from.System - from.IRQ - from.SoftIRQ
	idle, waiting, stolen := to.Idle-from.Idle, to.Iowait-from.Iowait, to.Steal-from.Steal
	percent := 100 / max(1, used+idle+waiting+stolen)
	return fmt.Sprintf("of the processors %.0f %% were idle, %.0f %% waited for disks, %.0f %% were used by other machines; "+
		"this process slept up to %s too long; the API server took up to %s to answer",
		percent*idle, percent*waiting, percent*stolen, lag.Round(time.Millisecond), answer.Round(time.Millisecond))
}

// daemons tells which of the cluster's daemons do not run, and the last lines of the one
// that binds and releases claims, and of the one that starts them all.
func (e *environment) daemons() string {
	var report strings.Builder
	logs := []string{filepath.Join(e.cluster.Dir, "supervisor.log")}
	for _, daemon := range e.cluster.Daemons {
		if state, err := stateOf(daemon); err != nil || strings.Contains("TZ", state) {
			fmt.Fprintln(&report, daemon.Name, "does not run:", state, err)
		}
		if daemon.Name == "kube-controller-manager" {
			logs = append(logs, daemon.Log)
		}
	}
	for _, log := range logs {
		fmt.Fprintf(&report, "%s:\n%s\n", log, localcluster.LastLog(log))
	}
	return report.String()
}

// stateOf is a letter, as ps shows it.
func stateOf(daemon localcluster.Daemon) (string, error) {
	pid, err := daemon.LastPID()
	if err != nil {
		return "", err
	}
	process, err := procfs.NewProc(pid)
	if err != nil {
		return "", err
	}
	stat, err := process.Stat()
	return stat.State, err
}
