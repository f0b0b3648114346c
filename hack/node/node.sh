#!/usr/bin/env bash
# A Kubernetes node with a real kubelet on a real Linux kernel (user-mode-linux, an
# ordinary process, with krbd and the CephFS client), beside a local cluster, all in
# a network namespace of their own. Needs root and about 2 GB of memory.
#
# Usage: node.sh up        start the local cluster, the node and the provisioner
#        node.sh prepare   what up does first: packages, builds (minutes, once)
#        node.sh down      end all of it and remove what it wrote
#        node.sh exec CMD  run a shell command in the node
#        node.sh net CMD…  run a command in the network namespace (kubectl, ceph)
#        node.sh kill      kill the node, as a power failure would
#        node.sh boot      start the node again
#        node.sh kubelet   restart the kubelet
#        node.sh controller [stop]   (re)start or stop the provisioner
# Environment: NODE is the directory for all that it writes (default /tmp/ceph-node);
# CEPH_FUSE=1 leaves mount.fuse.ceph in the node; FEATURE_GATES goes to all Kubernetes
# components, CONTROLLER_ARGS to the provisioner.
set -Eeuo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
src=$(cd "$here/../.." && pwd)
NODE=${NODE:-/tmp/ceph-node}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ceph-provisioner/node # what the guest needs and is not installed
network=10.77.0.0/24 gateway=10.78.0.1 node=10.78.0.2
memory=${NODE_MEMORY:-1536M}
export LC_ALL=C.UTF-8
unset CEPH_ARGS CEPH_CONF CEPH_KEYRING KUBECONFIG

say() { printf '# %s\n' "$*" >&2; }
pid() { cat "$NODE/pids/$1" 2>/dev/null; }
alive() { local p; p=$(pid "$1") && kill -0 "$p" 2>/dev/null; }
net() { nsenter --net="/proc/$(pid netns)/ns/net" -- "$@"; }

# background NAME LOG COMMAND…: a process of its own session, known by its PID file.
background() {
	local name=$1 log=$2
	shift 2
	setsid -- "$@" >>"$log" 2>&1 </dev/null &
	echo $! >"$NODE/pids/$name"
}

finish() { # NAME SIGNAL: ends a process and waits for it
	local p
	p=$(pid "$1") || return 0
	kill "-$2" "$p" 2>/dev/null || true
	for ((i = 0; i < 100; i++)); do kill -0 "$p" 2>/dev/null || break; sleep 0.1; done
	kill -KILL "$p" 2>/dev/null || true
	rm -f "$NODE/pids/$1"
}

# prepare makes what is missing. udev is unpacked, not installed: only the node needs it.
prepare() {
	"$src/hack/install-deps.sh" user-mode-linux busybox-static containerd runc iproute2
	mkdir -p "$cache"
	if [[ ! -e $cache/udev/bin/udevadm ]]; then
		(cd "$cache" && { apt-get download udev || { apt-get update && apt-get download udev; }; } && dpkg -x udev_*.deb udev && rm udev_*.deb) >&2
	fi
	[[ -e $cache/image.tar ]] || "$here/image.sh" "$cache/image.tar"
	bin=$(KUBERNETES_ALSO=kubelet nice -n 10 "$src/hack/kubernetes/build.sh")
	(cd "$src" && export GOFLAGS="-tags=$(hack/ceph-release) -buildvcs=false" &&
		nice -n 10 go build -o bin/localcluster ./hack/localcluster/cmd/localcluster &&
		nice -n 10 go build -trimpath -o bin/ceph-provisioner ./cmd/ceph-provisioner)
}

start_net() {
	background netns "$NODE/netns.log" unshare --net sleep infinity
	until [[ $(readlink "/proc/$(pid netns)/ns/net") != "$(readlink /proc/self/ns/net)" ]]; do sleep 0.05; done
	net ip link set lo up
	net ip route add local "$network" dev lo # every address of it is this machine's
	net ip tuntap add dev node0 mode tap
	net ip address add "$gateway/30" dev node0
	net ip link set node0 up
}

boot() {
	say "booting the node"
	rm -f "$NODE/share/booted" "$NODE/scratch.img"
	truncate -s 16G "$NODE/scratch.img"
	mkfs.ext4 -q -E lazy_itable_init=1,lazy_journal_init=1 "$NODE/scratch.img"
	# In a PID namespace of its own, so that no helper process outlives it.
	background uml "$NODE/console.log" nsenter --net="/proc/$(pid netns)/ns/net" -- \
		unshare --pid --fork --kill-child -- sh -c '"$@"; exit $?' uml \
		linux.uml mem="$memory" umid="node-$$" uml_dir="$NODE/uml/" ubda="$NODE/scratch.img" rootfstype=hostfs ro init="$here/guest/init" \
		vec0:transport=tap,ifname=node0,depth=128,gro=1 con=null con0=null,fd:1 ssl=null panic=-1 \
		guest="$here/guest" cache="$cache" share="$NODE/share" nodeip="$node" gateway="$gateway" network="$network" cephfuse="${CEPH_FUSE:-0}" end
	for ((i = 0; i < 600; i++)); do
		[[ ! -e $NODE/share/booted ]] || return 0
		alive uml || break
		sleep 0.1
	done
	tail -n 30 "$NODE/console.log" >&2
	return 1
}

configure_kubelet() {
	local server ca token
	KUBECONFIG=$NODE/cluster/kubernetes/admin.kubeconfig
	export KUBECONFIG
	server=$(jq -r .kubernetes.server "$NODE/cluster/cluster.json")
	ca=$(kubectl config view --raw --output=jsonpath='{.clusters[0].cluster.certificate-authority-data}')
	net kubectl create serviceaccount node --namespace=kube-system >/dev/null
	net kubectl create clusterrolebinding node --clusterrole=system:node --serviceaccount=kube-system:node >/dev/null
	token=$(net kubectl create token node --namespace=kube-system --duration=12h)
	cat >"$NODE/share/kubelet.yaml" <<-END
		apiVersion: kubelet.config.k8s.io/v1beta1
		kind: KubeletConfiguration
		containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
		authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
		authorization: {mode: AlwaysAllow}
		cgroupDriver: cgroupfs
		cgroupsPerQOS: false
		enforceNodeAllocatable: []
		failSwapOn: false
		resolvConf: ""
		evictionHard: {memory.available: "0%"}
		imageGCHighThresholdPercent: 100
		volumeStatsAggPeriod: 1m
	END
	[[ -z ${FEATURE_GATES:-} ]] || echo "featureGates: {${FEATURE_GATES//=/: }}" >>"$NODE/share/kubelet.yaml"
	printf 'KUBELET=%q\nNODE_IP=%q\nKUBELET_V=%q\n' "$bin/kubelet" "$node" "${KUBELET_V:-2}" >"$NODE/share/kubelet.env"
	cat >"$NODE/kubelet.conf" <<-END
		apiVersion: v1
		kind: Config
		clusters: [{name: c, cluster: {server: "$server", certificate-authority-data: "$ca"}}]
		users: [{name: node, user: {token: "$token"}}]
		contexts: [{name: c, context: {cluster: c, user: node}}]
		current-context: c
	END
	mv "$NODE/kubelet.conf" "$NODE/share/kubelet.conf"
}

# install does what docs/ceph-identities.md and the manifests say, as make demo does.
install() {
	(cd "$src" && monitors=$(jq -r '.ceph[0].monitors' "$NODE/cluster/cluster.json") &&
	export KUBECONFIG=$NODE/cluster/kubernetes/admin.kubeconfig CEPH_CONF=$NODE/cluster/ceph-0/ceph.conf &&
	net kubectl apply -k manifests && net kubectl scale deployment/ceph-provisioner --namespace=kube-system --replicas=0 &&
	grep '^ceph auth get-or-create ' docs/ceph-identities.md | net sh -e >/dev/null &&
	grep '^ceph auth print-key .*=/dev/stdin$' docs/ceph-identities.md | net sh -e &&
	sed -s -e "s/^  monitors: .*/  monitors: $monitors/" -e '$a---' manifests/examples/*/class.yaml | net kubectl apply -f -) >"$NODE/install.log" 2>&1 ||
		{ cat "$NODE/install.log" >&2; return 1; }
}

controller() {
	finish controller TERM
	[[ ${1:-} != stop ]] || return 0
	export KUBECONFIG=$NODE/cluster/kubernetes/admin.kubeconfig
	net kubectl create token ceph-provisioner --namespace=kube-system --duration=12h >"$NODE/controller.token"
	kubectl config view --raw --output=jsonpath='{.clusters[0].cluster.certificate-authority-data}' | base64 -d >"$NODE/ca.crt"
	cat >"$NODE/controller.kubeconfig" <<-END
		apiVersion: v1
		kind: Config
		clusters: [{name: c, cluster: {server: "$(jq -r .kubernetes.server "$NODE/cluster/cluster.json")", certificate-authority: ca.crt}}]
		users: [{name: controller, user: {tokenFile: controller.token}}]
		contexts: [{name: c, context: {cluster: c, user: controller}}]
		current-context: c
	END
	background controller "$NODE/controller.log" nsenter --net="/proc/$(pid netns)/ns/net" -- \
		env --unset=KUBECONFIG --unset=CEPH_CONF "$src/bin/ceph-provisioner" --kubeconfig="$NODE/controller.kubeconfig" \
		--leader-election --leader-election-namespace=kube-system --secret-namespace=ceph-volumes --v=2 ${CONTROLLER_ARGS:-}
}

up() {
	[[ ! -e $NODE ]] || { say "$NODE exists: node.sh down first"; return 1; }
	local bin booting begin
	prepare
	begin=$SECONDS
	trap 'trap - ERR; tail -n 20 "$NODE"/*.log "$NODE"/share/*.log >&2; down; exit 1' ERR
	mkdir -p -m 700 "$NODE"/{pids,share,uml}
	start_net
	boot &
	booting=$!
	net "$src/bin/localcluster" up --dir="$NODE/cluster" --network="$network" \
		--kubernetes-bin="$bin" ${FEATURE_GATES:+--feature-gates="$FEATURE_GATES"} >"$NODE/cluster.env" 2>"$NODE/cluster.log"
	configure_kubelet
	install
	controller
	wait "$booting"
	export KUBECONFIG=$NODE/cluster/kubernetes/admin.kubeconfig
	say "waiting for the kubelet"
	for ((i = 0; i < 300; i++)); do
		! net kubectl wait "node/$node" --for=condition=Ready --timeout=60s >/dev/null 2>&1 || { say "ready in $((SECONDS - begin)) s"; return 0; }
		sleep 0.2
	done
	tail -n 20 "$NODE/share/kubelet.log" >&2
	return 1
}

down() {
	finish controller TERM
	finish uml KILL
	[[ ! -e $NODE/cluster ]] || "$src/bin/localcluster" down --dir="$NODE/cluster" || true
	finish netns KILL # and with it the tap device and the addresses
	rm -rf --one-file-system "$NODE"
}

command=${1:?prepare, up, down, exec, net, kill, boot, kubelet or controller}
shift
case $command in
prepare | up | down | controller | boot) "$command" "$@" ;;
exec) net /usr/bin/python3 "$here/guest/client.py" "$node" "$@" ;;
net)
	export KUBECONFIG=$NODE/cluster/kubernetes/admin.kubeconfig CEPH_CONF=$NODE/cluster/ceph-0/ceph.conf
	net "$@"
	;;
kill) finish uml KILL ;;
kubelet) net /usr/bin/python3 "$here/guest/client.py" "$node" bash "$here/guest/kubelet" ;;
*) say "unknown command $command"; exit 2 ;;
esac
