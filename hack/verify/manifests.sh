#!/usr/bin/env bash
# Applies the manifests, the overlays and the examples to a real API server of
# their own, which must then have nothing to change about them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

dir=$(mktemp -d "${TMPDIR:-/tmp}/verify.XXXXXX")
trap 'bin/localcluster down --dir "$dir/cluster" >/dev/null 2>&1 || true; rm -rf "$dir"' EXIT
if ! exports=$(bin/localcluster up --dir "$dir/cluster" --ceph-clusters 0 2>"$dir/log"); then
	cat "$dir/log" >&2
	exit 1
fi
eval "$exports"

for each in manifests manifests/overlays/*/ manifests/examples/*/; do
	kubectl apply -k "${each%/}" >/dev/null
	kubectl diff -k "${each%/}"
	echo "verify: kubectl apply -k ${each%/}: ok"
done
