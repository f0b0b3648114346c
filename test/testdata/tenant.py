"""Reaches for a file system and its pools as a node would, without ceph.conf.

tenant.py list ROOT                 mount at ROOT and print what is there, a line each
tenant.py write ROOT NAME TEXT      mount at ROOT and write a file to the disk
tenant.py quota ROOT BYTES          mount at ROOT and set its quota
tenant.py object POOL [NAMESPACE]   write a RADOS object, and remove it

The environment has MONITORS, USER, and KEY.
"""

import os
import sys

import cephfs
import rados


def mounted(root):
    fs = cephfs.LibCephFS(auth_id=os.environ["USER"], conf={
        "mon_host": os.environ["MONITORS"], "key": os.environ["KEY"], "client_mount_timeout": "30",
    })
    fs.mount(mount_root=root.encode())
    return fs


def main():
    action, where, *rest = sys.argv[1:]
    if action == "object":
        conf = {"mon_host": os.environ["MONITORS"], "key": os.environ["KEY"]}
        with rados.Rados(rados_id=os.environ["USER"], conf=conf) as cluster:
            with cluster.open_ioctx(where) as ioctx:
                ioctx.set_namespace(rest[0] if rest else "")
                ioctx.write_full("probe", b"x")
                ioctx.remove_object("probe")
        return
    fs = mounted(where)
    try:
        use(fs, action, rest)
    finally:
        fs.shutdown()  # or the MDS would make others wait for this client for a minute


def use(fs, action, rest):
    if action == "list":
        with fs.opendir(b"/") as directory:
            while entry := fs.readdir(directory):
                if entry.d_name not in (b".", b".."):
                    print(entry.d_name.decode())
    elif action == "write":
        file = fs.open(rest[0].encode(), "w", 0o644)
        fs.write(file, rest[1].encode(), 0)
        fs.fsync(file, False)
        fs.close(file)
    elif action == "quota":
        fs.setxattr(b"/", "ceph.quota.max_bytes", rest[0].encode(), 0)


main()
