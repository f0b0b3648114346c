package cephclient

import (
	"errors"
	"fmt"
	"strings"
)

// Cause is why Ceph refused or failed a call. Compare with errors.Is.
type Cause struct {
	text   string
	remedy string // what usually helps
	final  bool   // trying again cannot help until the request or the cluster's setup changes
	vague  bool   // a call that failed so may still have changed something
}

// Error is the cause in plain words.
func (c *Cause) Error() string { return c.text }

const askHealth = "it is tried again by itself; see `ceph -s` if it lasts"

// The causes. Every [*Error] wraps exactly one.
var (
	ErrNotFound      = &Cause{text: "not found", remedy: "somebody has removed it: restore it, or delete the claim"}
	ErrExists        = &Cause{text: "already exists"}
	ErrInUse         = &Cause{text: "in use", remedy: "unmount it and remove its snapshots; it is tried again by itself"}
	ErrNoSuchPlace   = &Cause{text: "pool or file system does not exist", final: true}
	ErrUnauthorized  = &Cause{text: "the cluster refuses this identity or key", final: true}
	ErrDenied        = &Cause{text: "permission denied by the identity's caps", final: true, remedy: "compare them with docs/ceph-identities.md"}
	ErrInvalid       = &Cause{text: "refused as invalid", final: true, remedy: "correct the claim's size or the parameters of the StorageClass"}
	ErrUnsupported   = &Cause{text: "not supported by this Ceph release", final: true, remedy: "use Nautilus or later, for CephFS with the mgr's module volumes"}
	ErrNoSpace       = &Cause{text: "no space or quota exceeded", vague: true, remedy: "add storage or raise the pool's quota"}
	ErrWouldShrink   = &Cause{text: "would shrink the volume", final: true}
	ErrUnreachable   = &Cause{text: "the cluster does not answer", vague: true, remedy: askHealth}
	ErrTimeout       = &Cause{text: "timed out", vague: true, remedy: askHealth}
	ErrBusy          = &Cause{text: "waits for earlier calls", vague: true, remedy: "it is tried again by itself"}
	ErrUnknown       = &Cause{text: "failed", vague: true}
	ErrHalfMade      = &Cause{text: "half made", vague: true, remedy: "it is made whole when it is provisioned"}
	ErrQuotaMismatch = &Cause{text: "the quota that was read back differs from the one that was set", vague: true}
)

// Error is a failed call to Ceph.
type Error struct {
	Cause  *Cause
	Op     string // what was tried, with its object: "create RBD image rbd/x"
	Detail string // what Ceph said, or who is in the way; may be empty
	Remedy string // what the reader can do; may be empty
	Wrote  bool   // something in Ceph may have been changed
	Awaits string // which part of which cluster has not answered; empty if it has
}

// NewError describes a failed call. mutating says that the call changes
// something when it succeeds.
func NewError(cause *Cause, op, detail string, mutating bool) *Error {
	return &Error{Cause: cause, Op: op, Detail: detail, Remedy: cause.remedy, Wrote: mutating && cause.vague}
}

// Error is one sentence: what failed, why, what Ceph said, and what to do.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Op, e.Cause.text)
	if e.Detail != "" {
		fmt.Fprintf(&b, " (%s)", e.Detail)
	}
	if e.Remedy != "" {
		fmt.Fprintf(&b, "; %s", e.Remedy)
	}
	return b.String()
}

// Unwrap returns the cause, for errors.Is.
func (e *Error) Unwrap() error { return e.Cause }

// IsFinal reports whether trying the same again cannot help until someone
// changes the request, the identity or the cluster. Errors that are not of
// this package are not final.
func IsFinal(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Cause.final
}

// MayBeHalfDone reports whether the failed call may have changed something in
// Ceph. Errors that are not of this package count as half done.
func MayBeHalfDone(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return err != nil
	}
	return e.Wrote
}

// afterWrite marks an error that came after something had been made.
func afterWrite(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	marked := *e
	marked.Wrote = true
	return &marked
}

// unseen marks an error that hid whether an earlier attempt had made something.
func unseen(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Cause.vague {
		return afterWrite(err)
	}
	return err
}
