package localcluster

import (
	"errors"
	"io/fs"
	"os/exec"
	"reflect"
	"strings"
	"testing"
)

func sample(dir string) *Description {
	return &Description{
		Dir: dir, SupervisorPID: 7,
		Kubernetes: &Kubernetes{Kubeconfig: dir + "/it's", Server: "https://127.64.1.1:6443", BinDir: "/bin dir"},
		Ceph:       []Ceph{{Name: "ceph-0", Conf: dir + "/0.conf"}, {Name: "ceph-1", Conf: dir + "/1.conf"}},
		Daemons:    []Daemon{{Name: "etcd", PID: 8, PIDFile: "/p", Log: "/l"}},
	}
}

func TestDescriptionRoundTrip(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("loading before the cluster is ready: %v", err)
	}
	saved := sample(dir)
	if err := saved.save(); err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(loaded, saved) {
		t.Errorf("got %+v, want %+v", loaded, saved)
	}
}

func TestExportsAreShell(t *testing.T) {
	d := sample("/tmp/x")
	script := d.Exports() + `printf '%s\n' "$KUBECONFIG" "$CEPH_CONF" "${PATH##*:}"`
	output, err := exec.Command("sh", "-c", script).Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := "/tmp/x/it's\n/tmp/x/0.conf\n/bin dir\n"; string(output) != want {
		t.Errorf("got %q, want %q", output, want)
	}
}

func TestDaemonUnknown(t *testing.T) {
	if _, err := sample("/tmp/x").Daemon("osd"); err == nil || !strings.Contains(err.Error(), "etcd") {
		t.Errorf("got %v, want an error that lists the daemons", err)
	}
}

func TestOptionsValidate(t *testing.T) {
	for name, test := range map[string]struct {
		options Options
		valid   bool
	}{
		"default":           {DefaultOptions(), true},
		"Kubernetes alone":  {Options{Kubernetes: true}, true},
		"nothing to start":  {Options{}, false},
		"negative clusters": {Options{CephClusters: -1, Kubernetes: true}, false},
		"negative QPS":      {Options{CephClusters: 1, ControllerManagerQPS: -1}, false},
		"relative dir":      {Options{CephClusters: 1, Dir: "here"}, false},
		"dir too long":      {Options{CephClusters: 1, Dir: "/" + strings.Repeat("x", maxDirLength)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := test.options.Validate(); (err == nil) != test.valid {
				t.Errorf("got %v, want valid: %t", err, test.valid)
			}
		})
	}
}
