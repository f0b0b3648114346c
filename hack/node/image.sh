#!/usr/bin/env bash
# Makes a docker archive of the host's static busybox, as busybox:1.36 (which the
# examples name) and as the sandbox image. Usage: image.sh FILE
set -euo pipefail
out=$(realpath "$1")
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir"/root/{bin,tmp,etc,data,root,proc,sys,dev}
chmod 1777 "$dir/root/tmp"
cp /bin/busybox "$dir/root/bin/"
for applet in $(/bin/busybox --list); do [[ $applet == busybox ]] || ln -s busybox "$dir/root/bin/$applet"; done
echo "root:x:0:0:root:/root:/bin/sh" >"$dir/root/etc/passwd"
tar -C "$dir/root" --owner=0 --group=0 --mtime=@0 -cf "$dir/layer.tar" .
diff=$(sha256sum <"$dir/layer.tar" | cut -d' ' -f1)
printf '{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin"],"Cmd":["/bin/sleep","2000000000"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$diff" >"$dir/config.json"
echo '[{"Config":"config.json","RepoTags":["docker.io/library/busybox:1.36","localhost/pause:1"],"Layers":["layer.tar"]}]' >"$dir/manifest.json"
tar -C "$dir" -cf "$out" manifest.json config.json layer.tar
