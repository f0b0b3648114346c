#!/usr/bin/env bash
# The main job on a real Ceph and a real Kubernetes of its own: claims become
# volumes, take data up to their size, grow, and leave nothing behind. Every step
# is checked. Started by `make demo`, which builds what this needs.
#
# Usage: hack/demo.sh [DIRECTORY]   the local cluster's, absent or empty; default a new one
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C.UTF-8
unset CEPH_ARGS CEPH_CONF CEPH_KEYRING KUBECONFIG

provisioner=bin/ceph-provisioner
localcluster=bin/localcluster
limit=90s # for one command or wait; all take a second or two

for program in "$provisioner" "$localcluster"; do
	[[ -x $program ]] || { echo "$program is missing: run make demo" >&2; exit 1; }
done
if (($#)); then
	DEMO=$(realpath --canonicalize-missing "$1")
else
	DEMO=$(mktemp -d "${TMPDIR:-/tmp}/ceph-demo.XXXXXX")
fi
export DEMO

### What is shown, and what must hold

bold='' plain=''
[[ -t 1 ]] && bold=$'\e[1m' plain=$'\e[0m'

start=${EPOCHREALTIME/./}
step_start=$start
titles=() times=()
checks=0

seconds_since() {
	local tenths=$(((${EPOCHREALTIME/./} - $1) / 100000))
	printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

end_step() {
	((${#titles[@]})) || return 0
	times+=("$(seconds_since "$step_start")")
	echo "  (${times[-1]} s)"
}

step() {
	end_step
	titles+=("$1")
	step_start=${EPOCHREALTIME/./}
	printf '\n%s%d. %s%s\n' "$bold" "${#titles[@]}" "$1" "$plain"
}

note() { printf '# %s\n' "$@"; }

holds() {
	checks=$((checks + 1))
	printf '  ✓ %s\n' "$1"
}

# check WHAT ACTUAL EXPECTED
check() {
	[[ $2 == "$3" ]] || fail "$1: expected '$3', found '$2'"
	holds "$1: ${2:-none}"
}

fail() {
	trap - ERR
	{
		printf '\n✗ %s\n' "$1"
		if [[ -e $DEMO/env.sh ]]; then
			printf '\nThe last events:\n'
			kubectl get events --request-timeout=5s --sort-by=.lastTimestamp \
				--output=custom-columns=TYPE:.type,REASON:.reason,OBJECT:.involvedObject.name,MESSAGE:.message | tail -n 12
		fi
		if [[ -e $DEMO/demo/controller.log ]]; then
			printf '\nThe end of the log of the controller:\n'
			tail -n 20 "$DEMO/demo/controller.log"
		fi
		echo
	} >&2 || true
	exit 1
}

### Commands

# Each command is a job with a process group of its own: Ctrl-C reaches this
# script alone, which can then end everything in order.
job='' controller='' mount='' cluster='' cluster_stdin='' started=''
out=''

# perform COMMAND: shows and runs it; its output is then in $out. It fails as the
# command does, and at once when the controller ends meanwhile.
perform() {
	local status=0 ended
	printf '$ %s\n' "$1"
	set -m
	timeout --kill-after=5 "$limit" bash -eo pipefail -c "$1" >"$DEMO/demo/output" 2>&1 </dev/null &
	job=$!
	set +m
	wait -n -p ended "$job" "$cluster" ${controller:+"$controller"} || status=$?
	case $ended in
	"$controller") controller='' && fail "the controller ended by itself, with status $status" ;;
	"$cluster") cluster='' && fail "the local cluster ended by itself, with status $status" ;;
	esac
	job=''
	out=$(<"$DEMO/demo/output")
	[[ -z $out ]] || printf '%s\n' "$out"
	((status != 124 && status != 137)) || fail "this command did not end within $limit"
	return "$status"
}

run() { perform "$1" || fail "this command failed"; }

# refused WHAT COMMAND TEXT: it must fail and say the text.
refused() {
	! perform "$2" || fail "$1: this should have been refused"
	[[ $out == *"$3"* ]] || fail "$1: refused for another reason than '$3'"
	holds "$1"
}

# eventually COMMAND: tries it, unseen, until it succeeds.
eventually() {
	local deadline=$((SECONDS + ${limit%s}))
	until eval "$1" >/dev/null 2>&1; do
		[[ -z $controller ]] || kill -0 "$controller" 2>/dev/null || fail "the controller ended by itself"
		((SECONDS < deadline)) || return 1
		sleep 0.1
	done
}

# empty WHAT COMMAND: it succeeds and, within the limit, prints nothing.
empty() {
	printf '$ %s' "$2"
	eventually "nothing=\$($2) && [[ -z \$nothing ]]" || { echo; perform "$2" || true; fail "$1: not within $limit"; }
	checks=$((checks + 1))
	printf '   ✓ %s\n' "$1"
}

# background LOG COMMAND…: runs it until its end or ours, even if we are killed.
background() {
	local log=$1
	shift
	set -m
	setpriv --pdeathsig TERM -- "$@" >"$log" 2>&1 </dev/null &
	set +m
}

### The end

# finish PID: asks a process to end, and makes it end.
finish() {
	local deadline=$((SECONDS + 10))
	kill -TERM -- "-$1" 2>/dev/null || return 0
	while kill -0 "$1" 2>/dev/null && ((SECONDS < deadline)); do
		sleep 0.1
	done
	kill -KILL -- "-$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
}

cleanup() {
	local status=$?
	trap - ERR EXIT
	trap '' INT TERM HUP
	[[ -z $job ]] || finish "$job"
	[[ -z $mount ]] || finish "$mount"
	[[ -z $controller ]] || finish "$controller"
	if [[ -n $cluster ]]; then
		exec {cluster_stdin}>&- # which ends it, as our death would
		wait "$cluster" || true
	fi
	if [[ -n $started ]]; then # otherwise what is in the directory is not ours
		umount --lazy "$DEMO/demo/mnt" 2>/dev/null || true
		rm -rf --one-file-system "$DEMO"
	fi
	[[ ! -d $DEMO ]] || rmdir "$DEMO" || true
	exit "$status"
}
trap cleanup EXIT
trap 'echo " interrupted, ending the local cluster" >&2; exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
trap '((BASH_SUBSHELL)) || fail "line $LINENO: $BASH_COMMAND"' ERR

### The steps

start_cluster() {
	step "A real Ceph and a real Kubernetes, on loopback"
	echo "\$ $localcluster run --dir=$DEMO &"
	local stdout ready=''
	set -m
	coproc LOCALCLUSTER { exec "$localcluster" run --until-stdin-closes --dir="$DEMO"; }
	set +m
	cluster=$LOCALCLUSTER_PID stdout=${LOCALCLUSTER[0]} cluster_stdin=${LOCALCLUSTER[1]}
	read -r -u "$stdout" ready || true
	[[ $ready == ready ]] || fail "the local cluster did not start"
	started=true
	# shellcheck disable=SC1091
	source "$DEMO/env.sh"
	mkdir -m 700 "$DEMO/demo" "$DEMO/demo/mnt"
	run "ceph health"
	run "kubectl version | grep Server"
	monitors=$(jq -r '.ceph[0].monitors' "$DEMO/cluster.json")
	users_before=$(ceph_users)
}

ceph_users() { ceph auth ls --format=json 2>/dev/null | jq -r '.auth_dump[].entity' | sort; }

install() {
	step "Install: manifests, Ceph identities, secrets, classes"
	local secrets_before
	secrets_before=$(all_secrets)
	run "kubectl apply -k manifests"
	note "This cluster has no node for the Deployment: the controller runs as a process (step 3)."
	run "grep '^ceph auth get-or-create ' docs/ceph-identities.md | sh -e >/dev/null"
	note "Each key goes from Ceph through a pipe into its secret:"
	run "grep '^ceph auth print-key .*=/dev/stdin\$' docs/ceph-identities.md | sh -e"
	run "sed -s -e 's/^  monitors: .*/  monitors: $monitors/' -e '\$a---' manifests/examples/*/class.yaml | kubectl apply -f -"
	secrets=$(all_secrets)
	check "secrets made" "$(comm -13 <(echo "$secrets_before") <(echo "$secrets") | wc -l)" "$(grep -c '^ceph auth print-key .*=/dev/stdin$' docs/ceph-identities.md)"
	identities=$(ceph_users)
	check "Ceph identities made" "$(comm -13 <(echo "$users_before") <(echo "$identities") | wc -l)" "$(grep -c '^ceph auth get-or-create ' docs/ceph-identities.md)"
}

all_secrets() { kubectl get secrets --all-namespaces --output=name | sort; }

start_controller() {
	step "The controller, with nothing but a token of its service account"
	run "kubectl create token ceph-provisioner --namespace=kube-system > \$DEMO/demo/token"
	kubectl config view --raw --output=jsonpath='{.clusters[0].cluster.certificate-authority-data}' | base64 -d >"$DEMO/demo/ca.crt"
	cat >"$DEMO/demo/kubeconfig" <<-END
		apiVersion: v1
		kind: Config
		clusters:
		- name: demo
		  cluster: {server: "$(jq -r .kubernetes.server "$DEMO/cluster.json")", certificate-authority: ca.crt}
		users:
		- name: controller
		  user: {tokenFile: token}
		contexts:
		- name: demo
		  context: {cluster: demo, user: controller}
		current-context: demo
	END
	refused "it may not list secrets" "kubectl --kubeconfig=\$DEMO/demo/kubeconfig auth can-i list secrets --all-namespaces" "no"
	local arguments=(--kubeconfig="$DEMO/demo/kubeconfig" --leader-election --leader-election-namespace=kube-system
		--secret-namespace=ceph-volumes --v=2)
	echo "\$ $provisioner ${arguments[*]//$DEMO/\$DEMO} 2>\$DEMO/demo/controller.log &"
	background "$DEMO/demo/controller.log" env --unset=KUBECONFIG --unset=CEPH_CONF "$provisioner" "${arguments[@]}"
	controller=$!
	eventually "kubectl get lease ceph-provisioner --namespace=kube-system --output=jsonpath='{.spec.holderIdentity}' | grep ." ||
		fail "the controller does not hold its Lease after $limit"
	holds "it holds its Lease"
}

claim() {
	step "Two claims become volumes"
	run "sed -s -e 's/storage: .*/storage: 64Mi/' -e '\$a---' manifests/examples/*/claim.yaml | kubectl apply -f -"
	run "kubectl wait pvc/rbd-claim pvc/cephfs-claim --for=jsonpath='{.status.phase}'=Bound --timeout=60s"
	run "kubectl get pvc"
	rbd_volume=$(pvc rbd-claim .spec.volumeName) cephfs_volume=$(pvc cephfs-claim .spec.volumeName)
	check "capacities" "$(pvc rbd-claim .status.capacity.storage) $(pvc cephfs-claim .status.capacity.storage)" "64Mi 64Mi"
}

pvc() { kubectl get pvc "$1" --output=jsonpath="{$2}"; }
pv() { kubectl get pv "$1" --output=jsonpath="{$2}"; }

# key_of VOLUME SOURCE FILE: a node's way to the key, from the volume to its secret.
key_of() {
	kubectl get secret --namespace="$(pv "$1" ".spec.$2.secretRef.namespace")" "$(pv "$1" ".spec.$2.secretRef.name")" \
		--output=jsonpath='{.data.key}' | base64 -d | (umask 077 && cat >"$3")
}

look() {
	step "What they are in Ceph"
	image=$(pv "$rbd_volume" .spec.rbd.pool)/$(pv "$rbd_volume" .spec.rbd.image)
	run "rbd info $image | sed 8q"
	check "image size in bytes" "$(image_bytes)" $((64 << 20))
	path=$(pv "$cephfs_volume" .spec.cephfs.path)
	note "A node mounts with the identity, key and path that the volume names; no ceph.conf:"
	key_of "$cephfs_volume" cephfs "$DEMO/demo/cephfs.key"
	local arguments=(--conf=/dev/null --id="$(pv "$cephfs_volume" .spec.cephfs.user)" --keyfile="$DEMO/demo/cephfs.key"
		-m "$monitors" --client-mountpoint="$path" "$DEMO/demo/mnt")
	echo "\$ ceph-fuse ${arguments[*]//$DEMO/\$DEMO}"
	background "$DEMO/demo/ceph-fuse.log" ceph-fuse -f "${arguments[@]}"
	mount=$!
	eventually "mountpoint --quiet \$DEMO/demo/mnt" || fail "not mounted after $limit: $(<"$DEMO/demo/ceph-fuse.log")"
	run "getfattr --absolute-names --name=ceph.quota.max_bytes \$DEMO/demo/mnt"
	check "quota in bytes" "$(quota_bytes)" $((64 << 20))
}

image_bytes() { rbd info "$image" --format=json | jq .size; }
quota_bytes() { getfattr --absolute-names --only-values --name=ceph.quota.max_bytes "$DEMO/demo/mnt"; }

write() {
	step "Data, up to the size and no further"
	note "Through librbd, as the identity that nodes map images with (OFFSET+LENGTH in MiB):"
	key_of "$rbd_volume" rbd "$DEMO/demo/rbd.key"
	rbd_write="hack/rbd-write.py --monitors=$monitors --id=$(pv "$rbd_volume" .spec.rbd.user) --keyfile=\$DEMO/demo/rbd.key $image"
	run "$rbd_write write 0+4 60+4"
	refused "nothing beyond the end" "$rbd_write write 96+4" "the image ends at 64 MiB"
	note "CephFS clients stop some MiB after the quota, not exactly at it (dsync keeps that small):"
	run "dd if=/dev/urandom of=\$DEMO/demo/mnt/first bs=1M count=8 status=none && sha256sum \$DEMO/demo/mnt/first | tee \$DEMO/demo/first.sum"
	refused "the quota holds" "dd if=/dev/zero of=\$DEMO/demo/mnt/rest bs=1M count=128 oflag=dsync status=none" "Disk quota exceeded"
	local written=$((8 + $(stat --format=%s "$DEMO/demo/mnt/rest") / (1 << 20)))
	((written >= 48 && written <= 96)) || fail "a quota of 64 MiB, and the writer stopped at $written MiB"
	holds "MiB in the volume of 64 MiB: $written"
}

grow() {
	step "Both claims grow while in use"
	local patch='{"spec":{"resources":{"requests":{"storage":"128Mi"}}}}'
	run "kubectl patch pvc rbd-claim cephfs-claim --patch '$patch'"
	run "kubectl wait pvc/cephfs-claim --for=jsonpath='{.status.capacity.storage}'=128Mi --timeout=60s"
	run "kubectl wait pvc/rbd-claim --for=condition=FileSystemResizePending --timeout=60s"
	note "The image has grown; the file system on it grows on a node, where there is one (kubelet)," \
		"and until then rbd-claim keeps its old capacity. CephFS needs nothing more."
	run "kubectl get pvc --output=custom-columns=CLAIM:.metadata.name,ASKED:.spec.resources.requests.storage,CAPACITY:.status.capacity.storage,CONDITION:.status.conditions[*].type"
	run "kubectl get pv --output=custom-columns=VOLUME:.metadata.name,CAPACITY:.spec.capacity.storage,CLAIM:.spec.claimRef.name"
	run "rbd info $image | grep size"
	run "getfattr --absolute-names --only-values --name=ceph.quota.max_bytes \$DEMO/demo/mnt"
	check "in Kubernetes" "$(pv "$rbd_volume" .spec.capacity.storage) $(pv "$cephfs_volume" .spec.capacity.storage) $(pvc cephfs-claim .status.capacity.storage)" "128Mi 128Mi 128Mi"
	check "in Ceph, bytes" "$(image_bytes) $(quota_bytes)" "$((128 << 20)) $((128 << 20))"
}

write_more() {
	step "What did not fit now fits, and the first data is still there"
	run "$rbd_write write 96+4"
	run "$rbd_write check 0+4 60+4"
	note "The same mount as before:"
	run "dd if=/dev/zero of=\$DEMO/demo/mnt/more bs=1M count=16 oflag=dsync status=none"
	run "sha256sum --check \$DEMO/demo/first.sum"
	check "MiB in the new file" "$(($(stat --format=%s "$DEMO/demo/mnt/more") >> 20))" 16
}

delete() {
	step "Deleted claims leave nothing"
	run "umount \$DEMO/demo/mnt"
	finish "$mount"
	mount=''
	run "kubectl delete pvc rbd-claim cephfs-claim"
	run "kubectl wait pv/$rbd_volume pv/$cephfs_volume --for=delete --timeout=60s"
	empty "no claims and no volumes" "kubectl get pvc,pv --all-namespaces --output=name"
	empty "no images in the pool" "rbd ls rbd"
	empty "no images in its trash" "rbd trash ls --all rbd"
	empty "no data objects in it" "rados --pool=rbd ls | sed -n /rbd_data/p"
	empty "no subvolumes in the file system" "ceph fs subvolume ls cephfs kubernetes --format=json | jq -r '.[].name'"
	empty "no objects in its data pool" "rados --pool=cephfs.cephfs.data ls"
	check "secrets besides those of step 2" "$(comm -13 <(echo "$secrets") <(all_secrets))" ""
	check "Ceph identities besides those of step 2" "$(comm -13 <(echo "$identities") <(ceph_users))" ""
}

stop() {
	step "The controller and the clusters end"
	finish "$controller"
	controller=''
	exec {cluster_stdin}>&-
	wait "$cluster" || { cluster=''; fail "the local cluster did not end well"; }
	cluster=''
	[[ ! -e $DEMO ]] || fail "$DEMO was left"
	holds "nothing is left of $DEMO"
	end_step
}

summary() {
	printf '\n%sAll of it held: %d checks.%s\n\n' "$bold" "$checks" "$plain"
	for i in "${!titles[@]}"; do
		printf '%3d. %-64s %6s s\n' $((i + 1)) "${titles[i]}" "${times[i]}"
	done
	printf '     %-64s %6s s\n' total "$(seconds_since "$start")"
}

start_cluster
install
start_controller
claim
look
write
grow
write_more
delete
stop
summary
