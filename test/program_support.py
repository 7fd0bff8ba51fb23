"""Programs, run from the repository as a user runs them, to their end or under way."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def ended(command, **options) -> subprocess.CompletedProcess:
    """What a command came to, with all that it said. options: of subprocess.run, others than these."""
    given = {"cwd": REPOSITORY, "timeout": 600, **options}
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, **given)


def begun(command, **options) -> subprocess.Popen:
    """A command under way, from which can be read what it says. options: of subprocess.Popen, others than these."""
    given = {"cwd": REPOSITORY, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(list(map(str, command)), text=True, **given)


def in_process(capsys, main, *arguments) -> tuple[int, str, str]:
    """A command by its `main`, in this process, which has loaded everything: exit code, and what it said."""
    try:
        code = main(list(map(str, arguments)))
    except SystemExit as error:  # argparse's own
        code = error.code
    return code, *capsys.readouterr()


def python(*arguments, **options) -> subprocess.CompletedProcess:
    """Likewise of Python with these arguments."""
    return ended([sys.executable, *arguments], **options)
