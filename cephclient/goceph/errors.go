package goceph

import (
	"context"
	"errors"
	"syscall"

	"github.com/ceph/go-ceph/cephfs/admin"

	"ceph.example/ceph-provisioner/cephclient"
)

// noMDS is libcephfs's answer while no MDS of the file system is up
// (CEPH_FUSE_NO_MDS_UP).
const noMDS = syscall.Errno(1 << 16)

// causes maps the errno of librados, librbd, libcephfs and the mgr. What is not listed is
// ErrUnknown, which counts as possibly half done.
var causes = map[syscall.Errno]*cephclient.Cause{
	syscall.ENOENT:       cephclient.ErrNotFound,
	syscall.EEXIST:       cephclient.ErrExists,
	syscall.EBUSY:        cephclient.ErrInUse,
	syscall.ENOTEMPTY:    cephclient.ErrInUse,
	syscall.EPERM:        cephclient.ErrDenied,
	syscall.EACCES:       cephclient.ErrDenied,
	syscall.EINVAL:       cephclient.ErrInvalid,
	syscall.ERANGE:       cephclient.ErrInvalid,
	syscall.EDOM:         cephclient.ErrInvalid,
	syscall.EFBIG:        cephclient.ErrInvalid,
	syscall.EOPNOTSUPP:   cephclient.ErrUnsupported,
	syscall.ENOSYS:       cephclient.ErrUnsupported,
	syscall.ENOSPC:       cephclient.ErrNoSpace,
	syscall.EDQUOT:       cephclient.ErrNoSpace,
	syscall.ETIMEDOUT:    cephclient.ErrTimeout,
	syscall.ENOTCONN:     cephclient.ErrUnreachable,
	syscall.ESHUTDOWN:    cephclient.ErrUnreachable, // also: this client was blocklisted
	syscall.ECONNREFUSED: cephclient.ErrUnreachable,
	syscall.ECONNRESET:   cephclient.ErrUnreachable,
	syscall.EHOSTUNREACH: cephclient.ErrUnreachable,
	syscall.ENETUNREACH:  cephclient.ErrUnreachable,
	syscall.ENOTDIR:      cephclient.ErrInvalid,
	noMDS:                cephclient.ErrUnreachable,
}

// typed returns err as a *cephclient.Error. One that is typed already stays as it is.
func typed(op string, mutating bool, err error) error {
	if err == nil {
		return nil
	}
	var done *cephclient.Error
	if errors.As(err, &done) {
		return err
	}
	return cephclient.NewError(causeOf(err), op, err.Error(), mutating)
}

func causeOf(err error) *cephclient.Cause {
	var missing admin.NotImplementedError
	if errors.As(err, &missing) {
		return cephclient.ErrUnsupported
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return cephclient.ErrTimeout
	}
	if cause, ok := causes[errnoOf(err)]; ok {
		return cause
	}
	return cephclient.ErrUnknown
}

// errnoOf is 0 for an error without one.
func errnoOf(err error) syscall.Errno {
	var coded interface{ ErrorCode() int }
	if !errors.As(err, &coded) {
		return 0
	}
	errno := coded.ErrorCode()
	return syscall.Errno(max(errno, -errno))
}
