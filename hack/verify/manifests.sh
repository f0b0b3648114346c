#!/usr/bin/env bash
# Applies the manifests, the overlays and the examples to a real API server of
# their own, which must then have nothing to change about them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

dir=$(mktemp -d "${TMPDIR:-/tmp}/verify.XXXXXX")
# Its standard input closes when this script ends, however that is.
coproc CLUSTER { exec bin/localcluster run --until-stdin-closes --dir="$dir/cluster" --ceph-clusters=0 2>"$dir/log"; }
cluster=$CLUSTER_PID stdin=${CLUSTER[1]}
trap 'exec {stdin}>&- && wait "$cluster" || true; rm -rf "$dir"' EXIT
read -r -u "${CLUSTER[0]}" ready || true
if [[ ${ready:-} != ready ]]; then
	cat "$dir/log" >&2
	exit 1
fi
# shellcheck disable=SC1091
source "$dir/cluster/env.sh"

for each in manifests manifests/overlays/*/ manifests/examples/*/; do
	kubectl apply -k "${each%/}" >/dev/null
	kubectl diff -k "${each%/}"
	echo "verify: kubectl apply -k ${each%/}: ok"
done
