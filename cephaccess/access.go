// Package cephaccess leads from what Kubernetes objects name (monitors, an
// identity, a secret) to a backend that is connected with them.
package cephaccess

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/util"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// SecretReader reads one secret from the API server.
type SecretReader interface {
	Secret(ctx context.Context, ref pvspec.SecretRef) (*corev1.Secret, error)
}

// Resolver looks host names up; *net.Resolver is one.
type Resolver interface {
	LookupHost(ctx context.Context, host string) ([]string, error)
}

// ClassReader reads StorageClasses.
type ClassReader interface {
	// StorageClass returns nil without error if there is none of that name.
	StorageClass(ctx context.Context, name string) (*storagev1.StorageClass, error)
}

// Access opens backends.
type Access struct {
	Secrets   SecretReader
	Classes   ClassReader
	Resolver  Resolver
	Connector cephclient.Connector
}

// lookupTimeout leaves most of a call's time to Ceph.
const lookupTimeout = 10 * time.Second

// Cluster turns monitors, given as host:port, into those of a cluster: IP:port,
// in the order given, and every address of a name.
func (a *Access) Cluster(ctx context.Context, monitors []string) (cephclient.Cluster, error) {
	addresses, err := a.resolve(ctx, monitors)
	if err != nil {
		return cephclient.Cluster{}, fmt.Errorf("%w: correct the StorageClass, or the cluster's DNS", err)
	}
	return cephclient.Cluster{Monitors: addresses}, nil
}

// resolve returns what it can; the error is of the first that it can't.
func (a *Access) resolve(ctx context.Context, monitors []string) (addresses []string, failure error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	for _, monitor := range monitors {
		host, port, err := net.SplitHostPort(monitor)
		ips := []string{host}
		if err == nil && net.ParseIP(host) == nil {
			ips, err = a.Resolver.LookupHost(ctx, host)
		}
		if err != nil {
			failure = cmp.Or(failure, fmt.Errorf("monitor %q can't be resolved to an IP address (%w)", monitor, withoutPorts(err)))
			continue
		}
		slices.Sort(ips)
		for _, ip := range ips {
			addresses = append(addresses, net.JoinHostPort(ip, port))
		}
	}
	return addresses, failure
}

// withoutPorts makes the same of the same failure of DNS, whose text else has the
// port that was asked from.
func withoutPorts(err error) error {
	var lookup *net.DNSError
	if errors.As(err, &lookup) && !lookup.IsNotFound {
		return errors.New("the DNS server fails or does not answer")
	}
	return err
}

// Backend connects as identity.
func (a *Access) Backend(ctx context.Context, kind cephclient.Kind, cluster cephclient.Cluster, identity pvspec.Identity) (cephclient.Backend, error) {
	if err := a.Connector.Rests(kind, cluster); err != nil {
		return nil, err // before the API server is asked for a secret, by each of many claims
	}
	return connect(ctx, a, identity, func(credentials cephclient.Credentials) (cephclient.Backend, error) {
		return a.Connector.Backend(ctx, kind, cluster, credentials)
	})
}

// Users connects as identity.
func (a *Access) Users(ctx context.Context, cluster cephclient.Cluster, identity pvspec.Identity) (cephclient.Users, error) {
	if err := a.Connector.Rests(cephclient.CephFS, cluster); err != nil {
		return nil, err
	}
	return connect(ctx, a, identity, func(credentials cephclient.Credentials) (cephclient.Users, error) {
		return a.Connector.Users(ctx, cluster, credentials)
	})
}

// Inventory connects as identity.
func (a *Access) Inventory(ctx context.Context, cluster cephclient.Cluster, identity pvspec.Identity) (cephclient.Inventory, error) {
	return connect(ctx, a, identity, func(credentials cephclient.Credentials) (cephclient.Inventory, error) {
		return a.Connector.Inventory(ctx, cluster, credentials)
	})
}

// FSID returns a cluster's fsid, which is the same by whichever of its monitors it is
// reached.
func (a *Access) FSID(ctx context.Context, cluster cephclient.Cluster, identity pvspec.Identity) (string, error) {
	inventory, err := a.Inventory(ctx, cluster, identity)
	if err != nil {
		return "", err
	}
	return inventory.Cluster(ctx)
}

// connect opens something with the key in an identity's secret.
func connect[T any](ctx context.Context, a *Access, identity pvspec.Identity, open func(cephclient.Credentials) (T, error)) (opened T, err error) {
	secret, err := a.secret(ctx, identity.Secret)
	if err != nil {
		return opened, err
	}
	key, err := pvspec.KeyFromSecret(secret)
	if err != nil {
		return opened, err
	}
	if opened, err = open(cephclient.Credentials{ID: identity.ID, Key: key}); err != nil {
		return opened, fmt.Errorf("with the key in secret %s: %w", identity.Secret, err)
	}
	return opened, nil
}

// Locate leads from a PersistentVolume to its volume, its cluster and who may change
// it. The StorageClass is asked only for volumes of old provisioners. Monitors whose names
// are gone do no harm beside others: nobody can correct the source of a PersistentVolume.
func (a *Access) Locate(ctx context.Context, pv *corev1.PersistentVolume) (cephclient.Cluster, pvspec.Source, error) {
	source, err := a.source(ctx, pv)
	if err != nil {
		return cephclient.Cluster{}, pvspec.Source{}, err
	}
	addresses, err := a.resolve(ctx, source.Monitors)
	if len(addresses) == 0 {
		return cephclient.Cluster{}, pvspec.Source{}, fmt.Errorf("%w: PersistentVolume %s names it, so make it known to the cluster's DNS", err, pv.Name)
	}
	return cephclient.Cluster{Monitors: addresses}, source, nil
}

// Open leads from a PersistentVolume to its volume and a backend for it.
func (a *Access) Open(ctx context.Context, pv *corev1.PersistentVolume) (cephclient.Backend, cephclient.Volume, error) {
	cluster, source, err := a.Locate(ctx, pv)
	if err != nil {
		return nil, cephclient.Volume{}, err
	}
	backend, err := a.Backend(ctx, source.Volume.Kind, cluster, source.Admin)
	return backend, source.Volume, err
}

func (a *Access) source(ctx context.Context, pv *corev1.PersistentVolume) (pvspec.Source, error) {
	var class *storagev1.StorageClass
	if name := util.GetPersistentVolumeClass(pv); name != "" && pvspec.NeedsClass(pv) {
		var err error
		if class, err = a.Classes.StorageClass(ctx, name); err != nil {
			return pvspec.Source{}, fmt.Errorf("read StorageClass %q: %w", name, err)
		}
	}
	return pvspec.FromPersistentVolume(pv, class)
}

// NodesKey returns the key in a secret, and refuses one that the kubelet could not mount with.
func (a *Access) NodesKey(ctx context.Context, kind cephclient.Kind, ref pvspec.SecretRef) (cephclient.Secret, error) {
	secret, err := a.secret(ctx, ref)
	if err != nil {
		return cephclient.Secret{}, err
	}
	return pvspec.KeyForKubelet(kind, secret)
}

func (a *Access) secret(ctx context.Context, ref pvspec.SecretRef) (*corev1.Secret, error) {
	secret, err := a.Secrets.Secret(ctx, ref)
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("secret %s does not exist: create it with the identity's key in entry \"key\"", ref)
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("secret %s may not be read by this service account: grant it \"get\" there", ref)
	case err != nil:
		return nil, fmt.Errorf("read secret %s: %w", ref, err)
	}
	return secret, nil
}
