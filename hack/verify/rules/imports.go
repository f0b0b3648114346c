package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
)

const module = "ceph.example/ceph-provisioner/"

// rooms says which rooms of this project each room may import, and whether it
// may import Kubernetes and go-ceph. See docs/architecture.md.
var rooms = map[string]struct {
	uses   []string
	k8s    bool
	goceph bool
}{
	"cephclient":           {},
	"cephclient/fake":      {uses: []string{"cephclient"}},
	"cephclient/goceph":    {uses: []string{"cephclient", "killpoint"}, goceph: true},
	"pvspec":               {uses: []string{"cephclient"}, k8s: true},
	"provisioner":          {uses: []string{"cephclient", "pvspec", "seats", "stalled"}, k8s: true},
	"resizer":              {uses: []string{"cephclient", "pvspec", "stalled"}, k8s: true},
	"stalled":              {uses: []string{"cephclient"}},
	"seats":                {k8s: true},
	"cephaccess":           {uses: []string{"cephclient", "pvspec"}, k8s: true},
	"journal":              {k8s: true},
	"killpoint":            {},
	"audit":                {uses: []string{"cephclient", "pvspec"}, k8s: true},
	"cmd/ceph-provisioner": {uses: []string{"audit", "cephaccess", "cephclient", "cephclient/goceph", "journal", "killpoint", "pvspec", "provisioner", "resizer", "seats", "stalled"}, k8s: true},

	"hack/bench":                         {},
	"hack/floor":                         {uses: []string{"cephclient", "provisioner", "resizer", "stalled"}, k8s: true, goceph: true},
	"hack/localcluster":                  {},
	"hack/localcluster/cmd/localcluster": {uses: []string{"hack/localcluster"}},
	"hack/verify/rules":                  {},
	"test":                               {k8s: true},
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func brokenImports() ([]string, error) {
	packages, err := listPackages()
	if err != nil {
		return nil, err
	}
	var faults []string
	for _, each := range packages {
		room := strings.TrimPrefix(each.ImportPath, module)
		if _, known := rooms[room]; !known {
			faults = append(faults, fmt.Sprintf("package %s: no rule says what it may import: add one to hack/verify/rules", room))
			continue
		}
		for _, imported := range each.Imports {
			if !allowed(room, imported) {
				faults = append(faults, fmt.Sprintf("package %s must not import %s", room, imported))
			}
		}
	}
	return faults, nil
}

func allowed(room, imported string) bool {
	rule := rooms[room]
	switch own, ours := strings.CutPrefix(imported, module); {
	case ours:
		return slices.Contains(rule.uses, own)
	case strings.Contains(imported, "k8s.io/"):
		return rule.k8s
	case strings.HasPrefix(imported, "github.com/ceph/go-ceph/"), imported == "C":
		return rule.goceph
	}
	return true
}

// listPackages reads what is built, without tests: those may use any fake.
func listPackages() ([]goPackage, error) {
	list, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var packages []goPackage
	decoder := json.NewDecoder(strings.NewReader(string(list)))
	for {
		var each goPackage
		switch err := decoder.Decode(&each); {
		case errors.Is(err, io.EOF):
			return packages, nil
		case err != nil:
			return nil, err
		}
		packages = append(packages, each)
	}
}
