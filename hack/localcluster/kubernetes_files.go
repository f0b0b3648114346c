package localcluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// auditPolicy logs every request once, when it has been answered.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
`

const kubeconfigTemplate = `apiVersion: v1
kind: Config
current-context: localcluster
contexts:
- name: localcluster
  context: {cluster: localcluster, user: %[1]s}
clusters:
- name: localcluster
  cluster:
    server: %[2]s
    certificate-authority-data: %[3]s
users:
- name: %[1]s
  user:
    client-certificate-data: %[4]s
    client-key-data: %[5]s
`

// kubernetesFiles are the paths of the control plane.
type kubernetesFiles struct{ dir string }

func (f kubernetesFiles) kubeconfig(user string) string {
	return filepath.Join(f.dir, user+".kubeconfig")
}
func (f kubernetesFiles) logDir() string            { return filepath.Join(f.dir, "log") }
func (f kubernetesFiles) daemonLog(n string) string { return filepath.Join(f.logDir(), n+".log") }
func (f kubernetesFiles) auditPolicy() string       { return filepath.Join(f.dir, "audit-policy.yaml") }
func (f kubernetesFiles) auditLog() string          { return filepath.Join(f.dir, "audit.log") }
func (f kubernetesFiles) etcdDir() string           { return filepath.Join(f.dir, "etcd") }
func (f kubernetesFiles) emptyDir() string          { return filepath.Join(f.dir, "empty") }
func (f kubernetesFiles) certDir() string           { return filepath.Join(f.dir, "pki") }
func (f kubernetesFiles) ca() string                { return filepath.Join(f.certDir(), "ca.crt") }
func (f kubernetesFiles) server() string            { return filepath.Join(f.certDir(), "apiserver") }
func (f kubernetesFiles) serviceAccountKey() string {
	return filepath.Join(f.certDir(), "service-accounts.key")
}

// write lays out the control plane's keys and configuration. It returns the
// administrator's key pair and the CA's certificate.
func (f kubernetesFiles) write(serverURL, ip string) (admin keyPair, ca []byte, err error) {
	for _, dir := range []string{f.logDir(), f.etcdDir(), f.emptyDir(), f.certDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return keyPair{}, nil, err
		}
	}
	authority, err := newAuthority()
	if err != nil {
		return keyPair{}, nil, err
	}
	if err := f.writeServerFiles(authority, ip); err != nil {
		return keyPair{}, nil, err
	}
	for _, component := range []string{"controller-manager", "scheduler"} {
		if _, err := f.writeKubeconfig(authority, serverURL, component, "system:kube-"+component); err != nil {
			return keyPair{}, nil, err
		}
	}
	admin, err = f.writeKubeconfig(authority, serverURL, "admin", "admin", "system:masters")
	return admin, authority.pem, err
}

func (f kubernetesFiles) writeServerFiles(a *authority, ip string) error {
	names := []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}
	pair, err := a.server(names, []net.IP{net.ParseIP(ip), net.ParseIP(apiServiceIP)})
	if err != nil {
		return err
	}
	if err := pair.write(f.server()); err != nil {
		return err
	}
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the service accounts' key: %w", err)
	}
	key, err := encodeKey(signer)
	if err != nil {
		return err
	}
	for path, content := range map[string][]byte{
		f.serviceAccountKey(): key, f.ca(): a.pem, f.auditPolicy(): []byte(auditPolicy),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (f kubernetesFiles) writeKubeconfig(a *authority, serverURL, file, user string, groups ...string) (keyPair, error) {
	pair, err := a.client(user, groups...)
	if err != nil {
		return keyPair{}, err
	}
	encode := base64.StdEncoding.EncodeToString
	content := fmt.Sprintf(kubeconfigTemplate, user, serverURL, encode(a.pem), encode(pair.certificate), encode(pair.key))
	return pair, os.WriteFile(f.kubeconfig(file), []byte(content), 0o600)
}
