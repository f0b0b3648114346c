// Package provisioner makes and deletes the volumes behind claims, in sig-storage-lib's
// ProvisionController. What deletion needs stands in the PersistentVolume; what is not
// stored yet, in the journal.
package provisioner

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/controller"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// Access opens backends for what classes and volumes name.
type Access interface {
	// Cluster resolves monitors to IP addresses.
	Cluster(ctx context.Context, monitors []string) (cephclient.Cluster, error)
	// Backend connects as an identity whose key stands in a secret.
	Backend(ctx context.Context, kind cephclient.Kind, cluster cephclient.Cluster, identity pvspec.Identity) (cephclient.Backend, error)
	// NodesKey returns the key in a secret, and refuses one that the kubelet could not mount
	// with.
	NodesKey(ctx context.Context, kind cephclient.Kind, ref pvspec.SecretRef) (cephclient.Secret, error)
	// Users connects as an identity, too.
	Users(ctx context.Context, cluster cephclient.Cluster, identity pvspec.Identity) (cephclient.Users, error)
	// FSID returns the name that a cluster has for itself, the same by whichever of its
	// monitors; it connects as an identity, too.
	FSID(ctx context.Context, cluster cephclient.Cluster, identity pvspec.Identity) (string, error)
	// Locate leads from a volume that was made to its cluster and who may change it.
	Locate(ctx context.Context, pv *corev1.PersistentVolume) (cephclient.Cluster, pvspec.Source, error)
}

// Options are what a provisioner works with.
type Options struct {
	Kind    cephclient.Kind
	Access  Access
	Client  kubernetes.Interface
	Volumes corelisters.PersistentVolumeLister // all that there are, as far as they are known
	Secrets Secrets
	// SecretNamespace is where the secrets of volumes with a user of their own are
	// made, unless the class names another; if it is empty, in the claim's.
	SecretNamespace string
	Unfinished      *Unfinished // shared by all kinds; nil where nothing is provisioned
}

// Provisioner serves the classes of one kind of volume.
type Provisioner struct {
	kind            cephclient.Kind
	access          Access
	client          kubernetes.Interface
	volumes         corelisters.PersistentVolumeLister
	keys            keys
	secretNamespace string
	unfinished      *Unfinished
	here            installation
}

var (
	_ controller.BlockProvisioner = (*Provisioner)(nil)
	_ controller.DeletionGuard    = (*Provisioner)(nil)
)

// New returns the provisioner of a kind.
func New(options Options) *Provisioner {
	return &Provisioner{
		kind: options.Kind, access: options.Access, client: options.Client, volumes: options.Volumes,
		keys: keys{options.Secrets}, secretNamespace: options.SecretNamespace, unfinished: options.Unfinished,
		here: installation{client: options.Client},
	}
}

// SupportsBlock implements [controller.BlockProvisioner].
func (p *Provisioner) SupportsBlock(context.Context) bool { return p.kind == cephclient.RBD }

// Provision implements [controller.Provisioner]. Whatever can be checked is
// checked before anything is made in Ceph; until then errors leave the state as
// it was, and afterwards they keep the claim, so that what was made becomes a
// PersistentVolume in the end even if the claim is deleted meanwhile, or this process
// ends.
func (p *Provisioner) Provision(ctx context.Context, options controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	pv, _, state, err := p.provision(ctx, options)
	return pv, state, err
}

// provision returns, besides, the key that nodes mount the volume with, if it is known.
func (p *Provisioner) provision(ctx context.Context, options controller.ProvisionOptions) (
	pv *corev1.PersistentVolume, nodesKey cephclient.Secret, state controller.ProvisioningState, err error,
) {
	if p.unfinished.isFinished(options.PVName) {
		return nil, nodesKey, controller.ProvisioningFinished, &controller.IgnoredError{Reason: "the claim is gone, and what was begun for it is finished"}
	}
	request, err := p.request(ctx, options)
	if err != nil {
		return nil, nodesKey, controller.ProvisioningNoChange, err
	}
	cluster, backend, err := p.reach(ctx, request)
	if err != nil {
		return nil, nodesKey, controller.ProvisioningNoChange, err
	}
	nodesKey, err = p.checkUser(ctx, cluster, request)
	if err != nil && !p.mustFinish(ctx, options) {
		return nil, nodesKey, controller.ProvisioningNoChange, err
	}
	ended, err := p.unfinished.begin(ctx, options)
	if err != nil {
		return nil, nodesKey, controller.ProvisioningNoChange, err
	}
	made := true
	defer func() { ended(made) }()
	info, state, err := ensure(ctx, backend, request)
	if err != nil {
		made = state != controller.ProvisioningNoChange
		return nil, nodesKey, state, err
	}
	if request.OwnUser {
		nodesKey, err = p.grant(ctx, cluster, request.Admin, request.User, info, request.Create.Owner)
		if err != nil && !p.isGone(ctx, options.PVC) {
			return nil, nodesKey, controller.ProvisioningInBackground, err
		}
	}
	pv = request.PersistentVolume(options.PVName, options.StorageClass, options.PVC, cluster, info)
	return pv, nodesKey, controller.ProvisioningFinished, nil
}

func (p *Provisioner) request(ctx context.Context, options controller.ProvisionOptions) (pvspec.Request, error) {
	parameters, err := pvspec.ParseClass(p.kind, options.StorageClass)
	if err != nil {
		return pvspec.Request{}, err
	}
	if parameters.OwnUser && parameters.User.Secret.Namespace == "" {
		parameters.User.Secret.Namespace = p.secretNamespace
	}
	request, err := pvspec.NewRequest(parameters, options.PVC)
	if err != nil {
		return pvspec.Request{}, err
	}
	request.Create.Owner, err = p.here.ownerFor(ctx, options.PVC, options.PVName)
	return request, err
}

// reach opens the way to Ceph. It comes first: while Ceph does not answer, the API server
// need not be asked for secrets.
func (p *Provisioner) reach(ctx context.Context, request pvspec.Request) (cephclient.Cluster, cephclient.Backend, error) {
	cluster, err := p.access.Cluster(ctx, request.Monitors)
	if err != nil {
		return cephclient.Cluster{}, nil, err
	}
	backend, err := p.access.Backend(ctx, p.kind, cluster, request.Admin)
	return cluster, backend, err
}

// checkUser refuses what nobody could mount, before it is made. It returns the nodes' key if
// there is one already.
func (p *Provisioner) checkUser(ctx context.Context, cluster cephclient.Cluster, request pvspec.Request) (cephclient.Secret, error) {
	switch {
	case request.OwnUser:
		return cephclient.Secret{}, p.checkOwnUser(ctx, cluster, request)
	case request.User.Secret.Name != "":
		return p.access.NodesKey(ctx, p.kind, request.User.Secret)
	}
	return cephclient.Secret{}, nil
}

// mustFinish reports whether a volume may have been begun whose claim is gone. It is
// finished to be deleted, and nobody will mount it: the secrets of its namespace, which may
// have been deleted with the claim, are not missed.
func (p *Provisioner) mustFinish(ctx context.Context, options controller.ProvisionOptions) bool {
	return p.unfinished.knows(options.PVName) && p.isGone(ctx, options.PVC)
}

func (p *Provisioner) isGone(ctx context.Context, claim *corev1.PersistentVolumeClaim) bool {
	now, err := claimNow(ctx, p.client, claim.Namespace, claim.Name, claim.UID)
	return now == nil && err == nil
}

// ensure makes or adopts the volume, and brings an adopted one that is smaller
// than the claim asks for to its size.
func ensure(ctx context.Context, backend cephclient.Backend, request pvspec.Request) (cephclient.Info, controller.ProvisioningState, error) {
	info, err := backend.Ensure(ctx, request.Volume, request.SizeBytes, request.Create)
	switch {
	case cephclient.MayBeHalfDone(err):
		return info, controller.ProvisioningInBackground, err
	case err != nil:
		return info, controller.ProvisioningNoChange, err
	case info.SizeBytes < request.SizeBytes:
		var grown cephclient.Info
		grown, err = backend.Grow(ctx, info.Volume, request.SizeBytes)
		info.SizeBytes = grown.SizeBytes // all else is known, and Grow does not look at other file systems
	}
	return info, controller.ProvisioningInBackground, err
}
