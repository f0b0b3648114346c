.DEFAULT_GOAL := help
SHELL := /bin/bash

# The build tag must name the Ceph release of the librados that is installed.
# It is asked for only when a command runs, after the dependencies are there.
go = GOFLAGS="-tags=$$(hack/ceph-release) $$GOFLAGS" go
tool = $(go) tool -modfile=hack/tools/go.mod
gotestsum = $(tool) gotestsum --format $(1) --format-hide-empty-pkg --

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
LDFLAGS = -s -w -X main.version=$(VERSION)

e2e_env = CEPH_PROVISIONER_BIN=$(CURDIR)/bin/ceph-provisioner LOCALCLUSTER_BIN=$(CURDIR)/bin/localcluster \
	KILLPOINTS_BIN=$(CURDIR)/bin/ceph-provisioner-killpoints
e2e_tests = $(e2e_env) $(call gotestsum,testname) -count=1 -timeout=1h $(1) $(e2e_package)

FUZZTIME ?= 30s

# Where Ceph is linked, or a real cluster is needed; all other packages build without cgo.
e2e_package = ./test/...

##@ Use
.PHONY: help demo test
help: ## show this help
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

demo: build localcluster ## provision, write, grow and delete on a real local Ceph and Kubernetes
	hack/demo.sh

test: verify unit e2e ## everything that CI runs: verify, unit, e2e
	@echo "ran: verify, unit tests with the race detector, end-to-end tests on a real Ceph and Kubernetes"
	@echo "did not run: demo (make demo), a kubelet that mounts the volumes (make node-check), benchmarks (make bench), long runs (make chaos, make soak), fuzzing beyond its seeds (make fuzz)"

##@ Develop
.PHONY: deps build bin/ceph-provisioner-killpoints localcluster unit fuzz e2e chaos node-check bench soak verify dev-up dev-down
deps: ## install the Debian packages that are missing
	@hack/install-deps.sh

build: deps ## build bin/ceph-provisioner against the installed Ceph release
	$(go) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ceph-provisioner ./cmd/ceph-provisioner

bin/ceph-provisioner-killpoints: deps # ends after the write that the environment names
	GOFLAGS="-tags=$$(hack/ceph-release),killpoints" go build -o $@ ./cmd/ceph-provisioner

localcluster: deps ## build bin/localcluster and the Kubernetes control plane (minutes, once)
	$(go) build -o bin/localcluster ./hack/localcluster/cmd/localcluster
	@hack/kubernetes/build.sh >/dev/null

unit: deps ## unit tests, with the race detector
	$(call gotestsum,pkgname) -race -count=1 $$($(go) list ./... | grep -v /test)

fuzz: deps ## silly and hostile input, FUZZTIME (30s) for each fuzz target
	FUZZTIME=$(FUZZTIME) hack/fuzz.sh

e2e: build localcluster bin/ceph-provisioner-killpoints ## end-to-end tests on a real local Ceph and Kubernetes, growth with its feature gate off and on
	$(call e2e_tests)
	E2E_FEATURE_GATES=RecoverVolumeExpansionFailure=true $(call e2e_tests,-run=TestExpand)

chaos: build localcluster bin/ceph-provisioner-killpoints ## kill the controller 200 times while volumes are made, grown and deleted (CHAOS_KILLS, CHAOS_SEED)
	CHAOS_KILLS=$${CHAOS_KILLS:-200} $(e2e_env) $(call gotestsum,standard-verbose) -count=1 -timeout=2h -run='TestChaos|TestKilled' $(e2e_package)

node-check: build ## a real kubelet on a real kernel mounts and grows the volumes (5 minutes, 2 GB)
	hack/node/check.sh

# The rounds of a benchmark of claims are in one run of it.
bench_claims = BENCH_RESULTS=$(BENCH_RESULTS) $(e2e_env) $(go) test -run=none -benchtime=1x -timeout=4h $(e2e_package) -bench
bench: build localcluster ## measure: claims beside what Kubernetes and Ceph alone allow (BENCH_CLAIMS, BENCH_ROUNDS); growth in a mount; claims beside a cluster that hangs, and beside BENCH_BOUND=10000 others
	@hack/install-deps.sh gnuplot-nox
	rm -f $(BENCH_RESULTS)/claims.csv
	$(bench_claims) '^BenchmarkClaims$$'
	BENCH_LIMITS=stock BENCH_CLAIMS=100 $(bench_claims) '^BenchmarkClaims$$/^rbd$$/./^(ours|none)$$'
	$(go) run ./hack/bench $(BENCH_RESULTS)
	gnuplot -c hack/bench/rates.gnuplot $(BENCH_RESULTS)
	$(e2e_env) $(go) test -run=none -bench='Growth|Isolation' -benchtime=10x -timeout=45m $(e2e_package)
	$(e2e_env) $(go) test -run=none -bench='Size|Scale' -benchtime=1x -timeout=3h $(e2e_package)

# Where the figures of make bench are left.
BENCH_RESULTS ?= $(CURDIR)/bench-results
SOAK_CYCLES ?= 10000
SOAK_HUNG ?= 1h
soak: build localcluster ## what the process holds after SOAK_CYCLES=10000 volumes, and while clusters hang for SOAK_HUNG=1h (2 hours)
	SOAK_CYCLES=$(SOAK_CYCLES) SOAK_HUNG=$(SOAK_HUNG) $(e2e_env) $(go) test $(e2e_package) -count=1 -timeout=6h -v -run='^(TestNothingIsKept|TestHungClusterHoldsNothing|TestHungConnectionsHoldNothing)$$'

verify: deps localcluster ## format, vet, staticcheck, import rules, builds without cgo, manifests, links of the documentation
	hack/verify/code.sh
	hack/verify/manifests.sh

dev-up: build localcluster ## start a local cluster: eval "$$(make -s dev-up)"
	@bin/localcluster up

dev-down: localcluster ## end the local cluster of this shell ($$LOCALCLUSTER_DIR)
	@bin/localcluster down
