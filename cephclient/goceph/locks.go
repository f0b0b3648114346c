package goceph

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"ceph.example/ceph-provisioner/cephclient"
)

// As librbd names them (ManagedLock, RBD_LOCK_NAME): the lock of the feature
// exclusive-lock, and what tells it from locks that people set.
const (
	exclusiveLockName = "rbd_lock"
	exclusiveLockTag  = "internal"
)

// holderTimeout is how long a client may take to say that it is there. A kernel
// answers in 2 ms.
const holderTimeout = 5 * time.Second

// lostHolders are the clients that have an image's exclusive lock and do not answer:
// they have crashed, or are cut off and may come back. A client's watch alone says
// little: it lasts for 30 s after the client is gone.
func lostHolders(ioctx *rados.IOContext, image *rbd.Image) ([]rbd.Locker, error) {
	tag, holders, err := image.ListLockers()
	if err != nil || len(holders) == 0 || strings.TrimRight(tag, "\x00") != exclusiveLockTag {
		return nil, err
	}
	id, err := image.GetId()
	if err != nil {
		return nil, err
	}
	// Without content it asks all who watch the image to read its header again.
	answers, _, err := ioctx.NotifyWithTimeout(headerPrefix+id, nil, holderTimeout)
	if err != nil && causeOf(err) != cephclient.ErrTimeout {
		return nil, err
	}
	return slices.DeleteFunc(holders, func(holder rbd.Locker) bool {
		return slices.ContainsFunc(answers, func(a rados.NotifyAck) bool {
			return holder.Client == fmt.Sprintf("client.%d", a.NotifierID)
		})
	}), nil
}

// release takes the exclusive lock of an image from clients that are lost, so that librbd
// need not do it, which would blocklist them: a node has one client for all of its
// images, and when it is back all of them would be read-only (seen with krbd 6.1).
// This is for images that are deleted, to which late writes do no harm.
func release(ioctx *rados.IOContext, id string, lost []rbd.Locker) error {
	for _, holder := range lost {
		if _, err := ioctx.BreakLock(headerPrefix+id, exclusiveLockName, holder.Client, holder.Cookie); err != nil {
			return err
		}
	}
	return nil
}
