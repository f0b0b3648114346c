package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os/signal"
	"syscall"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"ceph.example/ceph-provisioner/cephclient"
	"ceph.example/ceph-provisioner/provisioner"
)

const rotateKeyCommand = "rotate-key"

// rotateKeys gives fresh keys to the users of single CephFS volumes:
// ceph-provisioner rotate-key [FLAG…] PERSISTENTVOLUME…
func rotateKeys(args []string) error {
	o, volumes, err := parseOptions(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case len(volumes) == 0:
		return fmt.Errorf("%s: name the PersistentVolumes whose users get a fresh key", rotateKeyCommand)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	client, err := newKubernetesClient(o, &tenure{})
	if err != nil {
		return err
	}
	ceph := newPool(o, &tenure{})
	defer closePool(ctx, ceph)
	p := provisioner.New(provisioner.Options{Kind: cephclient.CephFS, Access: newAccess(client, ceph), Client: client, Secrets: objects{client}})
	var errs []error
	for _, volume := range volumes {
		if err := rotateKey(ctx, o, client, p, volume); err != nil {
			errs = append(errs, err)
			continue
		}
		fmt.Printf("%s: its user has a fresh key\n", volume)
	}
	return errors.Join(errs...)
}

func rotateKey(ctx context.Context, o options, client kubernetes.Interface, p *provisioner.Provisioner, volume string) error {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	pv, err := client.CoreV1().PersistentVolumes().Get(ctx, volume, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if err := p.RotateKey(ctx, pv); err != nil {
		return fmt.Errorf("rotate the key of %s: %w", volume, err)
	}
	return nil
}
