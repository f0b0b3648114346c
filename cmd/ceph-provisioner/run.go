package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os/signal"
	"syscall"

	"k8s.io/klog/v2"
)

// run is the whole life of the process.
func run(args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case rotateKeyCommand:
			return rotateKeys(args[1:])
		case auditCommand:
			return auditVolumes(args[1:])
		}
	}
	o, rest, err := parseOptions(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q: there are only flags, and the commands %s and %s (see --help)", rest[0], auditCommand, rotateKeyCommand)
	case o.version:
		fmt.Println("ceph-provisioner", version)
		return nil
	}
	defer klog.Flush()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	tenure := &tenure{lose: die}
	client, err := newKubernetesClient(o, tenure)
	if err != nil {
		return err
	}
	loops, err := newControllers(o, client, tenure)
	if err != nil {
		return err
	}
	health := newHealth()
	if err := serveHTTP(ctx, o, health, loops.audits); err != nil {
		return err
	}
	if err := serveProfiles(ctx, o); err != nil {
		return err
	}
	work := func(ctx context.Context) { loops.run(ctx, client) }
	if o.leaderElection.enabled {
		lease, err := newLeaseClient(o)
		if err != nil {
			return err
		}
		return lead(ctx, o.leaderElection, lease, tenure, health, work)
	}
	health.ready.Store(true)
	work(ctx)
	return nil
}
