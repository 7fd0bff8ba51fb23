"""A Ray cluster that loses a node in the middle comes to what one process comes to; without --address Ray is not needed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import test_engine
from episode_support import Demonstration, files

from fourdhands_core import cli

BAGS = 24
DIES_ONCE = """
import os, subprocess, sys

class Popen(subprocess.Popen):
    def __init__(self, args, *others, preexec_fn=None, **named):
        def dies():
            try:
                os.close(os.open({marker!r}, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return preexec_fn and preexec_fn()
            os._exit(1)

        to_die = "--mode=specific-server" in args
        super().__init__(args, *others, preexec_fn=dies if to_die else preexec_fn, **named)

if "--mode=proxy" in sys.orig_argv:
    subprocess.Popen = Popen
"""
"""A sitecustomize.py with which what Ray's head begins for its first client dies between fork and exec, as it does now and then
where a process with gRPC's threads forks."""


def test_a_node_is_killed_in_the_middle(tmp_path, with_ray):
    for number in range(BAGS):
        Demonstration(seconds=1.5, jitter=0.003, seed=number).write(tmp_path / "bags" / f"bag_{number}")
    assert (
        cli.main(["episodes", "export", str(tmp_path / "bags"), "--out", str(tmp_path / "alone"), "--quiet", "--jobs", "1"])
        == 0
    )
    script = Path(__file__).parent / "run_cluster.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "cluster"), str(tmp_path / "bags")],
        env=with_ray,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "killed a node in the middle: True" in done.stdout
    assert files(tmp_path / "cluster") == files(tmp_path / "alone")
    bags = [one["bag"] for one in json.loads((tmp_path / "cluster" / "meta" / "fourdhands.json").read_text())["bags"]]
    assert bags == [f"bag_{number}" for number in range(BAGS)]


def test_no_node_sees_anothers_disk(tmp_path, with_ray):
    """Bags and dataset are URLs: every node copies its bag and brings its part to the storage, where nothing else is left."""
    for number in range(4):
        Demonstration(seconds=1.5, jitter=0.003, seed=number).write(tmp_path / "bags" / f"bag_{number}")
    alone = ["episodes", "export", str(tmp_path / "bags"), "--out", str(tmp_path / "alone"), "--quiet", "--jobs", "1"]
    assert cli.main(alone) == 0
    script = Path(__file__).parent / "run_cluster.py"
    command = [sys.executable, str(script), f"local://{tmp_path}/cluster", f"local://{tmp_path}/bags", "--quiet"]
    environment = {**with_ray, "FOURDHANDS_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert files(tmp_path / "cluster") == files(tmp_path / "alone")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "bags", "cache", "cluster"]
    assert not any((tmp_path / "cache" / "outputs").iterdir()) and not any((tmp_path / "cache" / "inputs").iterdir())


def test_rays_client(tmp_path, with_ray):
    """What `ray://HOST:PORT` needs comes with the extra; no more than --jobs bags at once, and the same bytes. The first try of
    Ray's head to serve a client fails, which is tried again."""
    for number in range(2):
        Demonstration(seconds=1.5, jitter=0.003, seed=number).write(tmp_path / "bags" / f"bag_{number}")
    words = ["episodes", "export", str(tmp_path / "bags"), "--quiet", "--jobs", "1", "--out"]
    assert cli.main([*words, str(tmp_path / "alone")]) == 0
    died = tmp_path / "died"
    (tmp_path / "sitecustomize.py").write_text(DIES_ONCE.format(marker=str(died)))
    environment = {**with_ray, "PYTHONPATH": f"{tmp_path}{os.pathsep}{with_ray['PYTHONPATH']}"}
    script = Path(__file__).parent / "run_cluster_client.py"
    command = [sys.executable, str(script), *words, str(tmp_path / "cluster")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert died.exists()
    assert files(tmp_path / "cluster") == files(tmp_path / "alone")


def test_a_piece_of_work_that_ends_its_process(tmp_path, with_ray):
    """Is begun anew as often as one whose node is lost; others go on, and one process does all that do not."""
    lines = """
import json, sys, test_engine
from pathlib import Path
from ray.cluster_utils import Cluster
from fourdhands_core.engine import run_apart
cluster, ran = Cluster(initialize_head=True, head_node_args={"num_cpus": 1}), {}
work = {"a": (False,), "b": (False,), "c": (True,), "d": (False,), "e": (False,)}
failed = run_apart(test_engine.process_of, work, address=cluster.address, quiet=True, told=ran.__setitem__)
refused = run_apart(test_engine.refuse, {"a": ()}, address=cluster.address, quiet=True)
Path(sys.argv[1]).write_text(json.dumps([failed, ran, refused]))
"""
    environment = {**with_ray, "PYTHONPATH": os.pathsep.join([str(Path(test_engine.__file__).parent), with_ray["PYTHONPATH"]])}
    told = tmp_path / "told.json"
    command = [sys.executable, "-c", lines, str(told)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    failed, ran, refused = json.loads(told.read_text())
    assert list(failed) == ["c"] and "lost it 4 times" in failed["c"]
    assert ran["a"] == ran["b"] != ran["d"] == ran["e"]
    assert refused == {"a": "ValueError: bad"}


def test_more_pieces_than_rooms_when_a_node_is_lost(tmp_path, with_ray):
    """Ray finds out after some 20 seconds, when all die that waited for room there: no piece of work is lost by that."""
    lines = """
import json, sys, test_engine
from pathlib import Path
from threading import Thread
from ray.cluster_utils import Cluster
from fourdhands_core.engine import run_apart
cluster, ran = Cluster(initialize_head=True, head_node_args={"num_cpus": 0}), []
nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]

def told(key, _):
    ran.append(key)
    if len(ran) == 10:
        Thread(target=cluster.remove_node, args=(nodes[1],), kwargs={"allow_graceful": False}).start()

failed = run_apart(test_engine.slow, {number: (0.6,) for number in range(70)}, address=cluster.address, quiet=True, told=told)
Path(sys.argv[1]).write_text(json.dumps([failed, sorted(ran)]))
"""
    environment = {**with_ray, "PYTHONPATH": os.pathsep.join([str(Path(test_engine.__file__).parent), with_ray["PYTHONPATH"]])}
    told = tmp_path / "told.json"
    command = [sys.executable, "-c", lines, str(told)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert json.loads(told.read_text()) == [{}, list(range(70))]


def test_no_cluster_answers(tmp_path, with_ray):
    Demonstration(seconds=1.5).write(tmp_path / "bag")
    command = [sys.executable, *f"-m fourdhands_core.cli episodes export {tmp_path}/bag --out {tmp_path}/out".split()]
    done = subprocess.run([*command, "--address", "127.0.0.1:1"], env=with_ray, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and "no Ray cluster answers there" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_ray_that_is_not_installed_is_named(tmp_path, capsys):
    Demonstration(seconds=1.5).write(tmp_path / "bag")
    assert cli.main(["episodes", "export", str(tmp_path / "bag"), "--out", str(tmp_path / "out"), "--address", "auto"]) == 2
    assert "pip install 'fourdhands[cluster]'" in capsys.readouterr().err
