"""Pieces of work on a Ray cluster, for engine.run_apart."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

from .copies import call_here
from .errors import DependencyError, InputError
from .extras import needed_for
from .progress import Board

Key = TypeVar("Key", bound=Hashable)

_ANSWERS = 20.0
"""Seconds within which a cluster has to accept a connection."""
_CONNECTIONS = 5
"""How often a cluster that answers, but refuses, is asked."""
_WORDS = 300
"""Letters of what Ray says of an error, which may be a whole traceback whose end says what went wrong."""
RETRIES = 3
"""How often a piece of work begins anew where the node of the cluster that it runs on is lost."""
_TOLD = 1.0
"""Seconds between two times that a piece of work tells how far it is."""


class _Notes:
    """Ray's actor to whom pieces of work tell how far they are. It may be lost with its node, and begins anew without what it
    knew: nothing depends on it but what is shown."""

    def __init__(self) -> None:
        self._tries: dict[int, int] = {}
        self._done: dict[int, tuple[int, int]] = {}

    def begin(self, number: int) -> None:
        self._tries[number] = self._tries.get(number, 0) + 1
        self._done.pop(number, None)

    def at(self, number: int, done: int, total: int) -> None:
        self._done[number] = done, total

    def said(self) -> dict[int, tuple[int, int, int]]:
        """How often each was begun, what of it is done, and of how much."""
        return {number: (tries, *self._done.get(number, (0, 0))) for number, tries in self._tries.items()}


class _Told:
    """What a board is told of pieces under way, by asking for it now and then."""

    def __init__(self, ray: Any, board: Board[Key], keys: list, quiet: bool) -> None:
        self._ray, self._board, self._keys = ray, board, keys
        self.notes = None if quiet else ray.remote(num_cpus=0, max_restarts=-1)(_Notes).remote()
        self._asked: Any = None

    def look(self, under_way: set) -> None:
        """Tell what has been answered, and ask again. under_way: keys."""
        if self.notes is None:
            return
        if self._asked is not None:
            if not self._ray.wait([self._asked], timeout=0)[0]:
                return
            try:
                for number, (tries, done, total) in self._ray.get(self._asked).items():
                    if self._keys[number] in under_way:
                        self._board.begin(self._keys[number], tries)
                        self._board.at(self._keys[number], done, total)
            except self._ray.exceptions.RayError:  # its node is lost
                pass
        self._asked = self.notes.said.remote()

    def close(self) -> None:
        """End who is told."""
        if self.notes is not None:
            self._ray.kill(self.notes)


def run_on_cluster(
    function: Callable[..., Any],
    work: Mapping[Key, tuple],
    jobs: int | None,
    address: str,
    board: Board[Key],
    quiet: bool,
    told: Callable[[Key, Any], None],
) -> None:
    """Ray's tasks: what ran on a node that is lost begins anew on another. The package has to be installed on every node, and
    the folders to be on storage that all of them share."""
    with needed_for("--address", "cluster"):
        import ray
    _check_address(address)
    if not ray.is_initialized():
        _connect(ray.init, address)
    remote = ray.remote(num_cpus=1, max_retries=RETRIES, retry_exceptions=False)(_on_node)
    keys = list(work)
    waiting, running = list(range(len(keys)))[::-1], dict[Any, Key]()
    progress = _Told(ray, board, keys, quiet)
    while waiting or running:
        while waiting and (not jobs or len(running) < jobs):
            number = waiting.pop()
            running[remote.remote(function, work[keys[number]], number, progress.notes)] = keys[number]
        for done in ray.wait(list(running), num_returns=1, timeout=_TOLD)[0]:
            key = running.pop(done)
            try:
                told(key, ray.get(done))
                board.end(key)
            except ray.exceptions.RayTaskError as error:
                board.end(key, error.cause if isinstance(error.cause, Exception) else error)
            except ray.exceptions.RayError as error:
                board.end(key, f"the cluster lost it {RETRIES + 1} times ({type(error).__name__}); run the same command again")
        progress.look(set(running.values()))
        board.draw()
    progress.close()


def _connect(init: Callable[..., Any], address: str) -> None:
    """Connect with a cluster by ray.init. What a head begins for a client of `ray://` now and then dies as it begins, as Ray
    forks a process that has threads; the next lives. Raises InputError where no cluster answers and DependencyError where Ray's
    client is absent."""
    for left in reversed(range(_CONNECTIONS)):
        try:
            init(address=address, log_to_driver=False, logging_level="error")
            return
        except (ConnectionError, ValueError, RuntimeError) as error:
            if left and isinstance(error, ConnectionAbortedError):
                continue
            reason = " ".join(str(error).split()) or type(error).__name__
            if "ray[client]" in reason:
                raise DependencyError(
                    f"--address {address}: ray:// needs Ray's client here and on the cluster's head (pip "
                    "install 'ray[client]', which 'fourdhands[cluster]' brings); on a machine of the cluster give auto"
                ) from error
            raise InputError(
                f"--address {address}: no Ray cluster answers there ({reason[-_WORDS:]}); start one with `ray start`, or try "
                "again where it has just begun"
            ) from error


def _check_address(address: str) -> None:
    """Raises InputError where nobody listens at HOST:PORT, for which Ray itself would wait for minutes."""
    place = address.removeprefix("ray://")
    host, _, port = place.rpartition(":")
    if address == "auto":
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWERS):
            return
    except (OSError, ValueError, OverflowError) as error:
        raise InputError(
            f"--address {address}: no Ray cluster answers there ({error}); give auto or ray://HOST:PORT of one "
            "that `ray start` has started"
        ) from error


def _on_node(function: Callable[..., Any], arguments: tuple, number: int, notes: Any) -> Any:
    """notes: a handle of _Notes, or None where nobody looks."""
    last = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal last
        if notes is not None and time.monotonic() - last > _TOLD:
            last = time.monotonic()
            notes.at.remote(number, done, total)

    if notes is not None:
        notes.begin.remote(number)
    return call_here(function, *arguments, progress)
