"""Uses one RBD image as a node would, through librbd, without ceph.conf.

image.py hold IMAGE               open and write to it, which takes its lock, print
                                  "held", close it when stdin ends
image.py write IMAGE OFFSET TEXT  write and flush
image.py read IMAGE OFFSET LENGTH print what is there
image.py die IMAGE SECONDS        ask to watch the image, and die after so long

The environment has the PersistentVolume's fields: MONITORS, POOL, USER, and KEY.
"""

import os
import signal
import sys
import threading
import time

import rados
import rbd


def main():
    action, name, *rest = sys.argv[1:]
    conf = {"mon_host": os.environ["MONITORS"], "key": os.environ["KEY"]}
    with rados.Rados(rados_id=os.environ["USER"], conf=conf) as cluster:
        with cluster.open_ioctx(os.environ["POOL"]) as ioctx:
            with rbd.Image(ioctx, name, read_only=action == "die") as image:
                if action == "hold":
                    image.write(b"held", 0)
                    image.flush()
                    print("held", flush=True)
                    sys.stdin.read()
                elif action == "write":
                    image.write(rest[1].encode(), int(rest[0]))
                    image.flush()
                elif action == "read":
                    print(image.read(int(rest[0]), int(rest[1])).decode(), end="")
                elif action == "die":
                    header = "rbd_header." + image.id()
                    watch = lambda: ioctx.watch(header, lambda *_: None)
                    threading.Thread(target=watch, daemon=True).start()
                    time.sleep(float(rest[0]))
                    os.kill(os.getpid(), signal.SIGKILL)


main()
