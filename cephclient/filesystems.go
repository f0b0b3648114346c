package cephclient

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// place finds the file system, and refuses a data pool that is not one of its
// own before anything is made. A directory is always told its data pool: a folder
// above it may have another one than the nodes' identity may use.
func (b cephfsBackend) place(ctx context.Context, volume Volume, options CreateOptions) (Volume, CreateOptions, error) {
	fileSystems, err := b.fileSystems.FileSystems(ctx)
	if err != nil {
		return Volume{}, options, err
	}
	fileSystem, err := choose("create", fileSystems, volume)
	if err != nil {
		return Volume{}, options, err
	}
	if options.DataPool != "" && !slices.Contains(fileSystem.DataPools, options.DataPool) {
		return Volume{}, options, &Error{
			Cause: ErrNoSuchPlace, Op: "create " + volume.String(),
			Detail: fmt.Sprintf("dataPool %q is not a data pool of file system %q, which has %s",
				options.DataPool, fileSystem.Name, strings.Join(fileSystem.DataPools, ", ")),
			Remedy: "correct the StorageClass, or add the pool with `ceph fs add_data_pool`",
		}
	}
	if volume.IsDirectory() && options.DataPool == "" && len(fileSystem.DataPools) > 0 {
		options.DataPool = fileSystem.DataPools[0] // as the file system has it for what says nothing
	}
	volume.Container = fileSystem.Name
	return volume, options, nil
}

func choose(verb string, fileSystems []FileSystem, volume Volume) (FileSystem, error) {
	var names []string
	for _, fileSystem := range fileSystems {
		if fileSystem.Name == volume.Container || volume.Container == "" && len(fileSystems) == 1 {
			return fileSystem, nil
		}
		names = append(names, fileSystem.Name)
	}
	refusal := &Error{Cause: ErrNoSuchPlace, Op: verb + " " + volume.String()}
	switch {
	case len(names) == 0:
		refusal.Detail = "the cluster has no file system"
		refusal.Remedy = "make one with `ceph fs volume create`"
	case volume.Container == "":
		refusal.Detail = "the cluster has several file systems: " + strings.Join(names, ", ")
		refusal.Remedy = "name one with fsName in the StorageClass"
	default:
		refusal.Detail = fmt.Sprintf("there is no file system %q; the cluster has %s", volume.Container, strings.Join(names, ", "))
		refusal.Remedy = "correct fsName in the StorageClass, bring the file system back, or give the identity caps for it"
	}
	return FileSystem{}, refusal
}
