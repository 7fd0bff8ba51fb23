"""Work that is done beside other work where there is another core."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")

_core: Callable[[], int] = getattr(ctypes.CDLL(None), "sched_getcpu", lambda: -1)
"""The core that the calling thread is on; -1 where that cannot be known."""
_working: set[int] = set()
"""Threads that are in `working`."""


@contextlib.contextmanager
def working() -> Iterator[None]:
    """This thread works on an image: where as many do as there are cores, each does all by itself."""
    _working.add(threading.get_ident())
    try:
        yield
    finally:
        _working.discard(threading.get_ident())


class Beside(Generic[Result]):
    """A call in another thread, of threads that all share, one fewer than there are cores. Where none has begun it when the
    result is wanted, `result` calls it itself: nothing waits behind another camera's images. at_once: False for what gains
    nothing from another core, all of which `result` does."""

    def __init__(self, function: Callable[..., Result], *arguments: Any, at_once: bool = True) -> None:
        self._call = functools.partial(function, *arguments)
        self._begun: Future[Result] | None = None
        if at_once and len(_working) < len(_cores()) and (pool := _pool()) is not None:
            with contextlib.suppress(RuntimeError):  # where the interpreter ends, or has no further thread
                self._begun = pool.submit(_elsewhere, _core(), self._call)

    def result(self) -> Result:
        """What the call returns; raises what it raises."""
        if self._begun is None or self._begun.cancel():
            return self._call()
        return self._begun.result()


def _elsewhere(core: int, call: Callable[[], Result]) -> Result:
    """Call it on any core but one: Linux often leaves both threads on the core of the one that woke the other, where they take
    turns (two hands at 30 images a second: 13 ms so, 7.5 on two cores)."""
    if others := _cores() - {core}:
        with contextlib.suppress(OSError, AttributeError):
            os.sched_setaffinity(0, others)
            os.sched_setaffinity(0, _cores())  # moved, not bound: where another thread comes, it may go on elsewhere
    return call()


@functools.cache
def _cores() -> frozenset[int]:
    return frozenset(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


@functools.cache
def _pool() -> ThreadPoolExecutor | None:
    return ThreadPoolExecutor(len(_cores()) - 1, "beside") if len(_cores()) > 1 else None


def _forked() -> None:
    _pool.cache_clear()
    _working.clear()


if hasattr(os, "register_at_fork"):  # a forked process has none of the threads, and would keep all that it gives to them
    os.register_at_fork(after_in_child=_forked)
