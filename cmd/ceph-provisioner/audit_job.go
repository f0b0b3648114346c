package main

import (
	"context"

	"ceph.example/ceph-provisioner/audit"
	"ceph.example/ceph-provisioner/cephclient/goceph"
	"ceph.example/ceph-provisioner/provisioner"
)

// newAuditJob has a client of its own, whose limits of requests hold up no claims, and
// shares the connections to Ceph, whose limits hold for all calls together.
func newAuditJob(o options, ceph *goceph.Pool) (*audit.Job, error) {
	client, err := newKubernetesClient(o, &tenure{})
	if err != nil {
		return nil, err
	}
	return audit.NewJob(o.auditInterval, func(ctx context.Context) (audit.Report, error) {
		installation, err := provisioner.Installation(ctx, client)
		if err != nil {
			return audit.Report{}, err
		}
		return audit.New(newAuditOptions(o, client, ceph, installation)).Run(ctx)
	}), nil
}
