package goceph

import "testing"

func TestDecodeString(t *testing.T) {
	for encoded, want := range map[string]string{
		"":                         "",
		"\x03\x00":                 "",
		"\x03\x00\x00\x00abc":      "abc",
		"\x03\x00\x00\x00ab":       "",
		"\x03\x00\x00\x00abcd":     "",
		"\xff\xff\xff\xffabc":      "",
		"\x00\x00\x00\x00":         "",
		"\x02\x00\x00\x00\x00\xff": "\x00\xff",
	} {
		if got := decodeString([]byte(encoded)); got != want {
			t.Errorf("%q is read as %q, want %q", encoded, got, want)
		}
	}
}
