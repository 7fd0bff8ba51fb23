"""Work that several threads ask for at the same time, done as one batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence


class Batcher:
    """Functions of a batch, each called by many threads with one request, one batch at a time.

    Nobody waits for company: a request that comes alone is worked on at once. Those that come meanwhile wait for the end
    of that batch, and all that wait for the same function are then the next one. A batch that fails is worked on again
    request by request, so that each thread gets its own result or its own exception.

    functions: by name, from a list of requests to their results in the same order.
    """

    def __init__(self, **functions: Callable[[list], Sequence]):
        self._functions = functions
        self._waiting: dict[str, list[_Call]] = {name: [] for name in functions}
        self._busy = False
        self._changed = threading.Condition()

    def __call__(self, name: str, request):
        """The result of the function of that name for this request."""
        mine, batch = _Call(request), []
        with self._changed:
            self._waiting[name].append(mine)
            self._changed.wait_for(lambda: mine.done or not self._busy)
            if not mine.done:
                batch, self._waiting[name] = self._waiting[name], []
                self._busy = True
        if batch:
            try:
                _work(self._functions[name], batch)
            finally:
                with self._changed:
                    self._busy = False
                    for call in batch:
                        call.done = True
                    self._changed.notify_all()
        if mine.error is not None:
            raise mine.error
        return mine.result


class _Call:
    """A request on its way, then its result or its exception."""

    def __init__(self, request):
        self.request, self.result, self.done = request, None, False
        self.error: BaseException | None = RuntimeError("the thread that worked on this batch was interrupted")


def _work(function, batch):
    try:
        results = function([call.request for call in batch])
    except Exception as error:
        if len(batch) == 1:
            batch[0].error = error
            return
        for call in batch:
            _work(function, [call])
        return
    for call, result in zip(batch, results, strict=True):
        call.result, call.error = result, None
