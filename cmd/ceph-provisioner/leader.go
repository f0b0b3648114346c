package main

import (
	"context"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// leaseName is the one Lease that all loops work under.
const leaseName = "ceph-provisioner"

// lead runs work while this process holds the Lease. When the context ends, the
// Lease is released as soon as work has returned. When the Lease is lost, the tenure or
// lead ends, and the process must end, since calls may still be under way.
func lead(ctx context.Context, o leaderOptions, client kubernetes.Interface, tenure *tenure, health *health, work func(context.Context)) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	identity := fmt.Sprintf("%s_%s", host, uuid.NewUUID())
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, o.namespace, leaseName,
		client.CoreV1(), client.CoordinationV1(), resourcelock.ResourceLockConfig{Identity: identity})
	if err != nil {
		return err
	}
	electing, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:            &watchedLock{Interface: lock, tenure: tenure, duration: o.leaseDuration},
		Name:            leaseName,
		LeaseDuration:   o.leaseDuration,
		RenewDeadline:   o.renewDeadline,
		RetryPeriod:     o.retryPeriod,
		ReleaseOnCancel: true,
		WatchDog:        health.leader,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) {
				defer release()
				leading, stop := context.WithCancel(leading)
				defer stop()
				defer context.AfterFunc(ctx, stop)()
				work(leading)
			},
			OnStoppedLeading: func() {},
			OnNewLeader: func(leader string) {
				health.ready.Store(true)
				klog.FromContext(ctx).Info("The leader is known", "leader", leader, "self", leader == identity)
			},
		},
	})
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() {
		if !elector.IsLeader() {
			release()
		}
	})()
	elector.Run(electing)
	if ctx.Err() != nil {
		return nil
	}
	return errLeaseLost
}
