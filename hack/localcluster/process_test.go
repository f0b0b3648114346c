package localcluster

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func shellDaemon(t *testing.T, script string) *daemon {
	dir := t.TempDir()
	return &daemon{
		name: "test", program: "/bin/sh", args: []string{"-c", script},
		log: filepath.Join(dir, "log"), pidFile: filepath.Join(dir, "pid"),
	}
}

func TestDaemonDies(t *testing.T) {
	died := make(chan error, 1)
	d := shellDaemon(t, "echo out of luck; exit 3")
	if err := d.start(newLauncher(), func(_ *daemon, err error) { died <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-died; err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("died with %v", err)
	}
	if d.lastLog() != "out of luck" {
		t.Errorf("log is %q", d.lastLog())
	}
	d.kill() // must not hang or fail on a dead one
}

func TestDaemonKilledAndStartedAgain(t *testing.T) {
	launcher, died := newLauncher(), make(chan error, 2)
	d := shellDaemon(t, "exec sleep 1000")
	report := func(_ *daemon, err error) { died <- err }
	if err := d.start(launcher, report); err != nil {
		t.Fatal(err)
	}
	first := d.describe().PID
	d.kill()
	if err := d.start(launcher, report); err != nil {
		t.Fatal(err)
	}
	if second := d.describe().PID; second == first || second == 0 {
		t.Errorf("PIDs %d and %d", first, second)
	}
	d.kill()
	if len(died) > 0 {
		t.Errorf("a daemon that was killed is reported as dead: %v", <-died)
	}
}

func TestRevive(t *testing.T) {
	launcher, died := newLauncher(), make(chan error, 1)
	d := shellDaemon(t, "exec sleep 1000")
	report := func(_ *daemon, err error) { died <- err }
	if err := d.start(launcher, report); err != nil {
		t.Fatal(err)
	}
	pid := func() int { return d.describe().PID }
	revives := func(want bool) {
		t.Helper()
		before := pid()
		if err := d.revive(launcher, report); err != nil {
			t.Fatal(err)
		}
		if revived := pid() != before; revived != want {
			t.Errorf("revived: %v, want %v", revived, want)
		}
	}
	revives(false) // it runs
	if err := syscall.Kill(pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-died
	revives(true)
	d.kill()
	revives(false) // it is not to run
}

func TestInParallelReturnsTheFirstError(t *testing.T) {
	cause := errors.New("broken")
	err := inParallel(context.Background(),
		func(context.Context) error { return cause },
		func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	if !errors.Is(err, cause) {
		t.Errorf("got %v, want %v", err, cause)
	}
	if err := inParallel(context.Background(), func(context.Context) error { return nil }); err != nil {
		t.Errorf("got %v from tasks that succeeded", err)
	}
	late, end := context.WithCancelCause(context.Background())
	end(errTooSlow)
	err = inParallel(late, func(ctx context.Context) error {
		return waitUntil(ctx, "it", func(context.Context) error { return cause })
	})
	if !errors.Is(err, errTooSlow) || !errors.Is(err, cause) {
		t.Errorf("got %v, which does not say what was missing at the end", err)
	}
}

func TestCephStatusMissing(t *testing.T) {
	const healthy = `{"health":{"status":"HEALTH_OK"},"mgrmap":{"available":true},
		"fsmap":{"by_rank":[{"status":"up:active"}]},"pgmap":{"pgs_by_state":[{"state_name":"active+clean"}]}}`
	for name, test := range map[string]struct{ old, new, want string }{
		"healthy":           {"", "", ""},
		"warning":           {`"HEALTH_OK"`, `"HEALTH_WARN","checks":{"OSD_DOWN":{}}`, "OSD_DOWN"},
		"no manager":        {`"available":true`, `"available":false`, "manager"},
		"MDS still replays": {"up:active", "up:replay", "MDS"},
		"peering":           {"active+clean", "peering", "peering"},
		"no placement":      {`{"state_name":"active+clean"}`, "", "placement"},
	} {
		t.Run(name, func(t *testing.T) {
			var status cephStatus
			if err := json.Unmarshal([]byte(strings.Replace(healthy, test.old, test.new, 1)), &status); err != nil {
				t.Fatal(err)
			}
			err := status.missing()
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
