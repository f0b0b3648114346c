package localcluster

import (
	"fmt"
	"path/filepath"
)

const (
	serviceNetwork = "10.96.0.0/16"
	apiServiceIP   = "10.96.0.1" // the first of the network
	issuer         = "https://kubernetes.default.svc"
	// auditLogMegabytes is never reached: a rotated log would lose requests that a
	// test counts.
	auditLogMegabytes = 10_000
)

func (p *controlPlane) startEtcd() error {
	client, peer := "http://"+p.address.port(etcdClientPort), "http://"+p.address.port(etcdPeerPort)
	return p.startDaemon(p.daemon("etcd", "etcd", p.env,
		"--name=etcd",
		"--data-dir="+p.etcdDir(),
		"--listen-client-urls="+client,
		"--advertise-client-urls="+client,
		"--listen-peer-urls="+peer,
		"--initial-advertise-peer-urls="+peer,
		"--initial-cluster=etcd="+peer,
		"--log-level=warn",
		"--unsafe-no-fsync", // its data never outlives it
	))
}

func (p *controlPlane) startAPIServer() error {
	args := []string{
		"--etcd-servers=http://" + p.address.port(etcdClientPort),
		"--bind-address=" + p.address.ip,
		"--advertise-address=" + p.address.ip,
		fmt.Sprintf("--secure-port=%d", apiServerPort),
		// The endpoints of a Service may not be loopback addresses.
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=" + serviceNetwork,
		"--cert-dir=" + p.certDir(),
		"--tls-cert-file=" + p.server() + ".crt",
		"--tls-private-key-file=" + p.server() + ".key",
		"--client-ca-file=" + p.ca(),
		"--authorization-mode=RBAC",
		"--service-account-issuer=" + issuer,
		"--service-account-key-file=" + p.serviceAccountKey(),
		"--service-account-signing-key-file=" + p.serviceAccountKey(),
		"--audit-policy-file=" + p.auditPolicy(),
		"--audit-log-path=" + p.auditLog(),
		fmt.Sprintf("--audit-log-maxsize=%d", auditLogMegabytes),
		"--allow-privileged",
		"--profiling=false",
	}
	return p.startDaemon(p.component("kube-apiserver", p.env, args...))
}

// startControllerManager hides all programs from it: the image in which it runs
// has no rbd either, and what its in-tree plugin does then is what users see.
func (p *controlPlane) startControllerManager() error {
	args := []string{
		"--kubeconfig=" + p.kubeconfig("controller-manager"),
		"--bind-address=" + p.address.ip,
		fmt.Sprintf("--secure-port=%d", controllerManagerPort),
		"--cert-dir=" + p.certDir(),
		"--leader-elect=false",
		"--use-service-account-credentials",
		"--root-ca-file=" + p.ca(),
		"--service-account-private-key-file=" + p.serviceAccountKey(),
		"--flex-volume-plugin-dir=" + p.emptyDir(),
		"--profiling=false",
	}
	if qps := p.options.ControllerManagerQPS; qps > 0 {
		args = append(args, fmt.Sprintf("--kube-api-qps=%d", qps), fmt.Sprintf("--kube-api-burst=%d", 2*qps))
	}
	env := childEnv(p.options.Dir, p.emptyDir())
	return p.startRevived(p.component("kube-controller-manager", env, args...))
}

func (p *controlPlane) startScheduler() error {
	return p.startRevived(p.component("kube-scheduler", p.env,
		"--kubeconfig="+p.kubeconfig("scheduler"),
		"--bind-address="+p.address.ip,
		fmt.Sprintf("--secure-port=%d", schedulerPort),
		"--cert-dir="+p.certDir(),
		"--leader-elect=false",
		"--profiling=false",
	))
}

// startRevived starts what gives up when the API server does not answer in time (at its
// start, after 10 s), and relies on being started again.
func (p *controlPlane) startRevived(d *daemon) error {
	d.revived = true
	return p.startDaemon(d)
}

// component is one of Kubernetes' own programs.
func (p *controlPlane) component(name string, env []string, args ...string) *daemon {
	if gates := p.options.FeatureGates; gates != "" {
		args = append(args, "--feature-gates="+gates)
	}
	return p.daemon(name, filepath.Join(p.binDir, name), env, args...)
}

func (p *controlPlane) daemon(name, program string, env []string, args ...string) *daemon {
	return &daemon{name: name, program: program, args: args, env: env, log: p.daemonLog(name)}
}
