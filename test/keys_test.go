package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// auditKeys searches for every key that was in a Secret or is in a cluster, as it is and as
// a Secret encodes it, and for the controller's own token.
func auditKeys() error {
	known, err := knownKeys(context.Background())
	if err != nil {
		return err
	}
	places := map[string][]byte{"what the API server showed": suite.recorder.everything()}
	for _, controller := range suite.controllers {
		log, err := os.ReadFile(controller.log)
		if err != nil {
			return err
		}
		if len(log) == 0 {
			return fmt.Errorf("%s is empty: nothing to search in", controller.log)
		}
		places[controller.log] = withDumps(log)
		places["the arguments of the process with "+controller.log] = controller.arguments
		places["the environment of the process with "+controller.log] = controller.environment
	}
	var errs []error
	for place, content := range places {
		for _, found := range keysIn(content, known) {
			errs = append(errs, fmt.Errorf("%s stands in %s", found, place))
		}
		if bytes.Contains(content, []byte(suite.token)) {
			errs = append(errs, fmt.Errorf("the service account's token stands in %s", place))
		}
	}
	return errors.Join(errs...)
}

// knownKeys are the names of all keys by what they are, and by how a Secret encodes that.
func knownKeys(ctx context.Context) (map[string]string, error) {
	known := suite.recorder.keysSeen()
	if len(known) == 0 {
		return nil, errors.New("no key was seen in any secret")
	}
	for _, ceph := range suite.ceph {
		var identities struct {
			AuthDump []struct{ Entity, Key string } `json:"auth_dump"`
		}
		if err := ceph.read(ctx, &identities, "ceph", "auth", "ls"); err != nil {
			return nil, err
		}
		if len(identities.AuthDump) == 0 {
			return nil, errors.New("ceph auth ls lists nobody")
		}
		for _, identity := range identities.AuthDump {
			known[identity.Key] = "the key of " + identity.Entity + " of " + ceph.Name
		}
	}
	for key, name := range maps.Clone(known) {
		if !cephxKey.MatchString(key) {
			return nil, fmt.Errorf("%s has a form that would not be found", name)
		}
		known[encoded(key)] = name + ", encoded"
	}
	return known, nil
}

func encoded(key string) string { return base64.StdEncoding.EncodeToString([]byte(key)) }

// base64Run is long enough for a key, and what stands before or behind one may be part of it.
var base64Run = regexp.MustCompile(`[A-Za-z0-9+/]{38,}={0,2}`)

// keysIn tells which keys stand in a text, in one pass: there are thousands.
func keysIn(text []byte, known map[string]string) (found []string) {
	lengths := map[int]bool{}
	for key := range known {
		lengths[len(key)] = true
	}
	for _, run := range base64Run.FindAll(text, -1) {
		for start := range run {
			for length := range lengths {
				if end := start + length; end <= len(run) {
					if name, is := known[string(run[start:end])]; is {
						found = append(found, name)
					}
				}
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func TestKeysAreFound(t *testing.T) {
	t.Parallel()
	const key, other = "AQDthekeythekeythekeythekeythekeytheke==", "AQDotherotherotherotherotherotherother=="
	const long = "AgDthelongkeythelongkeythelongkeythelongkeythelongkeythelon="
	known := map[string]string{key: "plain", encoded(key): "encoded", other: "other", long: "long", encoded(long): "encoded long"}
	for text, want := range map[string][]string{
		"":                       nil,
		"==":                     nil,
		key:                      {"plain"},
		"x" + key + "==":         {"plain"},
		"a== " + key + "y" + key: {"plain"},
		`{"key":"` + encoded(key) + `","other":"` + other + `"}`: {"encoded", "other"},
		"x" + long + encoded(long) + "x":                         {"encoded long", "long"},
		key[1:]:                                                  nil,
		long[1:]:                                                 nil,
	} {
		if got := keysIn([]byte(text), known); !slices.Equal(got, want) {
			t.Errorf("in %q is found %v, want %v", text, got, want)
		}
	}
}

// hexDump matches a line of what client-go logs of a body that is no text.
var hexDump = regexp.MustCompile(`^[0-9a-f]{8}  ((?:[0-9a-f]{2} {1,2}){1,16}) *\|`)

// withDumps is a log, with the bytes behind it that it dumps in hexadecimal.
func withDumps(log []byte) []byte {
	all := slices.Clone(log)
	for line := range bytes.Lines(log) {
		if dump := hexDump.FindSubmatch(line); dump != nil {
			decoded, _ := hex.DecodeString(strings.ReplaceAll(string(dump[1]), " ", "")) // as matched, it is hexadecimal
			all = append(all, decoded...)
		}
	}
	return all
}

func TestDumpsAreSearched(t *testing.T) {
	t.Parallel()
	const key = "AQDthekeythekeythekey=="
	for length := range 40 { // before the key
		log := "Response Body:\n" + hex.Dump([]byte(strings.Repeat("x", length)+key+"y")) + "more\n"
		if strings.Contains(log, key) || !bytes.Contains(withDumps([]byte(log)), []byte(key)) {
			t.Errorf("behind %d bytes the key is not found", length)
		}
	}
}
