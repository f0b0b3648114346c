#!/usr/bin/env bash
# Runs each fuzz target for FUZZTIME, one after another, and ends at the first failure.
# Put the input that it shows into the target's seeds (f.Add) with the fix.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
GOFLAGS="-tags=$(hack/ceph-release) ${GOFLAGS:-}"
export GOFLAGS

packages=$(go list ./... | grep -v /test)
targets=$(go test -list '^Fuzz' $packages |
	awk '/^Fuzz/ { names[n++] = $1 } /^ok/ { for (i = 0; i < n; i++) print $2, names[i]; n = 0 }')
while read -r package target; do
	echo "fuzz: $package $target"
	# Minimizing what is merely new would take most of the time.
	go test -vet=off "$package" -run=none -fuzz="^$target\$" -fuzztime="${FUZZTIME:-30s}" -fuzzminimizetime=1s </dev/null
done <<<"$targets"
