"""What the programs in lib/fourdhands_ros do first and last: signals from the first import to the end, what Python lacks.

Light to import: while it is not, nothing catches a signal.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from fourdhands_core.errors import InputError
from fourdhands_core.signals import ASKING, module_looked_for
from fourdhands_core.streams import flush_output, prepare_streams

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import MutableMapping

_PROGRAMS = "", "bags.recorder", "camera", "episodes.player", "node.node", "player", "recorder", "teleop.node", "tools.camera"


class Stop:
    """Whether this process was asked to end, by SIGINT, SIGTERM or a closed terminal, once or any number of times.

    To be entered in the main thread before anything is opened. The signals' former handlers are back afterwards, but for a
    process that `end` is about to end: it goes on to pass signals over.
    patience: seconds after which the process ends by itself, with 0, if it has not by then, as while a model is being
    loaded: what started it would kill it. None where there is something to complete, such as a file.
    """

    def __init__(self, patience: float | None = None):
        self._patience = patience
        self._asked, self._over = threading.Event(), threading.Event()

    def __enter__(self) -> Stop:
        # Python runs a handler between two steps of the main thread, for which a model that is being loaded lets wait, and
        # in the middle of whatever that thread does. What a signal writes into a pipe another thread reads at once.
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._former_pipe = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._former = _catch(_pass_over)
        self._thread = threading.Thread(target=self._watch, name="stop", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._former.items():
            if handler is not _leave:
                signal.signal(number, handler)
        signal.set_wakeup_fd(self._former_pipe)
        self._over.set()
        os.close(self._write)
        self._thread.join()
        os.close(self._read)

    def is_set(self) -> bool:
        """Whether to end."""
        return self._asked.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for that long or until it is time to end; whether it is."""
        return self._asked.wait(max(seconds, 0.0))

    def _watch(self) -> None:
        if not os.read(self._read, 1):
            return  # closed, without a signal
        self._asked.set()
        if self._patience is not None and not self._over.wait(self._patience):
            _say(f"ended while still busy {self._patience:g} s after it was asked to end")
            os._exit(0)


def starting() -> None:
    """From now on until a Stop is entered, SIGINT and SIGTERM end this process at once, with 0.

    Imports take seconds, nothing is open yet, and an exception out of a handler would be a traceback or lost in who imports.
    """
    _catch(_leave)
    prepare_streams()


def is_a_program() -> bool:
    """Whether Python was started with `-m` and one of the programs, which is being looked for now."""
    return module_looked_for() in {f"fourdhands_ros.{name}".rstrip(".") for name in _PROGRAMS}


def program(module: str) -> str:
    """What this process was started as, for its messages: hands_recorder, or `python -m fourdhands_ros.recorder`."""
    return _executable() or f"python -m fourdhands_ros{module and '.'}{module}"


def parser_of(module: str, description: str | None) -> ArgumentParser:
    """The parser of a program's arguments. description: what `--help` prints as it is laid out."""
    from argparse import ArgumentParser, RawDescriptionHelpFormatter

    return ArgumentParser(prog=program(module), description=description, formatter_class=RawDescriptionHelpFormatter)


def run(module: str) -> NoReturn:
    """Run one of the programs: end with the status of `fourdhands_ros.<module>.main()`."""
    starting()
    end(main_of(f"fourdhands_ros.{module}"))


def end(status: int) -> NoReturn:
    """End this process, whose `main` has closed everything.

    Python's own teardown, of torch and MediaPipe, is left out: on a busy computer it takes longer than the 5 s after which
    `ros2 launch` kills, and a signal in it is a traceback.
    """
    status = flushed(status)
    with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, full, or nobody reads it
        sys.stderr.flush()
    os._exit(status)


def flushed(status: int) -> int:
    """Write what was printed; returns the status, 2 where stdout takes no more, which is said."""
    try:
        flush_output()
    except (InputError, OSError, ValueError) as error:
        if not status:  # else it was said
            _say(str(error))
        return status or 2
    return status


def main_of(module: str) -> int:
    """The exit status of a module's `main`; 1 where a package is missing, which is told on stderr."""
    try:
        return importlib.import_module(module).main()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package.startswith("fourdhands"):
            raise
        # Most often a terminal in which the environment was not activated.
        print(
            f"fourdhands_ros: {sys.executable} has no package {package}; activate the virtual environment of your "
            "workspace, or pip install -r requirements-workspace.txt (README, In a ROS 2 workspace)",
            file=sys.stderr,
        )
        return 1
    except SystemExit as error:  # argparse's: --help, or arguments that it does not know
        return error.code if isinstance(error.code, int) else 1


def _catch(handler) -> dict:
    """Have signals handled; returns their former handlers. SIGINT also where a shell ignores it for what runs in its
    background, but not the SIGHUP that nohup ignores."""
    return {
        number: signal.signal(number, handler)
        for number in ASKING
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
    }


def _pass_over(*_) -> None:
    """A handler, without which Python writes nothing into the pipe."""


def _leave(*_) -> NoReturn:
    _say("stopped while it was starting")
    os._exit(0)


def _say(words: str) -> None:
    with contextlib.suppress(OSError):  # not print, which the signal may have interrupted
        os.write(2, f"{_executable() or 'fourdhands_ros'}: {words}\n".encode())


def _executable() -> str:
    name = Path(sys.argv[0]).name
    return name if name.startswith("hands_") else ""


def make_room_for_images(environment: MutableMapping[str, str]) -> None:
    """Have Fast DDS, which is started later, make its shared memory large enough for images, unless the user has said what it
    reads."""
    names = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"  # of Fast DDS 2 and 3
    if not any(name in environment for name in names):
        environment.update(dict.fromkeys(names, str(Path(__file__).parent / "tools" / "fastdds_large_images.xml")))
