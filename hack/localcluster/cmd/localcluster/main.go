// Command localcluster runs real Ceph clusters and a real Kubernetes control plane
// on loopback addresses, for development and tests.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `Usage: localcluster COMMAND [FLAGS]

  up       start a cluster in the background and print its environment:
           eval "$(localcluster up)"
  down     end it and remove everything of it
  run      the same in the foreground, until a signal
  list     the clusters that run, and what they consist of
  restart  start a daemon again: localcluster restart [--dir DIR] NAME

COMMAND --help lists its flags.
`

func main() {
	// Whoever read our standard error may leave: up does when all is ready.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "localcluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	commands := map[string]func(context.Context, []string) error{
		"run": runCluster, "up": up, "down": down, "list": list, "restart": restart,
	}
	command, found := commands[args[0]]
	if !found {
		fmt.Fprint(os.Stderr, usage)
		return fmt.Errorf("unknown command %q", args[0])
	}
	return command(ctx, args[1:])
}
