package goceph

import "testing"

func TestLayout(t *testing.T) {
	const stripes = "stripe_unit=4194304 stripe_count=1 object_size=4194304"
	for layout, want := range map[string][2]string{
		"":                              {"", ""},
		stripes + " pool=cephfs.a.data": {"cephfs.a.data", ""},
		stripes + " pool=a pool_namespace=fsvolumens_x": {"a", "fsvolumens_x"},
		stripes + " pool=my data pool_namespace=b":      {"my data", "b"},
		stripes + " pool=17":                            {"17", ""}, // a pool that is gone
	} {
		pool, namespace := parseLayout(layout)
		if got := [2]string{pool, namespace}; got != want {
			t.Errorf("%q: got %q, want %q", layout, got, want)
		}
	}
}
