#!/usr/bin/env bash
# Holds the code to its rules. Prints what breaks one, and fails then.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
GOFLAGS="-tags=$(hack/ceph-release)"
export GOFLAGS

# check NAME COMMAND…: a check passes if its command succeeds and prints nothing to
# standard output. (Go announces downloads on the other one.)
failed=0
messages=$(mktemp)
trap 'rm -f "$messages"' EXIT
check() {
	local name=$1 output
	shift
	if output=$("$@" 2>"$messages") && [[ -z $output ]]; then
		echo "verify: $name: ok"
	else
		printf 'verify: %s: FAILED\n%s\n' "$name" "$output" >&2
		cat "$messages" >&2
		failed=1
	fi
}

# Packages that must build without Ceph's libraries.
without_cgo() { go list ./... | grep -v -e /cephclient/goceph$ -e /cmd/ceph-provisioner$ -e /hack/floor$ -e /test$; }

check "gofmt" gofmt -l audit cmd cephaccess cephclient hack journal killpoint provisioner pvspec resizer seats stalled test
check "go vet" go vet ./...
check "staticcheck" go tool -modfile=hack/tools/go.mod staticcheck ./...
check "go.mod is tidy" go mod tidy -diff
check "vet without cgo" env CGO_ENABLED=0 go vet $(without_cgo)
check "shell scripts parse" bash -c 'for script in hack/*.sh hack/*/*.sh hack/ceph-release .ci/run; do bash -n "$script" || exit 1; done'
check "rules of imports and documents" go run ./hack/verify/rules
exit $failed
