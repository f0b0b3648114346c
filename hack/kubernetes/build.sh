#!/usr/bin/env bash
# Builds Kubernetes' control plane from the module next to this script and
# prints the directory that holds it. At once when it is there already.
#
# Usage: build.sh [DIRECTORY]
# Environment: KUBERNETES_ALSO, more programs to build, as in "kubelet".
set -euo pipefail

version=v1.30.14
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
inputs=("$here/go.mod" "$here/go.sum" "$here/build.sh")
hash=$(cat "${inputs[@]}" | sha256sum | cut -c1-12)
out=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/ceph-provisioner/kubernetes-$version-$hash}

# shellcheck disable=SC2206 # words
wanted=(kube-apiserver kube-controller-manager kube-scheduler ${KUBERNETES_ALSO:-})
command -v kubectl >/dev/null || wanted+=(kubectl)

missing() {
	local name
	for name in "${wanted[@]}"; do
		[[ -x $out/$name ]] || echo "$name"
	done
}

# Clients refuse to parse the version of a binary that was built without these.
version_flags() {
	local package
	for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		printf -- '-X %s.gitVersion=%s -X %s.gitMajor=1 -X %s.gitMinor=30 -X %s.gitTreeState=clean ' \
			"$package" "$version" "$package" "$package" "$package"
	done
}

# A line every 15 s, so that nobody takes minutes of compiling for a hang.
# It ends with the build whose process it is given.
report_while() {
	local pid=$1 what=$2 start=$SECONDS
	while kill -0 "$pid" 2>/dev/null; do
		((SECONDS - start)) && (((SECONDS - start) % 15 == 0)) &&
			echo "kubernetes: building $what, $((SECONDS - start)) s" >&2
		sleep 1
	done
}

build() {
	local name=$1 start=$SECONDS
	echo "kubernetes: building $name $version (minutes the first time, then cached)" >&2
	# The caller's GOFLAGS (-tags, -race) must not reach this build; an empty
	# value would let those of `go env -w` through.
	(cd "$here" && exec env GOFLAGS=-mod=readonly GOWORK=off CGO_ENABLED=0 go build -trimpath \
		-ldflags "-s -w $(version_flags)" -o "$scratch/$name" "k8s.io/kubernetes/cmd/$name") >&2 &
	local pid=$!
	report_while "$pid" "$name"
	wait "$pid"
	mv "$scratch/$name" "$out/$name"
	echo "kubernetes: $name done in $((SECONDS - start)) s" >&2
}

if [[ -n $(missing) ]]; then
	mkdir -p "$out"
	exec 9>"$out/.lock"
	if ! flock -n 9; then
		echo "kubernetes: another build is running, waiting for it" >&2
		flock 9
	fi
	rm -rf "$out"/.build.* # left by a build that was killed
	scratch=$(mktemp -d "$out/.build.XXXXXX")
	trap 'rm -rf "$scratch"' EXIT
	for name in $(missing); do
		build "$name"
	done
fi
echo "$out"
