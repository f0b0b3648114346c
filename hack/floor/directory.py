"""Makes, grows and removes one directory of CephFS, as the script that ceph.com/cephfs ran.

directory.py create|grow|remove ROOT NAME BYTES [CAPS…]

Cluster and identity are those of CEPH_CONF. With caps, the directory has a user of its own.
"""

import json
import sys

import cephfs
import rados


def main():
    action, root, name, size, *caps = sys.argv[1:]
    with rados.Rados(conffile="") as cluster:
        fs = cephfs.LibCephFS(rados_inst=cluster)
        fs.mount(mount_root=root.encode())
        path = b"/" + name.encode()
        if action == "create":
            fs.mkdir(path, 0o777)
        if action != "remove":
            fs.setxattr(path, "ceph.quota.max_bytes", size.encode(), 0)
        else:
            fs.rmdir(path)
        if caps and action != "grow":
            entity = "client.kubernetes-dynamic-user-" + name.removeprefix("kubernetes-dynamic-pvc-")
            ask = {"prefix": "auth get-or-create", "entity": entity, "caps": caps}
            if action == "remove":
                ask = {"prefix": "auth rm", "entity": entity}
            code, _, said = cluster.mon_command(json.dumps(ask), b"")
            if code:
                sys.exit(f"{ask['prefix']}: {said}")
        fs.shutdown()


main()
