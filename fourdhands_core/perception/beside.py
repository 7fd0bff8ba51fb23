"""Work that is done beside other work where there is another core."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class Beside(Generic[Result]):
    """A call in another thread, of threads that all share, one fewer than there are cores. Where none has begun it when the
    result is wanted, `result` calls it itself: nothing waits behind another camera's images. at_once: False for what gains
    nothing from another core, all of which `result` does."""

    def __init__(self, function: Callable[..., Result], *arguments: Any, at_once: bool = True) -> None:
        self._call = functools.partial(function, *arguments)
        pool = _pool() if at_once else None
        self._begun = None if pool is None else pool.submit(self._call)

    def result(self) -> Result:
        """What the call returns; raises what it raises."""
        if self._begun is None or self._begun.cancel():
            return self._call()
        return self._begun.result()


@functools.cache
def _pool() -> ThreadPoolExecutor | None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ThreadPoolExecutor(cores - 1, "beside") if cores > 1 else None
