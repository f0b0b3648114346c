// Command floor is what the benchmarks hold the controller against (docs/performance.md):
//
//	floor none   sig-storage-lib and our resizer, with nothing to do in Ceph
//	floor forks  the same, with a command or a script for each step
//	floor bare   the calls to Ceph alone, without Kubernetes
//
// None is for use: they leave out whatever makes a provisioner safe.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/klog/v2"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("which floor: none, forks or bare?")
	}
	o, err := parseOptions(args[0], args[1:])
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	switch args[0] {
	case "none":
		return serve(ctx, o, nothing{})
	case "forks":
		return serve(ctx, o, newForks(o))
	case "bare":
		return measureBare(ctx, o)
	}
	return fmt.Errorf("there is no floor %q: none, forks and bare are", args[0])
}

// options are the command line. Each floor reads its own part.
type options struct {
	kind       kind
	fileSystem string // for CephFS

	kubeconfig  string // none, forks
	provisioner string
	threads     int

	monitors string // bare; the key is read from standard input
	id       string
	volumes  int
	sizeMiB  int
	alone    int
	calls    int
}

func parseOptions(name string, args []string) (o options, err error) {
	flags := flag.NewFlagSet("floor "+name, flag.ContinueOnError)
	flags.Func("kind", "of volume: "+kindNames(), o.kind.set)
	flags.StringVar(&o.fileSystem, "file-system", "", "of CephFS volumes")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file")
	flags.StringVar(&o.provisioner, "provisioner-name", "", "provisioner of the classes to serve")
	flags.IntVar(&o.threads, "threads", 1, "claims, and volumes, that are worked on at a time")
	flags.StringVar(&o.monitors, "monitors", "", "host:port of each monitor, separated by commas")
	flags.StringVar(&o.id, "id", "", "cephx identity; its key is read from standard input")
	flags.IntVar(&o.volumes, "volumes", 1, "to make, grow and delete")
	flags.IntVar(&o.sizeMiB, "size-mib", 64, "of a volume; it grows to twice as much")
	flags.IntVar(&o.alone, "alone", 1, "to make one after the other before")
	flags.IntVar(&o.calls, "calls", 1, "volumes that are worked on at a time")
	klog.InitFlags(flags)
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.kind == "" {
		return o, fmt.Errorf("--kind is missing: %s", kindNames())
	}
	return o, nil
}
