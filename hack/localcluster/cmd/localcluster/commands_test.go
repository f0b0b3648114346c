package main

import "testing"

func TestChooseCluster(t *testing.T) {
	for name, test := range map[string]struct{ flag, variable, want string }{
		"flag":              {"/tmp/a", "", "/tmp/a"},
		"variable":          {"", "/tmp/b", "/tmp/b"},
		"flag goes first":   {"/tmp/a", "/tmp/b", "/tmp/a"},
		"neither: no guess": {"", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("LOCALCLUSTER_DIR", test.variable)
			got, err := chooseCluster(test.flag)
			if got != test.want || (err == nil) != (test.want != "") {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
}
