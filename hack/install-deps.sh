#!/usr/bin/env bash
# Installs the Debian packages that building and testing need: real Ceph, etcd and
# the C libraries of go-ceph. Silent and at once when nothing is missing.
#
# Usage: install-deps.sh [PACKAGE…]   further packages, as for make bench
set -euo pipefail

packages=(
	# the local cluster
	ceph-mon ceph-osd ceph-mgr ceph-mgr-modules-core ceph-mds ceph-common ceph-fuse
	python3-rados python3-rbd python3-cephfs etcd-server
	# go-ceph
	gcc libc6-dev librados-dev librbd-dev libcephfs-dev
	# tests and scripts: getfattr, fusermount3, flock, ps, jq
	attr fuse3 util-linux procps jq
	"$@"
)

# A package that is known but not installed has another status, and an unknown one
# none: both are missing.
installed=$(dpkg-query --show --showformat='${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null |
	sed -n 's/ installed$//p' || true)
missing=()
for package in "${packages[@]}"; do
	[[ $'\n'$installed$'\n' == *$'\n'$package$'\n'* ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0

as_root=()
if ((EUID != 0)); then
	as_root=(sudo -n)
	if ! sudo -n true 2>/dev/null; then
		echo "Packages are missing; as root, run: apt-get install ${missing[*]}" >&2
		exit 1
	fi
fi

# Services that a package would start, such as etcd on its standard port, are
# refused for the time of the installation: the local cluster starts its own.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
	trap '"${as_root[@]}" rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
	"${as_root[@]}" chmod +x "$policy"
fi

echo "Installing ${missing[*]}" >&2
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
"${apt[@]}" update >&2
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" >&2
