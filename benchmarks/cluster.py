"""Many short bags on a local Ray cluster of several nodes: what the engine costs, and what a node that is killed leaves.

python benchmarks/cluster.py --ray DIR [--bags 200] [--seconds 10] [--nodes 2] [--json FILE]

The bags are exported by one process, by as many processes of this machine as the cluster has nodes that work, without Ray, then
on the cluster: nodes of one processor each, two by default, and a head that takes no work. There with --quiet and with the
live table of a terminal, then again while a node is killed when half of the bags are done. All datasets must be the same, byte
for byte, with every bag in it once. Costs are seconds of the clock, with the start of the command but not of the cluster, and
processor seconds: of the one process with its start; of the command and of all
workers with theirs, which share the machine's cores and caches, as the one process does not; and of Ray's own processes,
nodes, agents and monitors, which take some for every second that a cluster is there: what they take while nothing is done is
measured before, and told apart from what the export adds. What is so for every export and what each bag adds is told apart by
an export of a tenth of the bags.
DIR is a folder in which Ray is installed (pip install --target). Prints JSON, or fails with what was not so.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "test" / "ros"), str(ROOT / "test"), str(ROOT)]

DISTINCT = 8
OWN = "rays_own"
KINDS = {
    OWN: ("raylet/raylet",),  # whose own command line says how workers begin
    "command": ("fourdhands_core.cli",),
    "workers": ("ray::Pieces", "ray::IDLE", "default_worker.py"),
    "table": ("ray::Notes",),
}
"""In the command lines of processes that do the work, and of the one that is told how far it is. The rest are Ray's own."""
FEWER = 10
IDLE_SECONDS = 30.0
SETTLED = 45.0
"""Seconds after which a cluster's own processes have started."""


class Processor:
    """Processor seconds of the processes below this one, looked at again and again, as Ray's do not tell their parents."""

    def __init__(self) -> None:
        self._ticks: dict[tuple[int, str], tuple[str, int]] = {}
        self._before = dict.fromkeys(KINDS, 0.0)
        self._before = self.seconds()

    def seconds(self) -> dict[str, float]:
        """Since it was made, by KINDS, and of all others, Ray's own. To be called often enough to see a process's last
        moments."""
        parents, ticks = {}, {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                said = (process / "stat").read_text().rpartition(")")[2].split()
                words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:  # it has ended between
                continue
            number = int(process.name)
            known = self._ticks.get((number, said[19]), (OWN, 0))[0]  # who has ended says no name any more
            kind = next((kind for kind, names in KINDS.items() if any(name in words for name in names)), known)
            parents[number], ticks[number] = int(said[1]), ((number, said[19]), (kind, int(said[11]) + int(said[12])))
        found = [os.getpid()]
        while found:
            one = found.pop()
            if one != os.getpid():
                self._ticks.update([ticks[one]])
            found += [child for child, parent in parents.items() if parent == one]
        second = os.sysconf("SC_CLK_TCK")
        sums = {name: sum(count for kind, count in self._ticks.values() if kind == name) / second for name in self._before}
        return {name: value - self._before[name] for name, value in sums.items()}


def export(bags: Path, out: Path, *more: str) -> list[str]:
    """The command."""
    return [sys.executable, "-m", "fourdhands_core.cli", "episodes", "export", str(bags), "--out", str(out), *more]


def measured(
    words: list[str], meanwhile: Callable[[subprocess.Popen], None] = lambda process: None, quiet: bool = True
) -> dict[str, float]:
    """Seconds and processor seconds of a command; meanwhile: called while it runs. quiet: else with the table of a terminal."""
    processor, begin = Processor(), time.monotonic()
    ours, theirs = os.openpty()
    threading.Thread(target=_empty, args=(ours,), daemon=True).start()
    process = subprocess.Popen(
        [*words, "--quiet"] if quiet else words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=None if quiet else theirs
    )
    os.close(theirs)
    while process.poll() is None:
        meanwhile(process)
        processor.seconds()
        time.sleep(0.2)
    assert process.returncode == 0, f"exit status {process.returncode}"
    told = processor.seconds()
    return {name: round(value, 2) for name, value in {"seconds": time.monotonic() - begin, **told}.items()}


def _empty(terminal: int) -> None:
    with contextlib.suppress(OSError):  # its other side is closed
        while os.read(terminal, 1 << 16):
            pass


def idle() -> float:
    """Processor seconds a second of Ray's own processes while nothing is done."""
    time.sleep(SETTLED)
    processor, begin = Processor(), time.monotonic()
    time.sleep(IDLE_SECONDS)
    return processor.seconds()[OWN] / (time.monotonic() - begin)


def few_of(folder: Path) -> Path:
    """Where a part of the bags lies."""
    return folder / "few"


def on_a_cluster(bags: Path, folder: Path, count: int, nodes: int) -> dict:
    """Undisturbed, and with a node killed in the middle. In an interpreter that finds Ray."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    others = [cluster.add_node(num_cpus=1) for _ in range(nodes)]
    cluster.wait_for_nodes()
    parts = folder / "killed.partial" / "parts"
    there = -1

    def kill(process: subprocess.Popen) -> None:
        nonlocal there
        done = sum(1 for _ in parts.glob("[!.]*"))
        if there < 0 and done >= count // 2:
            there = done
            cluster.remove_node(others[0], allow_graceful=False)

    told = {
        "rays_own_a_second_when_idle": round(idle(), 4),
        "undisturbed": measured(export(bags, folder / "cluster", "--address", cluster.address)),
        "with_the_table": measured(export(bags, folder / "table", "--address", cluster.address), quiet=False),
        "few": measured(export(few_of(folder), folder / "few_cluster", "--address", cluster.address)),
        "a_node_killed": measured(export(bags, folder / "killed", "--address", cluster.address), kill),
        "bags_done_at_the_kill": there,
    }
    cluster.shutdown()
    return told


def _work(there: dict[str, float]) -> float:
    """Processor seconds that are not Ray's own."""
    return there["command"] + there["workers"] + there["table"]


def _apart(few: int, few_clock: float, few_work: float, count: int, clock: float, work: float) -> dict[str, float]:
    """Seconds of every export, and of each bag, by two exports of so many."""
    bag_clock, bag_work = (clock - few_clock) / (count - few), (work - few_work) / (count - few)
    return {
        "seconds": round(clock - count * bag_clock, 2),
        "processor_seconds": round(work - count * bag_work, 2),
        "seconds_a_bag": round(bag_clock, 4),
        "processor_seconds_a_bag": round(bag_work, 4),
    }


def _over(there: dict[str, float], when_idle: float, without: float) -> dict[str, float]:
    """Processor seconds on the cluster over those without one. when_idle: Ray's own a second."""
    work = _work(there)
    return {
        "command_workers_table": round(work / without, 3),
        "and_what_rays_own_takes_beyond_idle": round((work + max(0.0, there[OWN] - when_idle * there["seconds"])) / without, 3),
        "and_all_that_rays_own_takes": round((work + there[OWN]) / without, 3),
    }


def measure(folder: Path, count: int, seconds: float, nodes: int, ray: str) -> dict:
    """All of it. Raises AssertionError where something was not so."""
    from episode_support import Demonstration, files

    bags = folder / "bags"
    for number in range(count):  # a few, again and again under other names, which make other episodes of them
        if number < DISTINCT:
            Demonstration(seconds=seconds, jitter=0.003, seed=number).write(bags / f"bag_{number}")
        else:
            shutil.copytree(bags / f"bag_{number % DISTINCT}", bags / f"bag_{number}")
    few = max(nodes, count // FEWER)
    for number in range(few):
        shutil.copytree(bags / f"bag_{number}", few_of(folder) / f"bag_{number}", copy_function=os.link)
    one = measured(export(bags, folder / "one", "--jobs", "1"))
    here = measured(export(bags, folder / "here", "--jobs", str(nodes)))
    few_here = measured(export(few_of(folder), folder / "few_here", "--jobs", str(nodes)))
    path = os.pathsep.join([*sys.path[:3], *filter(None, [os.environ.get("PYTHONPATH")]), ray])
    words = [sys.executable, __file__, "--inside", str(folder), "--bags", str(count), "--nodes", str(nodes)]
    environment = {**os.environ, "PYTHONPATH": path, "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, "on the cluster, see above"
    told = json.loads(done.stdout.splitlines()[-1])
    whole = files(folder / "one")
    for name in ("here", "cluster", "table", "killed"):
        assert files(folder / name) == whole, f"{name}: other bytes than of one process"
    assert files(folder / "few_cluster") == files(folder / "few_here"), "few: other bytes"
    times = Counter(bag["bag"] for bag in json.loads(whole["meta/fourdhands.json"])["bags"])
    assert times == {f"bag_{number}": 1 for number in range(count)}, times
    assert 0 < told["bags_done_at_the_kill"] < count, told
    without = _work(here) + here[OWN]  # this machine's workers have no name of their own
    fewer_without, few_there = _work(few_here) + few_here[OWN], told.pop("few")
    return {
        "bags": count,
        "seconds_of_a_bag": seconds,
        "nodes": nodes,
        "one_process": one,
        "as_many_processes_here": {"seconds": here["seconds"], "command_and_workers": round(without, 2)},
        **told,
        "every_export_and_each_bag": {
            "bags": few,
            "here": _apart(few, few_here["seconds"], fewer_without, count, here["seconds"], without),
            "on_the_cluster": _apart(
                few, few_there["seconds"], _work(few_there), count, told["undisturbed"]["seconds"], _work(told["undisturbed"])
            ),
        },
        "same_bytes": True,
        **{
            f"seconds_{kind}_over_as_many_processes_here": round(told[kind]["seconds"] / here["seconds"], 3)
            for kind in ("undisturbed", "with_the_table")
        },
        **{
            f"{kind}_over_{name}": _over(told[kind], told["rays_own_a_second_when_idle"], seconds)
            for kind in ("undisturbed", "with_the_table")
            for name, seconds in (("one_process", one["command"]), ("as_many_processes_here", without))
        },
    }


def main() -> None:
    """Print what it came to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ray", metavar="DIR", help="a folder in which Ray is installed")
    parser.add_argument("--bags", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--nodes", type=int, default=2, help="that work, beside the head")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        print(json.dumps(on_a_cluster(args.inside / "bags", args.inside, args.bags, args.nodes)))
        return
    if not args.ray:
        parser.error("--ray DIR is needed")
    with tempfile.TemporaryDirectory() as name:
        text = json.dumps(measure(Path(name), args.bags, args.seconds, args.nodes, args.ray), indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
