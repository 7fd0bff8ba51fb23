"""Programs whose streams are closed or full, and files whose names are not UTF-8."""

import json
import sys

import pytest
from program_support import ended
from video_support import write_damaged


def run(redirections, *arguments):
    """A program with a shell's redirections."""
    return ended(["sh", "-c", f'exec "$0" "$@" {redirections}', sys.executable, "-m", *arguments])


def test_the_camera_plays_a_damaged_video_under_any_name_and_says_what_is_missing(tmp_path):
    video = write_damaged(tmp_path / "plain.avi", 30, {9, 10}).rename(tmp_path / "vid\udce9o.avi")
    done = run("", "fourdhands_ros.tools.camera", video)
    said = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0 and said["missing"] == 2 and said["published"] + said["skipped"] == 28, done.stderr
    assert "2 of 30 frames in the file could not be read" in done.stderr
    done = run("", "fourdhands_ros.tools.camera", tmp_path / "nid\udce9o.avi")
    assert done.returncode == 2 and "nid\\udce9o.avi does not exist" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "redirections, arguments, code, words",
    [
        ("2>&-", ["fourdhands_ros.tools.camera", "none.mp4"], 2, ""),
        ("2>/dev/full", ["fourdhands_ros.tools.camera", "none.mp4"], 2, ""),
        (">/dev/full", ["fourdhands_ros", "--help"], 2, "standard output cannot be written"),
        (">&-", ["fourdhands_ros.bags.recorder", "--help"], 0, ""),
    ],
)
def test_exit_codes_whatever_becomes_of_the_streams(redirections, arguments, code, words):
    done = run(redirections, *arguments)
    assert done.returncode == code and not done.stdout and words in done.stderr and "Traceback" not in done.stderr, done.stderr
