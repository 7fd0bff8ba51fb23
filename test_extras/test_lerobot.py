"""The real lerobot loads what is exported: every picture at its row, chunks, batches, statistics."""

import json
import subprocess
from pathlib import Path

import pytest
from episode_support import Demonstration
from ros_support import T0

from fourdhands_core import cli

SCRIPT = Path(__file__).parent / "read_dataset.py"


@pytest.mark.parametrize(
    "options", [["--action", "mano102"], ["--action", "tips48", "--vcodec", "av1", "--fps", "20"]], ids=["h264", "av1"]
)
def test_every_picture_is_at_its_row(tmp_path, lerobot_python, options):
    demonstrations = {
        "one": Demonstration(seconds=8, there=lambda side, seconds: not (side == 0 and 4.0 < seconds < 5.0)),
        "two": Demonstration(seconds=5, jitter=0.005),
    }
    for name, demonstration in demonstrations.items():
        demonstration.write(tmp_path / "bags" / name)
    out = tmp_path / "dataset"
    assert cli.main(["episodes", "export", str(tmp_path / "bags"), "--out", str(out), "--task", "lift the cup", *options]) == 0
    done = subprocess.run(
        [lerobot_python, str(SCRIPT), str(out)],
        capture_output=True,
        text=True,
        env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["episodes"] == 3 and found["task"] == "lift the cup" and found["batches"] == found["frames"]
    stamps = {0: demonstrations["one"].stamps(), 1: demonstrations["one"].stamps(), 2: demonstrations["two"].stamps()}
    assert len(found["numbers"]) == 1000
    for episode, _, number, stamp in found["numbers"]:
        assert stamps[episode][number] + T0 == stamp
    if "20" not in options:  # at the rate of the images every row is the next image
        for one in (0, 1):
            shifts = {number - frame for episode, frame, number, _ in found["numbers"] if episode == one}
            assert len(shifts) == 1 and (one or shifts == {0})
