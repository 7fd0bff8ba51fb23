"""Runs a command of fourdhands with --address ray:// of a local Ray cluster, whose head it is not on as Ray sees it.

run_cluster_client.py ARGUMENT ...
"""

import socket
import subprocess
import sys
import time

from ray.cluster_utils import Cluster

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "ray_client_server_port": port})
deadline = time.monotonic() + 240
while time.monotonic() < deadline:  # the server of clients begins after the cluster
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5.0).close()
        break
    except OSError:
        time.sleep(0.2)
command = [sys.executable, "-m", "fourdhands_core.cli", *sys.argv[1:], "--address", f"ray://127.0.0.1:{port}"]
done = subprocess.run(command)
cluster.shutdown()
sys.exit(done.returncode)
