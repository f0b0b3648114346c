package cephclient

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// fileSystem is a volume's.
type fileSystem struct {
	FileSystem
	others bool // the cluster has more than this one
}

// place puts a new volume into the file system, and refuses a data pool that is not
// one of its own before anything is made. A directory is always told its data pool: a
// folder above it may have another one than the nodes' identity may use.
func (f fileSystem) place(volume Volume, options CreateOptions) (Volume, CreateOptions, error) {
	if options.DataPool != "" && !slices.Contains(f.DataPools, options.DataPool) {
		return Volume{}, options, &Error{
			Cause: ErrNoSuchPlace, Op: "create " + volume.String(),
			Detail: fmt.Sprintf("dataPool %q is not a data pool of file system %q, which has %s",
				options.DataPool, f.Name, strings.Join(f.DataPools, ", ")),
			Remedy: "correct the StorageClass, or add the pool with `ceph fs add_data_pool`",
		}
	}
	if volume.IsDirectory() && options.DataPool == "" && len(f.DataPools) > 0 {
		options.DataPool = f.DataPools[0] // as the file system has it for what says nothing
	}
	volume.Container = f.Name
	return volume, options, nil
}

// fileSystemOf finds a volume's among those that are listed.
func fileSystemOf(ctx context.Context, list func(context.Context) ([]FileSystem, error), verb string, volume Volume) (fileSystem, error) {
	all, err := list(ctx)
	if err != nil {
		return fileSystem{}, err
	}
	chosen, err := choose(verb, all, volume)
	seesDefault := slices.ContainsFunc(all, func(each FileSystem) bool { return each.Default })
	return fileSystem{chosen, len(all) > 1 || !seesDefault}, err
}

// addTo adds to what is known of a volume what its file system is among others.
func (f fileSystem) addTo(info Info) Info {
	info.OtherFileSystems, info.NotDefaultFileSystem = f.others, !f.Default
	return info
}

func choose(verb string, fileSystems []FileSystem, volume Volume) (FileSystem, error) {
	var names []string
	for _, fileSystem := range fileSystems {
		if fileSystem.Name == volume.Container || volume.Container == "" && len(fileSystems) == 1 {
			return fileSystem, nil
		}
		names = append(names, fileSystem.Name)
	}
	if isOld := volume.Container == "" && volume.Path != ""; isOld { // made when there was but one
		for _, fileSystem := range fileSystems {
			if fileSystem.Default {
				return fileSystem, nil
			}
		}
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
		if volume.Path != "" { // it has been made
			refusal.Remedy = "bring the file system back under this name, or delete the PersistentVolume by hand if the file system really is gone"
		}
	}
	return FileSystem{}, refusal
}
