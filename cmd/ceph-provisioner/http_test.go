package main

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestProfilesAreServedWhereTheyAreAskedFor(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	endpoint := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	o, _, err := parseOptions([]string{"--profiling-endpoint=" + endpoint})
	if err != nil {
		t.Fatal(err)
	}
	if err := serveProfiles(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{
		"heap?debug=1":      "heap profile",
		"mutex?debug=1":     "sampling period=10",
		"goroutine?debug=1": "goroutine profile",
		"profile?seconds=1": "",
	} {
		response, err := http.Get("http://" + endpoint + "/debug/pprof/" + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || len(body) == 0 || !strings.Contains(string(body), says) {
			t.Errorf("%s: %s, %v, %.100s", path, response.Status, err, body)
		}
	}
}
