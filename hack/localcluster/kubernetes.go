package localcluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

const (
	etcdClientPort        = 2379
	etcdPeerPort          = 2380
	apiServerPort         = 6443
	controllerManagerPort = 10257
	schedulerPort         = 10259
)

// controlPlane is the Kubernetes control plane during its bring-up.
type controlPlane struct {
	*supervisor
	kubernetesFiles
	binDir  string
	address *address
	env     []string
	client  *http.Client // the administrator's
}

// startKubernetes returns when the API server serves and the controllers have
// made what pods and claims need.
func (s *supervisor) startKubernetes(ctx context.Context) (*Kubernetes, error) {
	described, err := s.tryStartKubernetes(ctx)
	if err != nil {
		return nil, fmt.Errorf("kubernetes: %w", err)
	}
	s.log.printf("kubernetes is ready at %s", described.Server)
	return described, nil
}

func (s *supervisor) tryStartKubernetes(ctx context.Context) (*Kubernetes, error) {
	if err := findPrograms("etcd"); err != nil {
		return nil, err
	}
	address, err := s.takeAddress(etcdClientPort, etcdPeerPort, apiServerPort, controllerManagerPort, schedulerPort)
	if err != nil {
		return nil, err
	}
	p := &controlPlane{
		supervisor: s, kubernetesFiles: kubernetesFiles{filepath.Join(s.options.Dir, "kubernetes")},
		binDir: s.options.KubernetesBin, address: address, env: childEnv(s.options.Dir, os.Getenv("PATH")),
	}
	admin, ca, err := p.write(p.url(""), address.ip)
	if err != nil {
		return nil, err
	}
	if p.client, err = newHTTPClient(admin, ca); err != nil {
		return nil, err
	}
	if err := p.bringUp(ctx); err != nil {
		return nil, err
	}
	return &Kubernetes{
		Kubeconfig: p.kubeconfig("admin"), Server: p.url(""), AuditLog: p.auditLog(),
		BinDir: p.binDir, LogDir: p.logDir(),
	}, nil
}

func (p *controlPlane) bringUp(ctx context.Context) error {
	if err := p.startEtcd(); err != nil {
		return err
	}
	if err := p.startAPIServer(); err != nil {
		return err
	}
	if err := waitUntil(ctx, "the API server", p.found("/readyz")); err != nil {
		return err
	}
	p.log.printf("kubernetes: API server answers")
	if err := errors.Join(p.startControllerManager(), p.startScheduler()); err != nil {
		return err
	}
	for _, path := range []string{
		"/api/v1/namespaces/kube-system/serviceaccounts/default",
		"/api/v1/namespaces/default/serviceaccounts/default",
	} {
		if err := waitUntil(ctx, "the default service account", p.found(path)); err != nil {
			return err
		}
	}
	return nil
}

func (p *controlPlane) url(path string) string {
	return "https://" + p.address.port(apiServerPort) + path
}

// found asks whether the API server answers a path with success.
func (p *controlPlane) found(path string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url(path), nil)
		if err != nil {
			return err
		}
		response, err := p.client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s: %s", path, response.Status, bytes.TrimSpace(body))
		}
		return nil
	}
}

func newHTTPClient(user keyPair, ca []byte) (*http.Client, error) {
	certificate, err := tls.X509KeyPair(user.certificate, user.key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{certificate}},
	}}, nil
}

// findKubernetes has the control plane's programs built unless the options say
// where they are. The first build takes minutes, which is why it is no part of the
// bring-up; what it is at goes to the supervisor's progress.
func (s *supervisor) findKubernetes(ctx context.Context) error {
	if !s.options.Kubernetes || s.options.KubernetesBin != "" {
		return nil
	}
	// This program is never installed, only built in a checkout.
	_, source, _, _ := runtime.Caller(0)
	script := filepath.Join(filepath.Dir(source), "..", "kubernetes", "build.sh")
	if _, err := os.Stat(script); err != nil {
		return fmt.Errorf("no script to build it: %w; say where the programs are with --kubernetes-bin", err)
	}
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, script)
	cmd.Stdout, cmd.Stderr = &output, s.log
	err := s.launcher.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("building Kubernetes: %w", err)
	}
	s.options.KubernetesBin = strings.TrimSpace(output.String())
	return nil
}
