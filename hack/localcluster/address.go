package localcluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

const (
	// reservationPort is held on a taken address for the supervisor's lifetime, so
	// that no other supervisor takes it before our daemons listen.
	reservationPort = 64999
	addressAttempts = 20
)

// address is a loopback address that belongs to one cluster alone. Standard ports
// can be used on it without asking who else runs on the machine.
type address struct {
	ip          string
	reservation net.Listener
}

// takeAddress finds an address on which all the ports are free, and reserves it
// against other supervisors.
func takeAddress(ports ...int) (*address, error) {
	var failures []error
	for range addressAttempts {
		taken, err := tryAddress(randomLoopback(), ports)
		if err == nil {
			return taken, nil
		}
		failures = append(failures, err)
	}
	return nil, fmt.Errorf("no free loopback address in %d attempts; the last: %w",
		addressAttempts, failures[len(failures)-1])
}

func tryAddress(ip string, ports []int) (*address, error) {
	reservation, err := listen(ip, reservationPort)
	if err != nil {
		return nil, err
	}
	for _, port := range ports {
		probe, err := listen(ip, port)
		if err != nil {
			return nil, errors.Join(err, reservation.Close())
		}
		if err := probe.Close(); err != nil {
			return nil, errors.Join(err, reservation.Close())
		}
	}
	return &address{ip: ip, reservation: reservation}, nil
}

func listen(ip string, port int) (net.Listener, error) {
	return net.Listen("tcp4", net.JoinHostPort(ip, strconv.Itoa(port)))
}

// randomLoopback stays away from the low addresses, which people use by hand.
func randomLoopback() string {
	return fmt.Sprintf("127.%d.%d.%d", 64+rand.IntN(187), 1+rand.IntN(254), 1+rand.IntN(254))
}

func (a *address) port(port int) string { return net.JoinHostPort(a.ip, strconv.Itoa(port)) }
