"""Commands whose standard streams are closed, full or of a locale that has no such letters: the work is done all the same."""

import os
import sys

import numpy as np
import pytest
from program_support import ended
from video_support import plain_video


@pytest.fixture
def video(tmp_path):
    return plain_video(tmp_path / "in.mp4", 3 * [90], (160, 120))


def shell(redirections, *arguments, **environment):
    """The command with a shell's redirections."""
    command = ["sh", "-c", f'exec "$0" "$@" {redirections}', sys.executable, "-m", "fourdhands_core.cli", *arguments]
    return ended(command, env=os.environ | environment)


@pytest.mark.parametrize("redirections", ["2>&-", "2>/dev/full", "<&- >&- 2>&-"])
def test_the_work_is_done_whatever_becomes_of_stderr(video, tmp_path, redirections):
    done = shell(redirections, "track", video, "--out", tmp_path / "out", "--fov", 60)
    assert done.returncode == 0 and not done.stderr
    assert ("3 frames" in done.stdout) == (">&- 2" not in redirections)
    assert len(np.load(tmp_path / "out" / "hands.npz")["stamp"]) == 3
    # no library has written its messages into a file that was given the number 2
    assert (tmp_path / "out" / "overlay.mp4").read_bytes()[4:8] == b"ftyp"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "redirections, arguments, code, words",
    [
        ("2>&-", ["track", "no.mp4", "--out", "nowhere"], 2, ""),
        ("2>/dev/full", ["track", "no.mp4", "--out", "nowhere"], 2, ""),
        ("2>/dev/full", ["track"], 2, ""),
        (">&-", ["--help"], 0, ""),
        (">/dev/full", ["--help"], 2, "standard output cannot be written"),
        (">/dev/full", ["train", "--help"], 2, "standard output cannot be written"),
        (">&- 2>&-", ["--help"], 0, ""),
    ],
)
def test_exit_codes_are_the_commands_own(redirections, arguments, code, words, unbuffered):
    done = shell(redirections, *arguments, PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == code and not done.stdout
    assert words in done.stderr and done.stderr.count("\n") == bool(words), done.stderr


def test_letters_that_a_locale_lacks_are_escaped():
    done = shell("", "track", "h\u00e4nde.mp4", "--out", "nowhere", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 2 and done.stderr.isascii() and "nde.mp4 does not exist" in done.stderr, done.stderr
