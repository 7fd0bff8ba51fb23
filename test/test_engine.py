"""Pieces of work in processes: kept for the next, replaced where they die, whosever fault that was."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

from fourdhands_core import cluster
from fourdhands_core.cluster_notes import Notes
from fourdhands_core.engine import _Processes, run_apart


def process_of(dies: bool, progress) -> int:
    """The process that this runs in, unless that dies of it."""
    if dies:
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def slow(seconds: float, progress) -> None:
    """Work that takes some time."""
    time.sleep(seconds)


def refuse(progress):
    raise ValueError("bad")


def test_a_process_is_kept_for_the_next_unless_it_dies():
    ran, others = {}, set(multiprocessing.active_children())
    work = {"a": (False,), "b": (False,), "c": (True,), "d": (False,), "e": (False,)}
    failed = run_apart(process_of, work, jobs=1, quiet=True, told=ran.__setitem__)
    assert list(failed) == ["c"] and "ended unexpectedly" in failed["c"]
    assert ran["a"] == ran["b"] != ran["d"] == ran["e"] and os.getpid() not in ran.values()
    assert run_apart(refuse, {"a": ()}, jobs=1, quiet=True) == {"a": "ValueError: bad"}
    assert not set(multiprocessing.active_children()) - others


def test_the_death_of_an_idle_process_is_no_fault_of_the_next():
    context = multiprocessing.get_context("spawn")
    processes = _Processes(context, context.Array("q", 2))
    first = processes.call(process_of, (False,))
    os.kill(first, signal.SIGKILL)
    assert processes.call(process_of, (False,)) != first
    processes.close()


def wait_for_ever(progress):
    print(os.getpid(), flush=True)
    time.sleep(3600)


def test_no_process_outlives_a_command_that_is_killed():
    lines = "import test_engine; test_engine.run_apart(test_engine.wait_for_ever, {1: ()}, jobs=1, quiet=True)"
    folder = Path(__file__).parent
    paths = os.pathsep.join([str(folder), str(folder.parent), os.environ.get("PYTHONPATH", "")])
    command = subprocess.Popen([sys.executable, "-c", lines], env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE)
    worker = int(command.stdout.readline())
    command.kill()
    try:
        command.communicate(timeout=120)  # until the last process that could write there has ended
    except subprocess.TimeoutExpired:
        os.kill(worker, signal.SIGKILL)
        raise


def test_notes_of_a_cluster_are_of_what_is_under_way():
    """However many pieces of work there were before: what is asked for each second must not grow with them."""
    notes = Notes()
    for number in range(3):
        notes.begin(number)
        notes.at(number, number, 9)
    notes.begin(2)  # anew, on another node
    assert notes.said({1, 2, 3}) == {1: (1, 1, 9), 2: (2, 0, 0)}
    notes.at(2, 4, 9)
    assert notes.said({2, 3}) == {2: (2, 4, 9)} and notes.said({1, 2, 3}) == {2: (2, 4, 9)}


def test_a_piece_of_work_that_tells_how_far_it_is_before_it_told_that_it_began(monkeypatch):
    """Which are told by two threads: told in the other order, it would be said to have begun twice."""
    notes, timers = Notes(), []

    class Late(threading.Timer):  # on a busy machine
        def start(self):
            timers.append(self)

    def work(progress):
        progress(1, 9)
        (timer,) = timers
        timer.interval = 0
        timer.run()
        progress(2, 9)

    def actor(name):
        return SimpleNamespace(begin=SimpleNamespace(remote=notes.begin), at=SimpleNamespace(remote=notes.at))

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(get_actor=actor))
    monkeypatch.setattr(cluster.threading, "Timer", Late)
    monkeypatch.setattr(cluster, "_TOLD", -1.0)
    cluster._on_node(work, (), 0, "notes")
    assert notes.said({0}) == {0: (1, 2, 9)}
