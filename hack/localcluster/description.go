package localcluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	descriptionFile = "cluster.json"
	environmentFile = "env.sh"
)

// Description is what a running cluster tells about itself in cluster.json. The
// file appears when the cluster is ready and is rewritten when a daemon is
// restarted.
type Description struct {
	Dir           string      `json:"dir"`
	SupervisorPID int         `json:"supervisorPID"`
	Kubernetes    *Kubernetes `json:"kubernetes,omitempty"`
	Ceph          []Ceph      `json:"ceph"`
	Daemons       []Daemon    `json:"daemons"`
}

// Kubernetes says where the control plane is. The kubeconfig is cluster-admin's.
type Kubernetes struct {
	Kubeconfig string `json:"kubeconfig"`
	Server     string `json:"server"`
	// AuditLog has one line of JSON for each request that the API server answered.
	AuditLog string `json:"auditLog"`
	BinDir   string `json:"binDir"`
	LogDir   string `json:"logDir"`
}

// Ceph is one Ceph cluster, with all that a StorageClass and its secret need.
type Ceph struct {
	Name string `json:"name"`
	FSID string `json:"fsid"`
	// Monitors are the msgr v1 addresses as a StorageClass takes them: host:port,
	// separated by commas.
	Monitors     string `json:"monitors"`
	Conf         string `json:"conf"`
	AdminID      string `json:"adminID"`
	AdminKey     string `json:"adminKey"`
	AdminKeyring string `json:"adminKeyring"`
	RBDPool      string `json:"rbdPool"`
	RBDDataPool  string `json:"rbdDataPool"`
	FileSystem   string `json:"fileSystem"`
	LogDir       string `json:"logDir"`
}

// Daemon is one process of the cluster. PIDFile always has the PID of the last
// start, also where PID is stale.
type Daemon struct {
	Name    string `json:"name"`
	PID     int    `json:"pid"`
	PIDFile string `json:"pidFile"`
	Log     string `json:"log"`
}

// LastPID is that of its last start, which may be later than the description.
func (d Daemon) LastPID() (int, error) {
	text, err := os.ReadFile(d.PIDFile)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// Load reads the description of the cluster in dir. The error is fs.ErrNotExist
// as long as the cluster is not ready.
func Load(dir string) (*Description, error) {
	data, err := os.ReadFile(filepath.Join(dir, descriptionFile))
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's description: %w", err)
	}
	var d Description
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("parsing %s of %s: %w", descriptionFile, dir, err)
	}
	return &d, nil
}

// save replaces the description and the script with its environment.
func (d *Description) save() error {
	data, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the description: %w", err)
	}
	return errors.Join(
		replaceFile(filepath.Join(d.Dir, environmentFile), []byte(d.Exports())),
		replaceFile(filepath.Join(d.Dir, descriptionFile), append(data, '\n')),
	)
}

// replaceFile never shows a reader half of the content.
func replaceFile(path string, content []byte) error {
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Daemon finds a daemon by its name, such as "ceph-0/osd" or "kube-apiserver".
func (d *Description) Daemon(name string) (Daemon, error) {
	var names []string
	for _, daemon := range d.Daemons {
		if daemon.Name == name {
			return daemon, nil
		}
		names = append(names, daemon.Name)
	}
	return Daemon{}, fmt.Errorf("no daemon %q: there are %s", name, strings.Join(names, ", "))
}

// Env are the variables under which kubectl, ceph and rbd speak to this cluster
// (the first of several Ceph clusters), to be appended to os.Environ().
func (d *Description) Env() []string {
	env := []string{"LOCALCLUSTER_DIR=" + d.Dir}
	if d.Kubernetes != nil {
		env = append(env, d.Kubernetes.Env()...)
	}
	if len(d.Ceph) > 0 {
		env = append(env, d.Ceph[0].Env()...)
	}
	return env
}

// Env selects the control plane and puts its programs at the end of PATH, where
// they never hide an installed kubectl.
func (k *Kubernetes) Env() []string {
	return []string{"KUBECONFIG=" + k.Kubeconfig, "PATH=" + os.Getenv("PATH") + ":" + k.BinDir}
}

// Env makes ceph, rbd, ceph-fuse and librados use this cluster as its admin.
func (c *Ceph) Env() []string {
	return []string{"CEPH_CONF=" + c.Conf}
}

// Exports is shell code that sets the cluster's environment.
func (d *Description) Exports() string {
	var b strings.Builder
	fmt.Fprintf(&b, "export LOCALCLUSTER_DIR=%s\n", shellQuote(d.Dir))
	if d.Kubernetes != nil {
		fmt.Fprintf(&b, "export KUBECONFIG=%s\n", shellQuote(d.Kubernetes.Kubeconfig))
		fmt.Fprintf(&b, "export PATH=\"$PATH\":%s\n", shellQuote(d.Kubernetes.BinDir))
	}
	if len(d.Ceph) > 0 {
		fmt.Fprintf(&b, "export CEPH_CONF=%s\n", shellQuote(d.Ceph[0].Conf))
	}
	return b.String()
}

func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
