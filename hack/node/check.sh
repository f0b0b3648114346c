#!/usr/bin/env bash
# What a real kubelet makes of our volumes: pods mount all three kinds, write to them,
# and go on while they grow. `make node-check` builds what this needs.
set -Eeuo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
NODE=$(mktemp --directory --dry-run "${TMPDIR:-/tmp}/ceph-node.XXXX")
export NODE
export CONTROLLER_ARGS="--retry-interval-max=15s"
patience=240
passed=0

node() { "$here/node.sh" "$@"; }
kubectl() { node net kubectl "$@"; }
in_pod() { kubectl exec "$1" -- sh -c "$2"; }
ok() { passed=$((passed + 1)); echo "  ✓ $1"; }
fail() {
	trap - ERR
	echo "✗ $1" >&2
	kubectl get pvc,pv,pods >&2 || true
	kubectl get events --sort-by=.lastTimestamp 2>/dev/null | tail -n 15 >&2 || true
	tail -n 5 "$NODE/share/kubelet.log" >&2 || true
	exit 1
}

# eventually WHAT COMMAND…
eventually() {
	local what=$1 deadline=$((SECONDS + patience))
	shift
	until "$@" >/dev/null 2>&1; do
		((SECONDS < deadline)) || fail "not within $patience s: $what"
		sleep 1
	done
	ok "$what"
}

claim() { # NAME CLASS MODE
	cat <<-END
		---
		apiVersion: v1
		kind: PersistentVolumeClaim
		metadata: {name: $1}
		spec: {storageClassName: $2, accessModes: [ReadWriteOnce], volumeMode: $3, resources: {requests: {storage: 64Mi}}}
	END
}

pod() { # NAME, of its claim too; MOUNT
	cat <<-END
		---
		apiVersion: v1
		kind: Pod
		metadata: {name: $1}
		spec:
		  hostNetwork: true
		  terminationGracePeriodSeconds: 1
		  containers:
		  - {name: shell, image: "busybox:1.36", imagePullPolicy: IfNotPresent, command: [sleep, "1000000"], $2}
		  volumes: [{name: data, persistentVolumeClaim: {claimName: $1}}]
	END
}

claim_is() { # CLAIM SIZE: without conditions
	[[ $(kubectl get pvc "$1" --output=jsonpath='{.status.capacity.storage} {.status.conditions}') == "$2 " ]]
}

volume_is() { # CLAIM SIZE
	local pv
	pv=$(kubectl get pvc "$1" --output=jsonpath='{.spec.volumeName}')
	[[ $(kubectl get pv "$pv" --output=jsonpath='{.spec.capacity.storage}') == "$2" ]]
}

# The pattern is in this file so that a kubelet that words it otherwise is noticed:
# the last part of the check raises the volume on purpose.
flood() { grep --count 'failed to find expandable plugin' "$NODE/share/kubelet.log" || true; }

trap 'fail "line $LINENO"' ERR
trap 'node down' EXIT

node up
files='volumeMounts: [{name: data, mountPath: /data}]'
device='volumeDevices: [{name: data, devicePath: /dev/data}]'
{
	claim rbd rbd Filesystem && pod rbd "$files"
	claim block rbd Block && pod block "$device"
	claim cephfs cephfs Filesystem && pod cephfs "$files"
} | kubectl apply -f - >/dev/null
for name in rbd block cephfs; do
	eventually "a pod mounts $name" kubectl wait --for=condition=Ready --timeout=5s "pod/$name"
done
in_pod rbd 'echo kept >/data/file && sync'
in_pod cephfs 'echo kept >/data/file && sync'
in_pod block 'echo kept | dd of=/dev/data conv=fsync 2>/dev/null'
! in_pod cephfs 'dd if=/dev/zero of=/data/full bs=1M count=100 conv=fsync 2>/dev/null && sync' || fail "the quota does not hold"
ok "CephFS takes no more than its quota"

for name in rbd block cephfs; do
	kubectl patch pvc "$name" --patch '{"spec":{"resources":{"requests":{"storage":"192Mi"}}}}' >/dev/null
done
for name in cephfs block rbd; do
	eventually "claim $name has grown, and nothing is left to do" claim_is "$name" 192Mi
done
in_pod cephfs 'rm -f /data/full && dd if=/dev/zero of=/data/more bs=1M count=120 conv=fsync 2>/dev/null' || fail "CephFS has not grown in the pod"
in_pod rbd 'dd if=/dev/zero of=/data/more bs=1M count=120 conv=fsync 2>/dev/null' || fail "the file system has not grown in the pod"
[[ $(in_pod block 'blockdev --getsize64 /dev/data') == $((192 << 20)) ]] || fail "the device has not grown in the pod"
[[ $(in_pod rbd 'cat /data/file')$(in_pod cephfs 'cat /data/file')$(in_pod block 'head -n 1 /dev/data') == keptkeptkept ]] || fail "data is lost"
ok "all of them take more data in the same pods, and kept what they had"

volume_is cephfs 64Mi || fail "the CephFS volume was raised under its pod"
sleep 100 # the kubelet looks at a pod's volumes once a minute, and a half more
(($(flood) == 0)) || fail "the kubelet logs $(flood) lines about the CephFS volume"
ok "the kubelet does not complain about the CephFS volume"
pv=$(kubectl get pvc cephfs --output=jsonpath='{.spec.volumeName}')
node controller stop
kubectl patch pv "$pv" --patch '{"spec":{"capacity":{"storage":"192Mi"}}}' >/dev/null
eventually "it does if the volume is raised too early" bash -c '(($(grep --count "failed to find expandable plugin" "$NODE/share/kubelet.log") > 100))'
kubectl patch pv "$pv" --patch '{"spec":{"capacity":{"storage":"64Mi"}}}' >/dev/null
node controller

kubectl delete pods --all >/dev/null
eventually "the CephFS volume is raised when no pod uses it" volume_is cephfs 192Mi
kubectl delete pvc --all >/dev/null
nothing() { [[ -z $(kubectl get pv --output=name)$(node net rbd ls)$(node net rbd trash ls --all)$(node net ceph fs subvolume ls cephfs kubernetes --format=plain | tr -d '[]\n') ]]; }
eventually "deleted claims leave nothing" nothing
echo "A real kubelet: $passed checks, all held."
