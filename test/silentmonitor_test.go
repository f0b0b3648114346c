package e2e

import (
	"net"
	"sync/atomic"
	"testing"
)

// silent is a monitor that takes connections and never says anything.
type silent struct {
	address string
	asked   atomic.Int32 // connections
}

func newSilent(t testing.TB) *silent {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &silent{address: listener.Addr().String()}
	accepting := make(chan struct{})
	t.Cleanup(func() { _ = listener.Close(); <-accepting })
	go func() {
		defer close(accepting)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			defer conn.Close()
			s.asked.Add(1)
		}
	}()
	return s
}
