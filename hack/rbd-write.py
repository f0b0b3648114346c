#!/usr/bin/python3
"""Writes a pattern to an RBD image, or checks that it is there, through librbd.

What a node does with a mapped image, for machines whose kernel has no krbd. The
cluster is reached as the given identity alone: no ceph.conf and no keyring is read,
and the key stands in a file, so that it is in no process list.
"""

import argparse
import array
import os
import sys

import rados
import rbd

MIB = 1 << 20
TIMEOUT_SECONDS = "30"


def pattern(offset, length):
    """Every eight bytes hold their own offset, so that misplaced data shows too."""
    return array.array("Q", range(offset, offset + length, 8)).tobytes()


def span(text):
    offset, length = text.split("+")
    return int(offset), int(length)


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--monitors", required=True, help="host:port of msgr v1 addresses, separated by commas")
    parser.add_argument("--id", required=True, help="cephx identity, without the leading client.")
    parser.add_argument("--keyfile", required=True, help="file that holds its key")
    parser.add_argument("image", metavar="POOL/IMAGE")
    parser.add_argument("action", choices=["write", "check"])
    parser.add_argument("ranges", type=span, nargs="+", metavar="OFFSET+LENGTH", help="in MiB")
    return parser.parse_args()


def configuration(o):
    return {
        "mon_host": ",".join("v1:" + monitor for monitor in o.monitors.split(",")),
        "keyfile": o.keyfile,
        "client_mount_timeout": TIMEOUT_SECONDS,
        "rados_mon_op_timeout": TIMEOUT_SECONDS,
        "rados_osd_op_timeout": TIMEOUT_SECONDS,
    }


def work(action, image, offset_mib, length_mib):
    where = f"{length_mib} MiB at {offset_mib} MiB"
    offset, length = offset_mib * MIB, length_mib * MIB
    expected = pattern(offset, length)
    if action == "write":
        try:
            written = image.write(expected, offset)
        except rbd.OSError as error:
            sys.exit(f"writing {where} is refused, the image ends at {image.size() // MIB} MiB: {os.strerror(error.errno)}")
        if written != length:
            sys.exit(f"only {written} bytes of {where} were written")
        image.flush()
    if image.read(offset, length) != expected:
        sys.exit(f"{where} do not hold the pattern")
    print(f"wrote {where} and read them back" if action == "write" else f"{where} still hold what was written")


def main():
    o = options()
    pool, _, name = o.image.partition("/")
    with rados.Rados(rados_id=o.id, conf=configuration(o)) as cluster:
        with cluster.open_ioctx(pool) as ioctx, rbd.Image(ioctx, name) as image:
            for offset, length in o.ranges:
                work(o.action, image, offset, length)


if __name__ == "__main__":
    try:
        main()
    except (rados.Error, rbd.Error) as failure:
        sys.exit(f"rbd-write.py: {failure}")
