package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"ceph.example/ceph-provisioner/hack/localcluster"
)

// clusterFlags are those of run and up.
func clusterFlags(name string) (*flag.FlagSet, *localcluster.Options) {
	options := localcluster.DefaultOptions()
	options.Progress = os.Stderr
	flags := flag.NewFlagSet(name, flag.ExitOnError)
	flags.StringVar(&options.Dir, "dir", "", "directory for everything that the cluster writes; removed at its end (default a new one)")
	flags.StringVar(&options.Network, "network", options.Network, "where Ceph and Kubernetes get their addresses, all local to this machine")
	flags.IntVar(&options.CephClusters, "ceph-clusters", options.CephClusters, "number of separate Ceph clusters")
	flags.BoolVar(&options.Kubernetes, "kubernetes", options.Kubernetes, "also start a Kubernetes control plane")
	flags.StringVar(&options.KubernetesBin, "kubernetes-bin", "", "directory of Kubernetes' programs (default what hack/kubernetes/build.sh builds)")
	flags.IntVar(&options.ControllerManagerQPS, "controller-manager-qps", 0, "client limit of the kube-controller-manager; 0 leaves it at its default")
	flags.StringVar(&options.FeatureGates, "feature-gates", "", "feature gates of all Kubernetes components: A=true,B=false")
	return flags, &options
}

func runCluster(ctx context.Context, args []string) error {
	flags, options := clusterFlags("run")
	untilStdinCloses := flags.Bool("until-stdin-closes", false, "end when standard input is closed, as it is when the caller dies")
	_ = flags.Parse(args) // exits on errors
	if *untilStdinCloses {
		var stop context.CancelFunc
		ctx, stop = context.WithCancel(ctx)
		defer stop()
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	return localcluster.Run(ctx, *options, os.Stdout)
}

func up(ctx context.Context, args []string) error {
	flags, options := clusterFlags("up")
	_ = flags.Parse(args) // exits on errors
	description, err := localcluster.StartDetached(ctx, *options)
	if err != nil {
		return err
	}
	fmt.Print(description.Exports())
	return nil
}

func down(ctx context.Context, args []string) error {
	flags, dir := dirFlag("down")
	_ = flags.Parse(args) // exits on errors
	cluster, err := chooseCluster(*dir)
	if err != nil {
		return err
	}
	return localcluster.Stop(ctx, cluster)
}

func restart(ctx context.Context, args []string) error {
	flags, dir := dirFlag("restart")
	_ = flags.Parse(args) // exits on errors
	if flags.NArg() != 1 {
		return errors.New("restart needs the name of one daemon, as in: localcluster restart ceph-0/osd")
	}
	cluster, err := chooseCluster(*dir)
	if err != nil {
		return err
	}
	return localcluster.Restart(ctx, cluster, flags.Arg(0))
}

func list(context.Context, []string) error {
	dirs, err := localcluster.List()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		fmt.Printf("%s\t%s\n", dir, summary(dir))
	}
	return nil
}

// summary is the names and processes of a cluster's daemons.
func summary(dir string) string {
	description, err := localcluster.Load(dir)
	if err != nil {
		return "not ready"
	}
	var daemons []string
	for _, d := range description.Daemons {
		daemons = append(daemons, fmt.Sprintf("%s=%d", d.Name, d.PID))
	}
	return strings.Join(daemons, " ")
}

func dirFlag(name string) (*flag.FlagSet, *string) {
	flags := flag.NewFlagSet(name, flag.ExitOnError)
	return flags, flags.String("dir", "", "the cluster's directory (default $LOCALCLUSTER_DIR, which up prints)")
}

// chooseCluster never guesses, not even when a single cluster runs: on a shared
// machine that one may be somebody else's, and down destroys it.
func chooseCluster(dir string) (string, error) {
	if dir != "" {
		return dir, nil
	}
	if dir := os.Getenv("LOCALCLUSTER_DIR"); dir != "" {
		return dir, nil
	}
	dirs, err := localcluster.List()
	if err != nil {
		return "", err
	}
	return "", fmt.Errorf("which cluster? Give --dir, or set LOCALCLUSTER_DIR as up prints it; running: %s",
		cmp.Or(strings.Join(dirs, ", "), "none"))
}
