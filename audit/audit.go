package audit

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// Access opens what classes and volumes name.
type Access interface {
	// Cluster resolves monitors to IP addresses.
	Cluster(ctx context.Context, monitors []string) (cephclient.Cluster, error)
	Inventory(ctx context.Context, cluster cephclient.Cluster, identity pvspec.Identity) (cephclient.Inventory, error)
	Backend(ctx context.Context, kind cephclient.Kind, cluster cephclient.Cluster, identity pvspec.Identity) (cephclient.Backend, error)
	Users(ctx context.Context, cluster cephclient.Cluster, identity pvspec.Identity) (cephclient.Users, error)
}

// Secrets deletes a secret by its namespace, name and UID.
type Secrets interface {
	DeleteSecret(ctx context.Context, secret *corev1.Secret) error
}

// Options are what an audit works with.
type Options struct {
	Access     Access
	Kubernetes Kubernetes
	Secrets    Secrets

	Installation    string // UID of the namespace kube-system
	Provisioners    map[string]cephclient.Kind
	SecretNamespace string        // looked at besides those that classes name; may be empty
	Timeout         time.Duration // for one call to Ceph, or for a way there
}

// Audit compares one Kubernetes cluster with the Ceph clusters that it uses.
type Audit struct {
	Options
	ways       *ways
	namespaces map[string]bool // of secrets
	mu         sync.Mutex      // of state, where it is written by several
	state      *state
	readAt     time.Time // when Kubernetes was read
}

// New returns an audit that has not looked at anything yet.
func New(options Options) *Audit {
	a := &Audit{Options: options, ways: newWays(options.Access, options.Timeout), namespaces: map[string]bool{}, state: newState(options.Installation)}
	if options.SecretNamespace != "" {
		a.namespaces[options.SecretNamespace] = true
	}
	return a
}

// Run looks at everything and tells what it has found. It fails only if Kubernetes can't
// be read; what else can't be looked at is among the findings.
//
// Ceph is listed before Kubernetes, so that what is made meanwhile has a claim. What is
// deleted meanwhile is found by looking again.
func (a *Audit) Run(ctx context.Context) (Report, error) {
	startedAt := time.Now()
	if err := a.plan(ctx); err != nil {
		return Report{}, err
	}
	s := a.state
	a.examine(ctx, s)
	if err := a.read(ctx); err != nil {
		return Report{}, err
	}
	s.suspects = suspected(compare(s), a.ways.withUsers())
	a.readUsers(ctx, s)
	first := compare(s)
	if err := a.refresh(ctx, first); err != nil {
		return Report{}, err
	}
	report := newReport(a.Installation, startedAt, confirmed(first, compare(s)))
	report.Summary.Places, report.Summary.CephVolumes, report.Summary.Volumes = len(s.examined), len(s.found), len(s.volumes)
	return report, ctx.Err()
}

// refresh looks again at what was found, so that nothing is told that has ended, or that
// was caught between two steps of the provisioner.
func (a *Audit) refresh(ctx context.Context, first []Finding) error {
	s := a.state
	var workers errgroup.Group
	workers.SetLimit(together)
	for _, finding := range first {
		var seen *found
		switch {
		case finding.found != nil && !finding.Kind.isInformation():
			seen = finding.found
		case finding.Kind == MissingVolume:
			pv := s.volumes[finding.PersistentVolume]
			seen = &found{Found: cephclient.Found{Volume: pv.source}, site: pv.site, by: pv.by}
		default:
			continue
		}
		workers.Go(func() error { return a.lookAgain(ctx, seen) })
	}
	_ = workers.Wait() // failures are findings
	if err := a.read(ctx); err != nil {
		return err
	}
	a.readUsers(ctx, s)
	return nil
}

// confirmed are the findings that were there both times, as they are now.
func confirmed(first, second []Finding) []Finding {
	known := map[identity]bool{}
	for _, finding := range first {
		known[finding.identity()] = true
	}
	return slices.DeleteFunc(second, func(finding Finding) bool {
		return finding.Kind != NotExamined && !known[finding.identity()]
	})
}

// plan finds out which places there are: those of all classes, and those of all
// PersistentVolumes, whose class may be gone.
func (a *Audit) plan(ctx context.Context) error {
	classes, err := a.Kubernetes.Classes(ctx)
	if err != nil {
		return err
	}
	for _, class := range classes {
		kind, ours := a.Provisioners[class.Provisioner]
		if !ours {
			continue
		}
		parameters, err := pvspec.ParseClass(kind, &class)
		if err != nil {
			a.state.fail("", "StorageClass", class.Name, err)
			continue
		}
		a.ways.follow(ctx, parameters.Monitors, parameters.Admin, parameters.Place(), parameters.OwnUser)
		if namespace := parameters.User.Secret.Namespace; parameters.OwnUser && namespace != "" {
			a.namespaces[namespace] = true
		}
	}
	_, err = a.readVolumes(ctx)
	return err
}

// read brings what is known of Kubernetes up to date.
func (a *Audit) read(ctx context.Context) error {
	a.readAt = time.Now()
	now, err := a.readVolumes(ctx)
	if err != nil {
		return err
	}
	if err := a.Kubernetes.Claims(ctx, func(claim *corev1.PersistentVolumeClaim) {
		now.claims[string(claim.UID)] = true
		now.named[claim.Namespace+"/"+claim.Name] = true
		if pv := now.volumes[claim.Spec.VolumeName]; pv != nil && pv.claimUID == string(claim.UID) {
			pv.growing = pv.growing || pvspec.IsGrowing(claim, pv.capacityBytes)
		}
	}); err != nil {
		return err
	}
	a.readSecrets(ctx, &now)
	a.state.kubernetes = now
	a.ways.failures(a.state)
	return ctx.Err()
}

// provisioners are the names of all that are ours.
func (a *Audit) provisioners() []string { return slices.Collect(maps.Keys(a.Provisioners)) }
