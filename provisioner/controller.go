package provisioner

import (
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/controller"

	"ceph.example/ceph-provisioner/seats"
	"ceph.example/ceph-provisioner/stalled"
)

// guardedProvisioner is all that sig-storage-lib uses of a provisioner of ours.
type guardedProvisioner interface {
	controller.BlockProvisioner
	controller.DeletionGuard
}

// ControllerOptions are what a loop of sig-storage-lib works with and within.
type ControllerOptions struct {
	Names   []string // of the provisioner; the first stands in new volumes
	Threads int      // for each Ceph cluster: creations at a time, and deletions
	Timeout time.Duration
	Retries func() workqueue.RateLimiter
	Stalled *stalled.Work // what waits after a failure; the caller runs it
	// Several loops can share them. Whoever made them starts them.
	Claims, Volumes, Classes cache.SharedIndexInformer
}

// NewController returns a loop that gives up nothing, and comes back to what failed when
// that works again. No Ceph cluster takes the threads of another.
func NewController(client kubernetes.Interface, p guardedProvisioner, o ControllerOptions) *controller.ProvisionController {
	returning := newComeback(p, o.Stalled, o.Claims, o.Volumes)
	seated := seated{returning, seats.New(o.Threads), seats.New(o.Threads), o.Timeout}
	return controller.NewProvisionController(client, o.Names[0], seated,
		controller.AdditionalProvisionerNames(o.Names[1:]),
		controller.LeaderElection(false), // one Lease of our own covers all loops
		controller.ClaimsInformer(returning.claimEvents),
		controller.VolumesInformer(returning.volumeEvents),
		controller.ClassesInformer(o.Classes),
		controller.Threadiness(seated.creations.Workers()),
		controller.RateLimiter(o.Retries()),
		controller.CreateProvisionedPVLimiter(o.Retries()),
		controller.FailedProvisionThreshold(0), // giving up would leak what is half made
		controller.FailedDeleteThreshold(0),
		controller.ProvisionTimeout(0), // seated has one
		controller.DeletionTimeout(0),
	)
}
