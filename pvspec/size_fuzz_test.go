package pvspec_test

import (
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ceph.example/ceph-provisioner/pvspec"
)

// farExponent matches what the API machinery takes minutes to parse. The API server has
// written such a quantity anew before anybody else reads it.
var farExponent = regexp.MustCompile(`[eE][+-]?\d{5}`)

// FuzzSize reads sizes as claims and annotations have them.
func FuzzSize(f *testing.F) {
	for _, text := range []string{
		"1", "0", "-0", "-1Gi", "1Gi", "1500k", "100m", "1n", "0.0000000001", "1.5", "7Ei", "8Ei", "9223372036854775807", "9223372036854775806.5",
		"9223372036854775808", "-9223372036854775809", "1e30", "1e-30", "1E", "1e", "1.", ".5", "+1", "", " ", "1 Gi", "1gi", "NaN", "Inf", "0x10", "٣",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if farExponent.MatchString(text) {
			return
		}
		checkPostponed(t, text)
		size, err := resource.ParseQuantity(text)
		if err != nil {
			return // the API server refuses such a claim
		}
		got, err := pvspec.Bytes(size)
		if err != nil {
			if !strings.Contains(err.Error(), size.String()) {
				t.Errorf("does not name the size: %v", err)
			}
			return
		}
		granted, less := pvspec.Quantity(got), pvspec.Quantity(got-1)
		if got <= 0 || granted.Cmp(size) < 0 || less.Cmp(size) >= 0 {
			t.Errorf("%s is taken for %d bytes", size.String(), got)
		}
		if again := resource.MustParse(granted.String()); again.Value() != got {
			t.Errorf("%d bytes are written as %s", got, granted.String())
		}
	})
}

func checkPostponed(t *testing.T, text string) {
	t.Helper()
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pvc-1", Annotations: map[string]string{
		"ceph.example/postponed-capacity": text, "ceph.example/postponed-since": text,
	}}}
	_ = pvspec.PostponedSince(pv)
	size, err := pvspec.Postponed(pv)
	if err != nil && (!strings.Contains(err.Error(), "pvc-1") || !strings.Contains(err.Error(), "ceph.example/postponed-capacity")) {
		t.Errorf("does not name volume and annotation: %v", err)
	}
	if err == nil && (size.Sign() <= 0 || !pvspec.IsPostponedTo(pv, size)) {
		t.Errorf("%q is taken for %s", text, size.String())
	}
}
