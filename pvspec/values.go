package pvspec

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation"

	"ceph.example/ceph-provisioner/cephclient"
)

// values are the parameters of a class by lower-case key, and the faults found
// in them, so that one look at the event shows them all.
type values struct {
	byKey  map[string]string
	faults []string
}

func newValues(kind cephclient.Kind, parameters map[string]string) *values {
	known := map[string]string{}
	for _, key := range accepted[kind] {
		known[strings.ToLower(key)] = key
	}
	v := &values{byKey: map[string]string{}}
	spelled := map[string]string{}
	var unknown []string
	for _, key := range slices.Sorted(maps.Keys(parameters)) {
		lower := strings.ToLower(key)
		if known[lower] == "" {
			unknown = append(unknown, strconv.Quote(key)+didYouMean(known[separators.Replace(lower)]))
		}
		if other, twice := spelled[lower]; twice {
			v.fault("parameters %q and %q are the same key", other, key)
		}
		spelled[lower] = key
		v.byKey[lower] = strings.TrimSpace(parameters[key])
		if strings.ContainsFunc(v.byKey[lower], isControl) {
			v.fault("parameter %s: %q holds a control character", key, parameters[key])
		}
	}
	if len(unknown) > 0 {
		v.fault("unknown parameter %s (accepted: %s)", strings.Join(unknown, ", "), strings.Join(accepted[kind], ", "))
	}
	return v
}

// separators stand in keys of other provisioners and charts, such as image_format.
var separators = strings.NewReplacer("_", "", "-", "")

func didYouMean(key string) string {
	if key == "" {
		return ""
	}
	return " (" + key + "?)"
}

// isControl tells what no value may hold: a NUL would end it when it is handed to
// librados. Line breaks between monitors are fine.
func isControl(r rune) bool {
	return r == utf8.RuneError || unicode.IsControl(r) && !strings.ContainsRune("\t\r\n", r)
}

func (v *values) fault(format string, args ...any) {
	v.faults = append(v.faults, fmt.Sprintf(format, args...))
}

func (v *values) check(key string, err error) {
	if err != nil {
		v.fault("parameter %s: %v", key, err)
	}
}

func (v *values) err() error {
	if len(v.faults) == 0 {
		return nil
	}
	return fmt.Errorf("%s", strings.Join(v.faults, "; "))
}

func (v *values) given(key string) bool { return v.byKey[strings.ToLower(key)] != "" }

func (v *values) optional(key, fallback string) string {
	if value := v.byKey[strings.ToLower(key)]; value != "" {
		return value
	}
	return fallback
}

func (v *values) required(key string) string {
	if !v.given(key) {
		v.fault("parameter %s is required", key)
	}
	return v.optional(key, "")
}

// identity takes "client.admin" as well as "admin": both stand in old classes. The
// kubelet puts it among mount options, so it holds nothing that ends one.
func (v *values) identity(key, fallback string) string {
	id := strings.TrimPrefix(v.optional(key, fallback), "client.")
	if v.given(key) && (id == "" || strings.ContainsAny(id, `,"'`) || strings.ContainsFunc(id, unicode.IsSpace)) {
		v.fault("parameter %s: %q is not a cephx identity (no comma, quote or space)", key, v.optional(key, ""))
	}
	return id
}

func (v *values) secretName(key, fallback string) string {
	return v.object(key, fallback, "secret", validation.IsDNS1123Subdomain)
}

func (v *values) namespace(key, fallback string) string {
	return v.object(key, fallback, "namespace", validation.IsDNS1123Label)
}

// object is the name of an object in Kubernetes.
func (v *values) object(key, fallback, kind string, faults func(name string) []string) string {
	value := v.optional(key, fallback)
	if v.given(key) && len(faults(value)) > 0 {
		v.fault("parameter %s: %q is not a name that a %s can have", key, value, kind)
	}
	return value
}

func (v *values) oneOf(key, fallback string, allowed ...string) string {
	value := v.optional(key, fallback)
	if value != fallback && !slices.Contains(allowed, value) {
		v.fault("parameter %s: %q is not one of %s", key, value, strings.Join(allowed, ", "))
	}
	return value
}

func (v *values) boolean(key string) bool {
	switch value := strings.ToLower(v.optional(key, "false")); value {
	case "true":
		return true
	case "false":
	default:
		v.fault("parameter %s: %q is not one of true, false", key, value)
	}
	return false
}

// place is the name of a pool, file system or subvolume group.
func (v *values) place(key, fallback string) string {
	value := v.optional(key, fallback)
	if strings.ContainsAny(value, `/@,;"'`) || strings.ContainsFunc(value, unicode.IsSpace) || value == "." || value == ".." {
		v.fault("parameter %s: %q is not a name (no slash, at sign, comma, semicolon, quote or space)", key, value)
	}
	return value
}
