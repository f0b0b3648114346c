package provisioner

import (
	"context"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/klog/v2"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/pvspec"
)

// ResumePurge takes up what an earlier process has left below the root of a class
// whose volumes are directories: the first look there starts it. Old volumes of a class that
// makes subvolumes are directories, too, below the path of its group. Classes that are
// not right are told of when a claim comes.
func (p *Provisioner) ResumePurge(ctx context.Context, class *storagev1.StorageClass) {
	parameters, err := pvspec.ParseClass(p.kind, class)
	if err != nil || p.kind != cephclient.CephFS {
		return
	}
	if parameters.Root == "" {
		parameters.Root = pvspec.GroupPath(parameters.Group)
	}
	cluster, err := p.access.Cluster(ctx, parameters.Monitors)
	if err == nil {
		err = p.look(ctx, cluster, parameters)
	}
	if err != nil {
		klog.FromContext(ctx).Error(err, "Deleted directories are purged later", "storageClass", class.Name)
	}
}

func (p *Provisioner) look(ctx context.Context, cluster cephclient.Cluster, parameters pvspec.Parameters) error {
	backend, err := p.access.Backend(ctx, p.kind, cluster, parameters.Admin)
	if err != nil {
		return err
	}
	const nothing = "kubernetes-dynamic-pvc-" // a name that no volume has
	_, _ = backend.Stat(ctx, cephclient.Volume{Kind: p.kind, Container: parameters.Container, Root: parameters.Root, Name: nothing})
	return nil
}
