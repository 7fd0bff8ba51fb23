"""Exports on a local Ray cluster of three nodes, one of which is killed when the first bag is done.

run_cluster.py OUT ARGUMENT ...
"""

import subprocess
import sys
import time
from pathlib import Path

from ray.cluster_utils import Cluster

parts = Path(sys.argv[1] + ".partial") / "parts"
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
others = [cluster.add_node(num_cpus=1) for _ in range(2)]
command = [sys.executable, *"-m fourdhands_core.cli episodes export --out".split(), *sys.argv[1:], "--address", cluster.address]
export = subprocess.Popen(command)
deadline = time.monotonic() + 300
while not any(parts.glob("[!.]*")) and export.poll() is None and time.monotonic() < deadline:
    time.sleep(0.05)
killed = export.poll() is None
cluster.remove_node(others[0], allow_graceful=False)
code = export.wait()
cluster.shutdown()
print(f"killed a node in the middle: {killed}")
sys.exit(code)
