package localcluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
)

const (
	// reservationPort is held on a taken address for the supervisor's lifetime, so
	// that no other supervisor takes it before our daemons listen.
	reservationPort = 64999
	addressAttempts = 20
	// lowestHost is the first address of a network that is taken.
	lowestHost = 16
	// smallestNetwork leaves some to choose from.
	smallestNetwork = 24
)

// loopback is the part of 127.0.0.0/8 where clusters are unless told otherwise.
const loopback = "127.128.0.0/9"

// address is an address of this machine that belongs to one cluster alone. Standard
// ports can be used on it without asking who else runs on the machine.
type address struct {
	ip          string
	reservation net.Listener
}

// takeAddress finds an address of the network on which all the ports are free, and
// reserves it against other supervisors.
func takeAddress(network netip.Prefix, ports ...int) (*address, error) {
	var failures []error
	for range addressAttempts {
		taken, err := tryAddress(randomAddress(network), ports)
		if err == nil {
			return taken, nil
		}
		failures = append(failures, err)
	}
	return nil, fmt.Errorf("no free address of %s in %d attempts; the last: %w",
		network, addressAttempts, failures[len(failures)-1])
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

// randomAddress stays away from the lowest addresses, which people use by hand.
func randomAddress(network netip.Prefix) string {
	address := network.Masked().Addr().As4()
	hosts := uint32(1)<<(32-network.Bits()) - lowestHost - 1 // the last is for broadcasts
	binary.BigEndian.PutUint32(address[:], binary.BigEndian.Uint32(address[:])+lowestHost+rand.Uint32N(hosts))
	return netip.AddrFrom4(address).String()
}

func (a *address) port(port int) string { return net.JoinHostPort(a.ip, strconv.Itoa(port)) }
