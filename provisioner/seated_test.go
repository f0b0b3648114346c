package provisioner

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v9/controller"

	"ceph.example/ceph-provisioner/seats"
)

// interrupted fails when its context has ended.
type interrupted struct {
	guardedProvisioner
	begun func()
}

func (i interrupted) Provision(ctx context.Context, _ controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	i.begun()
	<-ctx.Done()
	return nil, controller.ProvisioningInBackground, ctx.Err()
}

func (i interrupted) Delete(ctx context.Context, _ *corev1.PersistentVolume) error {
	i.begun()
	<-ctx.Done()
	return ctx.Err()
}

// The library tells users of every error but those to be ignored. That the process ends is
// none of theirs; that a volume has had its time is.
func TestTheEndOfTheProcessIsNoFailure(t *testing.T) {
	for why, c := range map[string]struct {
		timeout time.Duration
		ends    bool
	}{
		"the process ends": {time.Hour, true},
		"the time is over": {time.Nanosecond, false},
	} {
		t.Run(why, func(t *testing.T) {
			ctx, end := context.WithCancel(t.Context())
			defer end()
			begun := func() {
				if c.ends {
					end()
				}
			}
			s := seated{interrupted{begun: begun}, seats.New(1), seats.New(1), c.timeout}
			_, state, provisionErr := s.Provision(ctx, controller.ProvisionOptions{StorageClass: &storagev1.StorageClass{}})
			if state != controller.ProvisioningInBackground {
				t.Errorf("state %s", state)
			}
			ctx, end = context.WithCancel(t.Context())
			defer end()
			for _, err := range []error{provisionErr, s.Delete(ctx, &corev1.PersistentVolume{})} {
				var ignored *controller.IgnoredError
				if err == nil || errors.As(err, &ignored) != c.ends {
					t.Errorf("%v", err)
				}
			}
		})
	}
}
