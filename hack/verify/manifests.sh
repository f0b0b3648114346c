#!/usr/bin/env bash
# Applies the manifests, the overlays and the examples to a real API server of
# their own, and checks that a second run changes nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

dir=$(mktemp -d "${TMPDIR:-/tmp}/verify.XXXXXX")
trap 'bin/localcluster down --dir "$dir/cluster" >/dev/null 2>&1 || true; rm -rf "$dir"' EXIT
eval "$(bin/localcluster up --dir "$dir/cluster" --ceph-clusters 0 2>"$dir/log" || { cat "$dir/log" >&2; echo exit 1; })"

apply() {
	kubectl apply -k "$1" >/dev/null
	local changed
	changed=$(kubectl apply -k "$1" | grep -v ' unchanged$' || true)
	if [[ -n $changed ]]; then
		printf 'verify: %s is not stable:\n%s\n' "$1" "$changed" >&2
		return 1
	fi
	echo "verify: kubectl apply -k $1: ok"
}

apply manifests
for overlay in manifests/overlays/*/ manifests/examples/*/; do
	apply "${overlay%/}"
done
