"""`fourdhands bag` asked for what it cannot do: recordings are never at risk, and one sentence says what to give instead."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="bags need ROS 2 (pip install 'fourdhands[ros]')")

from bag_support import TYPES, contents, image_entry, write_bag
from program_support import begun, in_process
from ros_support import PATIENT, T0

from fourdhands_core import cli


def told(capsys, *arguments) -> tuple[int, str]:
    code, _, error = in_process(capsys, cli.main, "bag", *arguments)
    return code, error


def grey(path: Path, count: int = 3, topic: str = "/cam/image_raw") -> Path:
    """A bag of grey images."""
    entries = [
        (topic, T0 + i * 10**8, image_entry(topic, T0 + i * 10**8, np.full((48, 64, 3), 90, np.uint8), "cam")[2])
        for i in range(count)
    ]
    return write_bag(path, entries, {topic: TYPES["image_raw"]})


@pytest.fixture
def bag(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grey(tmp_path / "b")
    Path("link").symlink_to("b")
    Path("other").mkdir()
    Path("d", "meta").mkdir(parents=True)
    Path("d", "meta", "fourdhands.json").write_text("{}")
    Path("in.txt").write_text("mine")
    return tmp_path / "b"


@pytest.mark.parametrize(
    "arguments, words",
    [
        ("b b", "b is the recording that is read"),
        ("b ./b/", "b is the recording that is read"),
        ("b link", "link is the recording that is read"),
        ("link b", "b is the recording that is read"),
        ("b/b.mcap b", "b is the recording that is read"),
        ("b/b.mcap b/b.mcap", "is the recording that is read"),
        ("nope nope", "bag nope cannot be opened (No such file"),
        ("b b/out", "b/out is in the recording b"),
        ("b link/new/out", "link/new/out is in the recording b"),
        ("b d/out", "d is a dataset, into which nothing else is written"),
        ("link/b.mcap other/../d/more/out", "other/../d/more is in the dataset"),
        ("b b d/more", "d/more is in the dataset"),
        ("b other", "other is there already; choose another name"),
        ("b none .", "b is the recording that is read"),
        ("b link b", "two of the bags have one name"),
        ("b other link/x", "link/x is in the bag "),
        ("b in.txt/x", "in.txt is a file, not a folder"),
        ("b /proc/x", "the folder /proc cannot be written to"),
        ("b c /proc/x", "the folder /proc cannot be written to"),
        ("b out --jobs 0", "0 is not positive"),
        ("b out --jobs -2", "-2 is not positive"),
        ("b out --jobs x", "'x' is not a whole number"),
    ],
)
def test_no_recording_is_at_risk(bag, capsys, arguments, words):
    before, names = contents(bag), sorted(os.listdir())
    code, error = told(capsys, *arguments.split())
    assert code == 2 and words in error and "remove" not in error and "Errno" not in error, error
    assert error.splitlines()[-1].startswith("fourdhands") and "image [" not in error
    assert contents(bag) == before and sorted(os.listdir()) == names


@pytest.mark.parametrize("arguments", [["b", ""], ["", "out"], ["info", ""]])
def test_an_empty_name(bag, capsys, arguments):
    code, error = told(capsys, *arguments)
    assert code == 2 and "is empty; give a file or folder" in error


def test_one_is_not_many(bag, tmp_path, capsys):
    assert cli.main(["bag", f"file://{grey(tmp_path / 'one bag', 1)}".replace(" ", "%20"), "out", "--fov", "60"]) == 0
    assert "1 image, 1 HandPair\n" in capsys.readouterr().out
    assert cli.main(["bag", "info", "out"]) == 0
    assert "/cam/hands: 1 HandPair in" in capsys.readouterr().out


def test_the_word_info_and_a_folder_called_info(bag, capsys):
    code, error = told(capsys, "info")
    assert code == 2 and error == "fourdhands: error: `bag info` needs the bags with hands to summarise\n"
    grey(Path("info"))
    code, error = told(capsys, "info")
    assert code == 2 and "the folder called info is ./info" in error
    code, error = told(capsys, "info", "out")
    assert code == 2 and "out does not exist" in error and "the folder called info is ./info" in error
    for name in ("./info", "info/"):
        code, error = told(capsys, name, "--fov", 60, f"out{len(name)}", "--quiet")
        assert code == 0 and Path(f"out{len(name)}").is_dir(), error


def test_images_without_hands_are_told_once(bag, capsys):
    """What was looked at is kept, so that it is no error."""
    code, said = told(capsys, bag, "out", "--quiet", "--interval", "2")
    assert code == 0 and said.count("no hand was seen in any of the 3 images of /cam/image_raw; look at them") == 1, said
    code, _, said = in_process(capsys, cli.main, "episodes", "check", "out")
    assert code == 1 and said == "out: no hand is ever valid in /cam/hands\n"
    code, _, said = in_process(capsys, cli.main, "episodes", "export", bag, "--out", "dataset", "--quiet")
    assert code == 2 and "no hand was seen in any" in said and not Path("dataset").exists()


@pytest.mark.parametrize("number, many", [(signal.SIGTERM, False), (signal.SIGHUP, False), (signal.SIGINT, True)])
def test_a_signal_leaves_no_bag_and_the_same_command_continues(bag, tmp_path, number, many):
    paths = [grey(tmp_path / "long", 4000), *([grey(tmp_path / "longer", 4000)] if many else []), tmp_path / "out"]
    command = [sys.executable, "-m", "fourdhands_core.cli", "bag", *paths, "--quiet", "--fov", "60", "--no-markers"]
    process = begun(command, start_new_session=True)
    partial = tmp_path / "out" / "long.partial" if many else tmp_path / "out.partial"
    deadline = time.monotonic() + PATIENT
    while not (partial / "part_000000").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    if number == signal.SIGTERM:
        process.send_signal(number)
    else:
        os.killpg(process.pid, number)  # as a terminal does
    _, error = process.communicate(timeout=PATIENT)
    words = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
    assert process.returncode == 128 + number and error.endswith(f"fourdhands: {words}\n") and "Traceback" not in error, error
    assert (partial / "state.npz").is_file()
    assert not (tmp_path / "out" / "long").exists() if many else not (tmp_path / "out").exists()
