"""Signals that ask the command `fourdhands` to end: Ctrl-C, SIGTERM and a closed terminal, from the first import to the end.

Light to import: until `starting` is called nothing handles them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that ask a process to end."""
_REPEATED = 2.0
"""Seconds in which further signals are the same request: a terminal and what started the command may each send one."""
_MODULES = "fourdhands_core", "fourdhands_core.cli"

_process = 0
_running = False
_asked: float | None = None
_number = int(signal.SIGINT)
_under_way = 0
_held = False
_waiting: int | None = None


class Asked(KeyboardInterrupt):
    """The process was asked to end by the signal `number`. A KeyboardInterrupt, as what is under way ends for all alike."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__()
        self.number = number


def starting() -> None:
    """From now on until `running`, a signal ends this process at once: an exception in the middle of an import is a
    traceback, or lost in who imports. To be called in the main thread."""
    global _process
    _process = os.getpid()
    for number in ASKING:
        if signal.getsignal(number) != signal.SIG_IGN:  # as a shell has it for its background, and nohup SIGHUP
            signal.signal(number, _handle)


@contextlib.contextmanager
def running() -> Iterator[None]:
    """Within this a signal raises Asked, but in imports, where it ends the process unless something is `under_way`.

    Afterwards it is handled as before; ends the process at once where this is the command. Without effect in other threads
    than the main one.
    """
    global _running, _asked
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.getsignal(number) for number in ASKING}
    starting()
    _running, _asked = True, None
    try:
        yield
    finally:
        _running = False
        for number, handler in former.items():
            signal.signal(number, handler)


def is_the_command() -> bool:
    """Whether this process is `fourdhands`, started by its script or with `python -m`; false in processes that it starts."""
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None and processes.parent_process() is not None:
        return False
    return module_looked_for() in _MODULES or (bool(sys.argv) and os.path.basename(sys.argv[0]) == "fourdhands")


def module_looked_for() -> str:
    """The module that Python was started with by `-m`, which it is looking for now; empty without one, and afterwards."""
    if sys.argv[:1] == ["-m"]:
        with contextlib.suppress(ValueError, IndexError):
            return sys.orig_argv[sys.orig_argv.index("-m") + 1]
    return ""


@contextlib.contextmanager
def under_way() -> Iterator[None]:
    """Something has to be ended in order, such as a file that is being written: a signal is an exception in imports too."""
    global _under_way
    _under_way += 1
    try:
        yield
    finally:
        _under_way -= 1


@contextlib.contextmanager
def held() -> Iterator[None]:
    """A signal waits for the end of this, which takes no more than moments: a process that is being started would complain
    of what it was not told."""
    global _held, _waiting, _asked, _number
    _held, _waiting = True, None
    try:
        yield
    finally:
        _held = False
    if _waiting is not None:
        _asked, _number = time.monotonic(), _waiting
        raise Asked(_waiting)


@contextlib.contextmanager
def not_for_children() -> Iterator[None]:
    """Processes that this thread starts get no SIGINT and no SIGHUP, which a terminal sends to all: who started them ends
    them. SIGTERM does."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGHUP])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def again() -> None:
    """To be called where native code has failed, which may have made an error of its own of Asked: raises it again if a signal
    came since `running`."""
    if _running and _asked is not None and threading.current_thread() is threading.main_thread():
        raise Asked(_number)


def number_of(error: KeyboardInterrupt) -> int:
    """The signal that raised it."""
    return error.number if isinstance(error, Asked) else signal.SIGINT


def words(number: int) -> str:
    """What is said at the end."""
    return "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"


def _handle(number: int, frame: FrameType | None) -> None:
    global _asked, _number
    if os.getpid() != _process:  # a copy that a library has forked
        os._exit(128 + number)
    global _waiting
    if _held:
        _waiting = number
        return
    if not _running or (not _under_way and _imports(frame)):
        with contextlib.suppress(OSError):  # not print, which the signal may have interrupted
            os.write(2, f"fourdhands: {words(number)}\n".encode())
        os._exit(128 + number)
    now = time.monotonic()
    if _asked is None or now - _asked > _REPEATED:
        _asked, _number = now, number
        raise Asked(number)


def _imports(frame: FrameType | None) -> bool:
    """Whether this is in the middle of an import."""
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None
