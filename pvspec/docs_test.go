package pvspec

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ceph.example/ceph-provisioner/cephclient"
)

// TestEveryParameterIsDocumented holds docs/parameters.md to the keys that are
// accepted: the first columns of its tables, by heading.
func TestEveryParameterIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/parameters.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| *`([A-Za-z]+)` *\\|")
	documented := map[cephclient.Kind]map[string]bool{cephclient.RBD: {}, cephclient.CephFS: {}}
	for section := range strings.SplitSeq(string(text), "\n## ") {
		title, _, _ := strings.Cut(section, "\n")
		for _, match := range row.FindAllStringSubmatch(section, -1) {
			for kind, keys := range documented {
				if strings.Contains(title, "Both kinds") || strings.Contains(strings.ToLower(title), string(kind)) {
					keys[match[1]] = true
				}
			}
		}
	}
	for kind, keys := range documented {
		got, want := slices.Sorted(maps.Keys(keys)), slices.Sorted(slices.Values(accepted[kind]))
		if !slices.Equal(got, want) {
			t.Errorf("%s: documented %v\naccepted %v", kind, got, want)
		}
	}
}
