# Sends commands to a Ceph cluster and prints the answers. A line of JSON has the
# commands that may go at the same time: the monitors then decide on all at once.
import concurrent.futures
import json
import sys

import rados

cluster = rados.Rados(conffile=sys.argv[1], name="client.admin")
cluster.connect()


def ask(request):
    send = cluster.mgr_command if request["target"] == "mgr" else cluster.mon_command
    status, output, message = send(json.dumps(request["command"]), b"")
    return {"status": status, "output": output.decode(), "message": message}


with concurrent.futures.ThreadPoolExecutor() as pool:
    for line in sys.stdin:
        print(json.dumps(list(pool.map(ask, json.loads(line)))), flush=True)
