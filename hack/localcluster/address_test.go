package localcluster

import (
	"net"
	"net/netip"
	"strconv"
	"testing"
)

func TestTryAddress(t *testing.T) {
	busy, err := net.Listen("tcp4", randomAddress(netip.MustParsePrefix(loopback))+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	ip, text, _ := net.SplitHostPort(busy.Addr().String())
	port, _ := strconv.Atoi(text)

	if _, err := tryAddress(ip, []int{port}); err == nil {
		t.Fatal("took an address on which a port is in use")
	}
	taken, err := tryAddress(ip, []int{port - 1})
	if err != nil {
		t.Fatalf("the failed attempt kept the address: %v", err)
	}
	if _, err := tryAddress(ip, nil); err == nil {
		t.Error("two clusters took one address")
	}
	if err := taken.reservation.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRandomAddress(t *testing.T) {
	for _, network := range []string{loopback, "10.77.0.0/24", "10.77.3.1/16", "0.0.0.0/0"} {
		prefix := netip.MustParsePrefix(network)
		low := prefix.Masked().Addr()
		for range lowestHost {
			low = low.Next()
		}
		for range 1000 {
			ip := netip.MustParseAddr(randomAddress(prefix))
			if !prefix.Contains(ip) || ip.Less(low) || !prefix.Contains(ip.Next()) && prefix.Bits() > 0 {
				t.Fatalf("unsuitable address %s of %s", ip, network)
			}
		}
	}
}

func TestNetworkOption(t *testing.T) {
	for network, good := range map[string]bool{
		"": true, loopback: true, "10.77.0.0/24": true,
		"10.77.0.0/25": false, "10.77.0.0": false, "fd00::/64": false,
	} {
		options := DefaultOptions()
		options.Network = network
		if err := options.Validate(); (err == nil) != good {
			t.Errorf("network %q: %v", network, err)
		}
	}
}
