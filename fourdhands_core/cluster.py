"""Pieces of work on a Ray cluster, for engine.run_apart."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Generic, TypeVar

from .cluster_notes import Notes
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
"""Seconds between two times that a piece of work tells how far it is, and that it is asked for."""
_AT_ONCE = 1000
"""Processes at most: after each piece of work Ray is asked what has become of all of them."""
_BEGINNING = 8
"""Processes that may wait for room while fewer run; else as many as run. Those that wait die with a node that is lost, all at
once, some 20 seconds later."""


class _Told:
    """What a board is told of pieces under way, by asking for it now and then."""

    def __init__(self, ray: Any, board: Board[Key], keys: list, quiet: bool) -> None:
        self._ray, self._board, self._keys = ray, board, keys
        self.name = "" if quiet else f"fourdhands_{uuid.uuid4().hex}"
        self.notes = None if quiet else ray.remote(num_cpus=0, max_restarts=-1)(Notes).options(name=self.name).remote()
        self._asked: Any = None
        self._last = 0.0

    def look(self, under_way: set[int]) -> None:
        """Where it is time, tell what has been answered, and ask again. under_way: numbers of pieces."""
        if self.notes is None or time.monotonic() - self._last < _TOLD:
            return
        self._last = time.monotonic()
        if self._asked is not None:
            if not self._ray.wait([self._asked], timeout=0)[0]:
                return
            try:
                for number, (tries, done, total) in self._ray.get(self._asked).items():
                    if number in under_way:
                        self._board.begin(self._keys[number], tries)
                        self._board.at(self._keys[number], done, total)
            except self._ray.exceptions.RayError:  # its node is lost
                pass
        self._asked = self.notes.said.remote(under_way)

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
    """As `engine.run_apart`, on a cluster: on each of its nodes the package has to be installed, and the folders have to be on
    storage that all of them share."""
    with needed_for("--address", "cluster"):
        import ray
    _check_address(address)
    if not ray.is_initialized():
        _connect(ray.init, address)
    progress = _Told(ray, board, list(work), quiet)
    actors = _Actors(ray, function, work, board, told, progress.name)
    while actors.waiting or actors.running:
        actors.begin(jobs or _AT_ONCE)
        for answer in ray.wait([*actors.beginning, *actors.running], num_returns=1, timeout=_TOLD, fetch_local=False)[0]:
            actors.take(answer)
        if not actors.waiting:
            actors.end_beginning()
        progress.look({number for _, number in actors.running.values()})
        board.draw()
    progress.close()


class _Actors(Generic[Key]):
    """Ray's actors, each of which does one piece of work after another. Not a task of Ray for each piece: one that waits for a
    processor is offered from node to node whenever another ends, for which 200 took 8 processor seconds; an actor that waits
    takes none. A few actors wait for room, and begin when there is, as on nodes that come later. What ran on a node that is
    lost begins anew on another.

    waiting: numbers of pieces to be done, the next one last. beginning, running: by the answer that is awaited the actor that
    is to say that it is there, and the one that does a piece, with the piece's number.
    """

    def __init__(
        self,
        ray: Any,
        function: Callable[..., Any],
        work: Mapping[Key, tuple],
        board: Board[Key],
        told: Callable[[Key, Any], None],
        notes: str,
    ) -> None:
        self._ray, self._function, self._board, self._told, self._notes = ray, function, board, told, notes
        self._keys, self._arguments = list(work), list(work.values())
        self._actor = ray.remote(num_cpus=1)(Pieces)
        self.waiting = list(range(len(work)))[::-1]
        self.beginning = dict[Any, Any]()
        self.running = dict[Any, tuple[Any, int]]()
        self._lost = Counter[int]()  # how often, by the piece's number
        self._died = 0  # as they began, one after another

    def begin(self, most: int) -> None:
        """Begin as many as there is work for, at most so many."""
        room = min(most, len(self.waiting) + len(self.running)) - len(self.running)
        while len(self.beginning) < min(room, max(_BEGINNING, len(self.running))):
            actor = self._actor.remote()
            self.beginning[actor.begin.remote()] = actor

    def end_beginning(self) -> None:
        """End those that have not begun yet."""
        while self.beginning:
            self._ray.kill(self.beginning.popitem()[1])

    def take(self, answer: Any) -> None:
        """Take an answer that has come, and give the actor its next piece of work, or end it."""
        actor, number = (self.beginning.pop(answer), None) if answer in self.beginning else self.running.pop(answer)
        try:
            result = self._ray.get(answer)
            if number is not None:
                self._told(self._keys[number], result)
                self._board.end(self._keys[number])
        except self._ray.exceptions.RayTaskError as error:
            if number is not None:
                self._board.end(self._keys[number], error.cause if isinstance(error.cause, Exception) else error)
        except self._ray.exceptions.RayError as error:
            self._ray.kill(actor)  # it may live, and only be out of reach
            self._lose(number, error)
            return
        self._died = 0
        if self.waiting:
            number = self.waiting.pop()
            answer = actor.call.remote(self._function, self._arguments[number], number, self._notes)
            self.running[answer] = actor, number
        else:
            self._ray.kill(actor)

    def _lose(self, number: int | None, error: Exception) -> None:
        """An actor is lost, which did the piece of this number, or none yet: the piece waits again, or has failed."""
        if number is None:
            self._died += 1
            if self._died <= RETRIES * max(_BEGINNING, len(self.running)) or not self.waiting:
                return
            number = self.waiting.pop()  # or actors would be begun for ever
        self._lost[number] += 1
        if self._lost[number] <= RETRIES:
            self.waiting.append(number)
        else:
            why = f"the cluster lost it {self._lost[number]} times ({type(error).__name__}); run the same command again"
            self._board.end(self._keys[number], why)


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


class Pieces:
    """Ray's actor: a process that does pieces of work."""

    def begin(self) -> None:
        """Returns when the process is there."""

    def call(self, function: Callable[..., Any], arguments: tuple, number: int, notes: str) -> Any:
        """What the function returns; raises what it raises. See _on_node."""
        return _on_node(function, arguments, number, notes)


def _on_node(function: Callable[..., Any], arguments: tuple, number: int, notes: str) -> Any:
    """notes: the name of the actor, or empty where nobody looks."""
    last = time.monotonic()

    def tell(what: str, *values: int) -> None:
        import ray

        with contextlib.suppress(ValueError):  # it is not there, as its node is lost
            getattr(ray.get_actor(notes), what).remote(number, *values)

    def progress(done: int, total: int) -> None:
        nonlocal last
        if notes and told.finished.is_set() and time.monotonic() - last > _TOLD:  # never before its begin, which counts
            last = time.monotonic()
            tell("at", done, total)

    if not notes:
        return call_here(function, *arguments, progress)
    told = threading.Timer(_TOLD, tell, ["begin"])  # what is sooner done nobody sees
    told.start()
    try:
        return call_here(function, *arguments, progress)
    finally:
        told.cancel()
