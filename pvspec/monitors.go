package pvspec

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	corev1 "k8s.io/api/core/v1"
)

const (
	msgrV1Port = "6789"
	msgrV2Port = "3300"
)

// vector matches what `ceph mon dump` prints for one monitor: [v2:…,v1:…].
var vector = regexp.MustCompile(`\[(v[12]:[^\[\]]*(?:\[[^\]]*\][^\[\]]*)*)\]`)

// ParseMonitors reads the parameter "monitors": addresses separated by commas
// (or spaces or semicolons), each host, host:port, [IPv6]:port, with or without
// "v1:", or a monitor's whole address vector. It returns host:port of the msgr
// v1 addresses, the only ones that the kubelet's in-tree plugins can mount.
func ParseMonitors(text string) ([]string, error) {
	text = vector.ReplaceAllStringFunc(text, v1OfVector)
	var monitors []string
	seen := map[string]bool{}
	for _, field := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", ;\t\r\n", r) }) {
		monitor, err := parseMonitor(field)
		if err != nil {
			return nil, err
		}
		if !seen[monitor] {
			monitors = append(monitors, monitor)
		}
		seen[monitor] = true
	}
	if len(monitors) == 0 {
		return nil, fmt.Errorf("%q has no address (accepted: host:port, separated by commas)", text)
	}
	return monitors, nil
}

// Addresses are a PV's monitors, as they are written.
func Addresses(pv *corev1.PersistentVolume) []string {
	switch {
	case pv.Spec.RBD != nil:
		return pv.Spec.RBD.CephMonitors
	case pv.Spec.CephFS != nil:
		return pv.Spec.CephFS.Monitors
	}
	return nil
}

// MonitorsOf returns those of a PV's monitors that are written as [ParseMonitors] has them.
// Others do no harm beside them: no source of a PV can be corrected, and old ones have v2
// addresses too.
func MonitorsOf(pv *corev1.PersistentVolume) ([]string, error) {
	all, err := ParseMonitors(strings.Join(Addresses(pv), ","))
	if err == nil {
		return all, nil
	}
	var valid []string
	for _, each := range Addresses(pv) {
		if _, err := ParseMonitors(each); err == nil {
			valid = append(valid, each)
		}
	}
	if len(valid) == 0 {
		return nil, err
	}
	return ParseMonitors(strings.Join(valid, ","))
}

// v1OfVector picks the v1 address of a vector, or leaves its v2 address for
// parseMonitor to refuse. Either stands apart from what is next to the vector.
func v1OfVector(vector string) string {
	inner := vector[1 : len(vector)-1]
	for address := range strings.SplitSeq(inner, ",") {
		if strings.HasPrefix(address, "v1:") {
			return " " + address + " "
		}
	}
	return " " + inner + " "
}

func parseMonitor(field string) (string, error) {
	address, nonce, _ := strings.Cut(field, "/")
	if _, err := strconv.ParseUint(nonce, 10, 32); nonce != "" && err != nil {
		return "", fmt.Errorf("%q is not an address (accepted: host:port)", field)
	}
	if strings.HasPrefix(address, "v2:") {
		return "", fmt.Errorf("%q is a msgr v2 address; the kubelet's in-tree plugins need the v1 one, usually port %s", field, msgrV1Port)
	}
	host, port, err := splitHostPort(strings.TrimPrefix(address, "v1:"))
	if err != nil || !validHost(host) {
		return "", fmt.Errorf("%q is not an address (accepted: host, host:port, [IPv6]:port)", field)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return "", fmt.Errorf("%q has no valid port", field)
	}
	if port = strconv.FormatUint(number, 10); port == msgrV2Port {
		return "", fmt.Errorf("%q has the msgr v2 port; the kubelet's in-tree plugins need the v1 one, usually port %s", field, msgrV1Port)
	}
	return net.JoinHostPort(host, port), nil
}

func splitHostPort(address string) (host, port string, err error) {
	bare := address
	if strings.HasPrefix(address, "[") && strings.HasSuffix(address, "]") {
		bare = address[1 : len(address)-1]
	}
	if ip := net.ParseIP(bare); ip != nil {
		return ip.String(), msgrV1Port, nil
	}
	if !strings.Contains(address, ":") {
		return address, msgrV1Port, nil
	}
	return net.SplitHostPort(address)
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9.])?$`)

// validHost takes no name without a letter: that is a mistyped address, or the port
// behind "v1:".
func validHost(host string) bool {
	isName := hostName.MatchString(host) && strings.ContainsFunc(host, unicode.IsLetter) && host != "v1" && host != "v2"
	return net.ParseIP(host) != nil || isName
}
