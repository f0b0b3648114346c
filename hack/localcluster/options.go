package localcluster

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
)

// maxDirLength leaves room for the sockets below the directory: the kernel
// limits the path of a unix socket to 107 bytes.
const maxDirLength = 70

// Options says what a local cluster consists of.
type Options struct {
	// Dir holds everything the cluster writes and is removed with it. Empty: a
	// new directory for temporary files.
	Dir string
	// Network is where Ceph and Kubernetes get their addresses, as in "10.77.0.0/24".
	// All of it must be local to this machine: ip route add local 10.77.0.0/24 dev lo
	Network string
	// CephClusters is how many separate Ceph clusters to start.
	CephClusters int
	// Kubernetes adds a Kubernetes control plane.
	Kubernetes bool
	// KubernetesBin is the directory of its programs. Empty: what
	// hack/kubernetes/build.sh builds.
	KubernetesBin string
	// ControllerManagerQPS raises the kube-controller-manager's client limit (with
	// twice as much burst). 0: its stock limits of 20 and 30.
	ControllerManagerQPS int
	// FeatureGates goes to every Kubernetes component, as in "A=true,B=false".
	FeatureGates string
	// Progress receives what happens, line by line. Nil: nobody wants to know.
	Progress io.Writer
}

// DefaultOptions are one Ceph cluster and a Kubernetes control plane.
func DefaultOptions() Options {
	return Options{Network: loopback, CephClusters: 1, Kubernetes: true}
}

// Validate reports the first option that cannot work.
func (o Options) Validate() error {
	switch {
	case o.CephClusters < 0:
		return fmt.Errorf("the number of Ceph clusters is negative: %d", o.CephClusters)
	case o.CephClusters == 0 && !o.Kubernetes:
		return errors.New("nothing to start: neither Ceph nor Kubernetes was asked for")
	case o.ControllerManagerQPS < 0:
		return fmt.Errorf("the controller manager's QPS is negative: %d", o.ControllerManagerQPS)
	case o.Dir != "" && !filepath.IsAbs(o.Dir):
		return fmt.Errorf("the directory must be absolute: %s", o.Dir)
	case len(o.Dir) > maxDirLength:
		return fmt.Errorf("the directory's name is too long for the unix sockets below it: %d > %d bytes: %s",
			len(o.Dir), maxDirLength, o.Dir)
	}
	_, err := o.network()
	return err
}

func (o Options) network() (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(cmp.Or(o.Network, loopback))
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("the network of the addresses: %w", err)
	}
	if !prefix.Addr().Is4() || prefix.Bits() > smallestNetwork {
		return netip.Prefix{}, fmt.Errorf("the network of the addresses must be IPv4 and at least a /%d: %s", smallestNetwork, prefix)
	}
	return prefix, nil
}

func (o Options) progress() io.Writer {
	if o.Progress == nil {
		return io.Discard
	}
	return o.Progress
}

// arguments are the options as flags of `localcluster run`.
func (o Options) arguments() []string {
	args := []string{
		"--dir=" + o.Dir,
		"--network=" + cmp.Or(o.Network, loopback),
		fmt.Sprintf("--ceph-clusters=%d", o.CephClusters),
		fmt.Sprintf("--kubernetes=%t", o.Kubernetes),
		fmt.Sprintf("--controller-manager-qps=%d", o.ControllerManagerQPS),
	}
	if o.KubernetesBin != "" {
		args = append(args, "--kubernetes-bin="+o.KubernetesBin)
	}
	if o.FeatureGates != "" {
		args = append(args, "--feature-gates="+o.FeatureGates)
	}
	return args
}
