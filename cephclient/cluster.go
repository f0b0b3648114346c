package cephclient

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// Cluster is how a Ceph cluster is reached.
type Cluster struct {
	Monitors []string // host:port of each monitor's msgr v1 address; IPv6 in brackets
}

// String names the cluster in messages.
func (c Cluster) String() string {
	return "Ceph cluster " + strings.Join(c.Monitors, ",")
}

// Credentials are a cephx identity and its key.
type Credentials struct {
	ID  string // without the leading "client."
	Key Secret
}

// Secret is a cephx key in memory. Every way of printing it yields "***"; only
// [Secret.Reveal] returns the text.
type Secret struct{ text string }

const redacted = "***"

// NewSecret wraps a key.
func NewSecret(text string) Secret { return Secret{text: text} }

// Reveal returns the key itself, for handing it to Ceph or to a Kubernetes Secret.
func (s Secret) Reveal() string { return s.text }

// Format prints "***" whatever the verb, so that %#v and %x reveal nothing either.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String prints "***".
func (Secret) String() string { return redacted }

// MarshalText prints "***", for encoders and structured logs.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Connector hands out backends, users and inventories. Connections behind them are shared and pooled.
type Connector interface {
	// Rests returns ErrUnreachable while calls for volumes of a kind would fail because
	// the cluster has not answered lately. It asks the cluster nothing.
	Rests(kind Kind, cluster Cluster) error
	// Backend returns the backend of one kind on one cluster under one identity.
	// It connects if need be, until the context's deadline, and so reports
	// ErrUnreachable, ErrTimeout or ErrUnauthorized before anything is made.
	Backend(ctx context.Context, kind Kind, cluster Cluster, credentials Credentials) (Backend, error)
	// Users returns the users of a cluster, seen by one identity; otherwise as Backend.
	Users(ctx context.Context, cluster Cluster, credentials Credentials) (Users, error)
	// Inventory returns what is in a cluster, seen by one identity; otherwise as Backend.
	Inventory(ctx context.Context, cluster Cluster, credentials Credentials) (Inventory, error)
}
