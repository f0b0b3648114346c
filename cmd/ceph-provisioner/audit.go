package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"

	"ceph.example/ceph-provisioner/audit"
	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/cephclient/goceph"
	"ceph.example/ceph-provisioner/provisioner"
)

const (
	auditCommand       = "audit"
	defaultGracePeriod = time.Hour
)

// Exit codes of the audit. 0 says that all was looked at and nothing is wrong, 1 that it
// failed.
const (
	foundProblems exitCode = 2
	notComplete   exitCode = 3
)

type auditOptions struct {
	output string
	grace  time.Duration
	list   string
}

func (o *auditOptions) bind(flags *flag.FlagSet) {
	flags.StringVar(&o.output, "o", "text", "audit: text or json")
	flags.DurationVar(&o.grace, "grace-period", defaultGracePeriod, "audit: what was made or changed later is not deleted")
	flags.StringVar(&o.list, "delete-orphans", "", "audit: file with what an earlier audit -o json has printed (- is the standard input): delete what is an orphan there and now")
}

func (o *auditOptions) validate(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%s: unexpected argument %q: there are only flags (see --help)", auditCommand, rest[0])
	case o.output != "text" && o.output != "json":
		return fmt.Errorf("-o must be text or json")
	case o.output == "json" && o.list != "":
		return fmt.Errorf("-o json and --delete-orphans are not accepted together: deletion prints a line for each thing")
	case o.grace < 0:
		return fmt.Errorf("--grace-period must not be negative")
	}
	return nil
}

// auditVolumes compares Kubernetes with Ceph: ceph-provisioner audit [FLAG…]
func auditVolumes(args []string) error {
	var a auditOptions
	o, rest, err := parseOptions(args, a.bind)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err := errors.Join(err, a.validate(rest)); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	client, err := newKubernetesClient(o, &tenure{})
	if err != nil {
		return err
	}
	ceph := newPool(o, &tenure{})
	defer closePool(ctx, ceph)
	installation, err := provisioner.Installation(ctx, client)
	if err != nil {
		return err
	}
	work := audit.New(newAuditOptions(o, client, ceph, installation))
	if a.list == "" {
		return report(ctx, work, a.output)
	}
	err = deleteOrphans(ctx, work, a, installation)
	ceph.AwaitPurges(ctx) // what was deleted here, nobody else may come to purge for long
	return err
}

func newAuditOptions(o options, client kubernetes.Interface, ceph *goceph.Pool, installation string) audit.Options {
	provisioners := map[string]cephclient.Kind{}
	for _, name := range o.rbdProvisioners {
		provisioners[name] = cephclient.RBD
	}
	for _, name := range o.cephfsProvisioners {
		provisioners[name] = cephclient.CephFS
	}
	return audit.Options{
		Access: newAccess(client, ceph), Kubernetes: audit.NewKubernetes(client), Secrets: objects{client},
		Installation: installation, Provisioners: provisioners, SecretNamespace: o.secretNamespace, Timeout: o.timeout,
	}
}

func report(ctx context.Context, work *audit.Audit, output string) error {
	found, err := work.Run(ctx)
	if err != nil {
		return err
	}
	write := found.WriteText
	if output == "json" {
		write = found.WriteJSON
	}
	if err := write(os.Stdout); err != nil {
		return err
	}
	return codeOf(found)
}

func deleteOrphans(ctx context.Context, work *audit.Audit, a auditOptions, installation string) error {
	list, err := readList(a.list, installation)
	if err != nil {
		return err
	}
	found, err := work.Run(ctx)
	if err != nil {
		return err
	}
	left, failed, err := work.DeleteOrphans(ctx, list, found, a.grace, os.Stdout)
	switch {
	case err != nil:
		return err
	case failed > 0:
		return fmt.Errorf("%d deletions have failed", failed)
	}
	return codeOf(left)
}

func readList(name, installation string) (audit.Report, error) {
	var from io.Reader = os.Stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return audit.Report{}, err
		}
		defer func() { _ = file.Close() }()
		from = file
	}
	return audit.ReadReport(from, installation)
}

func codeOf(found audit.Report) error {
	switch {
	case !found.Summary.Complete:
		return notComplete
	case found.Summary.Problems > 0:
		return foundProblems
	}
	return nil
}
