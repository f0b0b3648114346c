package cephclient

import "context"

type guardKey struct{}

// WithGuard has every change in Ceph that is called for with the returned context ask guard
// first, when nothing is in the way any more: a call may have waited long for others. An error
// of the guard is the call's, and nothing is changed. It may be asked after the caller
// has left, with a context that has ended.
func WithGuard(ctx context.Context, guard func(context.Context) error) context.Context {
	return context.WithValue(ctx, guardKey{}, guard)
}

// AskGuard asks the context's guard, if it has one.
func AskGuard(ctx context.Context) error {
	guard, ok := ctx.Value(guardKey{}).(func(context.Context) error)
	if !ok {
		return nil
	}
	return guard(ctx)
}
