//go:build !killpoints

// Package killpoint ends the process between two writes, as a crash would, in builds with
// the tag killpoints: a test then sees what the next process makes of it. In all other
// builds it does nothing.
package killpoint

import "net/http"

// Passed says that something has been written.
func Passed(string) {}

// Transport says it of each write to the API server.
func Transport(next http.RoundTripper) http.RoundTripper { return next }
