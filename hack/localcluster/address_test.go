package localcluster

import (
	"net"
	"strconv"
	"strings"
	"testing"
)

func TestTryAddress(t *testing.T) {
	busy, err := net.Listen("tcp4", randomLoopback()+":0")
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

func TestRandomLoopback(t *testing.T) {
	for range 1000 {
		ip := net.ParseIP(randomLoopback()).To4()
		if ip == nil || ip[0] != 127 || ip[1] < 64 || ip[1] > 250 || strings.HasSuffix(ip.String(), ".0") {
			t.Fatalf("unsuitable address %s", ip)
		}
	}
}
