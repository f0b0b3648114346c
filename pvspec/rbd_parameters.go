package pvspec

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

func rbdParameters(v *values, p *Parameters) {
	p.Container = v.place("pool", defaultPool)
	p.User.ID = v.identity("userId", p.Admin.ID)
	p.User.Secret.Name = v.secretName("userSecretName", "")
	p.Keyring = v.optional("keyring", "")
	if p.User.Secret.Name == "" && p.Keyring == "" {
		v.fault("parameter userSecretName is required (or keyring, a file on every node, such as /etc/ceph/keyring)")
	}
	p.FSType = v.oneOf("fsType", "", "ext2", "ext3", "ext4", "xfs", "btrfs")
	if format := v.optional("imageFormat", "2"); format != "2" {
		v.fault("parameter imageFormat: %q is not accepted, Ceph makes no images of format 1 any more: delete the class, and create it again under the same name with %q or without this parameter", format, "2")
	}
	p.Create.Features = imageFeatures(v)
	layout(v, p)
}

// imageFeatureNeeds lists the features that krbd knows, each with the one that
// it does not work without.
var imageFeatureNeeds = map[string]string{
	"layering":       "",
	"exclusive-lock": "",
	"object-map":     "exclusive-lock",
	"fast-diff":      "object-map",
	"deep-flatten":   "",
}

// whyNot is for features that others' classes have.
var whyNot = map[string]string{
	"journaling": ", as no kernel maps such images",
	"striping":   ", it comes by stripeUnit and stripeCount",
}

const acceptedFeatures = "layering, exclusive-lock, object-map, fast-diff, deep-flatten"

func imageFeatures(v *values) []string {
	var features []string
	for feature := range strings.SplitSeq(strings.TrimRight(v.optional("imageFeatures", "layering"), ", "), ",") {
		feature = strings.TrimSpace(feature)
		if _, known := imageFeatureNeeds[feature]; !known {
			v.fault("parameter imageFeatures: %q is not accepted%s (accepted: %s)", feature, whyNot[feature], acceptedFeatures)
		}
		features = append(features, feature)
	}
	for _, feature := range features {
		if needs := imageFeatureNeeds[feature]; needs != "" && !slices.Contains(features, needs) {
			v.fault("parameter imageFeatures: %s needs %s as well", feature, needs)
		}
	}
	return features
}

// Bounds of `rbd create --object-size`.
const (
	minObjectSizeBytes     = 4 << 10
	maxObjectSizeBytes     = 32 << 20
	defaultObjectSizeBytes = 4 << 20
)

func layout(v *values, p *Parameters) {
	objectSize := v.bytes("objectSize")
	if v.given("objectSize") &&
		(bits.OnesCount64(uint64(objectSize)) != 1 || objectSize < minObjectSizeBytes || objectSize > maxObjectSizeBytes) {
		v.fault("parameter objectSize: %q is not a power of two from 4K to 32M", v.optional("objectSize", ""))
	}
	p.Create.ObjectSizeBytes = objectSize
	p.Create.StripeUnitBytes = v.bytes("stripeUnit")
	p.Create.StripeCount = v.count("stripeCount")
	if v.given("stripeUnit") != v.given("stripeCount") {
		v.fault("parameters stripeUnit and stripeCount are only accepted together")
		return
	}
	if objectSize == 0 {
		objectSize = defaultObjectSizeBytes
	}
	if unit := p.Create.StripeUnitBytes; unit > 0 && (unit > objectSize || objectSize%unit != 0) {
		v.fault("parameter stripeUnit: %d bytes do not divide the object size of %d bytes", unit, objectSize)
	}
}

// bytes reads a size as the rbd tool does: bytes, or with K, M or G.
func (v *values) bytes(key string) int64 {
	if !v.given(key) {
		return 0
	}
	text := v.optional(key, "")
	number, err := parseBytes(text)
	v.check(key, err)
	return number
}

func parseBytes(text string) (int64, error) {
	digits := strings.TrimRight(text, "BiKMGbkmg")
	shift, known := map[string]int{"": 0, "b": 0, "k": 10, "kib": 10, "m": 20, "mib": 20, "g": 30, "gib": 30}[strings.ToLower(text[len(digits):])]
	number, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || !known || number <= 0 {
		return 0, fmt.Errorf("%q is not a size such as 4194304, 4096K or 4M", text)
	}
	return number << shift, nil
}

func (v *values) count(key string) int64 {
	if !v.given(key) {
		return 0
	}
	number, err := strconv.ParseInt(v.optional(key, ""), 10, 32)
	if err != nil || number < 1 {
		v.fault("parameter %s: %q is not a positive number", key, v.optional(key, ""))
	}
	return number
}
