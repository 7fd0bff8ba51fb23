"""Many pieces of work that have nothing in common but the table of progress: in processes of this machine, or on a cluster."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, TypeVar

from .cluster import run_on_cluster
from .copies import call_here
from .progress import Board
from .signals import not_for_children

Key = TypeVar("Key", bound=Hashable)

_counts: Any = None
"""In a worker: units done and units in all, of each piece of work."""


def run_apart(
    function: Callable[..., Any],
    work: Mapping[Key, tuple],
    jobs: int | None = None,
    address: str = "",
    quiet: bool = False,
    unit: str = "image",
    told: Callable[[Key, Any], None] = lambda key, result: None,
) -> dict[Key, str]:
    """Call `function(*arguments, progress)` for each piece of work, each in a process that it has to itself, but that may have
    done others before; progress: (done, of).

    work: arguments by key. jobs: at once; None for one a core. address: of a Ray cluster, `auto` or `ray://HOST:PORT`, or none
    for this machine. told: called with each result as it comes. Returns why pieces of work failed, in words. What others do is
    done all the same. Arguments may be copies.Fetched and copies.Brought, which become paths where the work is done.
    """
    with Board(work, unit, quiet) as board:
        if address:
            run_on_cluster(function, work, jobs, address, board, quiet, told)
        else:
            _run_here(function, work, min(jobs or os.cpu_count() or 1, len(work) or 1), board, told)
    return board.failed


def run_in_turn(
    function: Callable[..., Any],
    work: Mapping[Key, tuple],
    quiet: bool = False,
    unit: str = "image",
    told: Callable[[Key, Any], None] = lambda key, result: None,
) -> dict[Key, str]:
    """As run_apart, one after the other in this process."""
    with Board(work, unit, quiet) as board:

        def progress(key: Key, done: int, total: int) -> None:
            board.at(key, done, total)
            board.draw()

        for key, arguments in work.items():
            board.begin(key)
            try:
                told(key, call_here(function, *arguments, partial(progress, key)))
                board.end(key)
            except Exception as error:  # a bug that one brings out must not end the others
                board.end(key, error)
    return board.failed


def _run_here(
    function: Callable[..., Any], work: Mapping[Key, tuple], jobs: int, board: Board[Key], told: Callable[[Key, Any], None]
) -> None:
    """The standard library's pools: on one machine there is nothing for an engine such as Ray to do. Pools of one process
    each, as one whose process is killed, for want of memory or by a file that a library does not survive, fails whatever else
    it holds. Processes are spawned, as MediaPipe and torch have threads that a fork would not copy, and kept for the next
    piece of work.
    """
    context = multiprocessing.get_context("spawn")
    counts = context.Array("q", 2 * len(work))
    pool, processes = ThreadPoolExecutor(jobs), _Processes(context, counts)
    try:
        running: dict[Future, Key] = {
            pool.submit(processes.call, function, arguments, number, partial(board.begin, key)): key
            for number, (key, arguments) in enumerate(work.items())
        }
        places = {key: number for number, key in enumerate(work)}
        while running:
            for future in wait(running, timeout=0.2, return_when=FIRST_COMPLETED).done:
                key = running.pop(future)
                try:
                    told(key, future.result())
                    board.end(key)
                except BrokenProcessPool:
                    board.end(
                        key,
                        "its process ended unexpectedly, perhaps for want of memory; run the same "
                        "command again with fewer --jobs to continue",
                    )
                except Exception as error:  # a bug that one brings out must not end the others
                    board.end(key, error)
            said = counts[:]
            for key in running.values():
                board.at(key, *said[2 * places[key] : 2 * places[key] + 2])
            board.draw()
    except KeyboardInterrupt:
        processes.ended = True
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown()
        processes.close()


class _Processes:
    """Pools of one process, of which each piece of work has one to itself and leaves it to the next, unless it has died."""

    def __init__(self, context: Any, counts: Any) -> None:
        self._context, self._counts = context, counts
        self._idle: list[ProcessPoolExecutor] = []  # lists are safe among threads
        self.ended = False

    def call(
        self, function: Callable[..., Any], arguments: tuple, number: int = 0, begin: Callable[[], None] = lambda: None
    ) -> Any:
        """What the function returns; raises what it raises, and BrokenProcessPool where its process dies.

        number: of the piece of work, whose place in the counts that is. begin: called as often as it begins. Where its process
        was a kept one, which may have died before, it begins anew in a fresh one.
        """
        try:
            kept = self._idle.pop()
        except IndexError:
            kept = None
        if kept is not None:
            try:
                begin()
                return self._call(kept, function, arguments, number)
            except BrokenProcessPool:
                if self.ended:
                    raise
        fresh = ProcessPoolExecutor(1, self._context, initializer=_begin_worker, initargs=(self._counts,))
        begin()
        return self._call(fresh, function, arguments, number)

    def _call(self, alone: ProcessPoolExecutor, function: Callable[..., Any], arguments: tuple, number: int) -> Any:
        try:
            with not_for_children():
                running = alone.submit(_in_worker, function, arguments, number)
            error = running.exception()
        except BrokenProcessPool as broken:  # already before it was given anything
            error = broken
        if isinstance(error, BrokenProcessPool):
            alone.shutdown()
            raise error
        self._idle.append(alone)
        return running.result()

    def close(self) -> None:
        """End the processes that are left."""
        while self._idle:
            self._idle.pop().shutdown()


def _begin_worker(counts: Any) -> None:
    global _counts
    _counts = counts
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool's process whose parent was killed would wait for its next call for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _in_worker(function: Callable[..., Any], arguments: tuple, number: int) -> Any:
    def progress(done: int, total: int) -> None:
        _counts[2 * number : 2 * number + 2] = done, total

    return call_here(function, *arguments, progress)
