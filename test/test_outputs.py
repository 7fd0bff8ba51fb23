"""Where commands write: what cannot be written is said before any work, and no part of a file is left under its name."""

import os
import re
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from limits_support import limited
from program_support import ended, in_process
from video_support import plain_video, write_video

from fourdhands_core import cli
from fourdhands_core.errors import InputError
from fourdhands_core.media.mp4 import is_whole
from fourdhands_core.outputs import WorkFolder, check_folder, check_outputs

WORK = AssertionError("the work was begun")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Inputs of all commands, and places where nothing can be written."""
    monkeypatch.chdir(tmp_path)
    plain_video(Path("in.mp4"), (60, 61, 62), (160, 120))
    Path("file").write_text("mine")
    Path("gone").symlink_to("nowhere")
    Path("circle").symlink_to("circle")
    Path("pictures").mkdir()
    cv2.imwrite("pictures/a.png", np.zeros((120, 160, 3), np.uint8))
    for name in ("hands.npz", "overlay.mp4", "contact_sheet.png", "encode.onnx", "weights.safetensors", "ablation.md"):
        Path("folders", name).mkdir(parents=True)
    Path("run.yaml").write_text("run: {steps: 1}\n")
    torch.save({"a": torch.zeros(1)}, "c.pth")
    return tmp_path


FOLDERS = ["track in.mp4 --out {}", "export --out {}", "train run.yaml --out {}", "ablate --out {}", "data synthesise {}"]
if find_spec("mujoco") is not None:
    FOLDERS.insert(0, "teleop in.mp4 --robot gripper --out {}")
FILES = [
    "train errors --out {}",
    "train landmark --out {}",
    "evaluate --out {}",
    "evaluate --depth --out {}",
    "benchmark in.mp4 --out {}",
    "benchmark --backbone S --out {}",
    "import-weights c.pth --out {}",
    "data check synthetic . --out {}.png",
]


@pytest.mark.parametrize("command", FOLDERS + [command.replace("{}", "{}/a") for command in FILES])
def test_a_place_where_nothing_can_be_written_is_told_before_the_work(folder, monkeypatch, capsys, command):
    for place in ("file", "file/below/it", "/proc/x", "/proc/x/y", "gone", "circle", "x" * 300):
        expect_refusal(monkeypatch, capsys, command.format(place).split())
    assert Path("file").read_text() == "mine" and not Path("nowhere").exists()


@pytest.mark.parametrize("command", FILES[:-1])
def test_a_folder_where_a_file_is_to_be_written(folder, monkeypatch, capsys, command):
    assert "folder" in expect_refusal(monkeypatch, capsys, command.format("pictures").split())


@pytest.mark.parametrize("command", FOLDERS[:-1])
def test_a_folder_in_the_place_of_a_result(folder, monkeypatch, capsys, command):
    assert "is a folder" in expect_refusal(monkeypatch, capsys, command.format("folders").split())


@pytest.mark.parametrize(
    "command", ["track in.mp4", "track pictures", "export", "train errors", "evaluate", "benchmark in.mp4"]
)
def test_an_empty_out(folder, monkeypatch, capsys, command):
    assert "is empty" in expect_refusal(monkeypatch, capsys, [*command.split(), "--out", ""])


@pytest.mark.parametrize("other", ["rig.yaml", "pictures/../rig.yaml", "again"])
def test_two_outputs_in_one_file(folder, monkeypatch, capsys, other):
    Path("again").symlink_to("rig.yaml")
    Path("rig.yaml").touch()
    command = f"calibrate-cameras in.mp4 in.mp4 --names a b --fov 60 --out rig.yaml --launch {other}"
    assert "are one file, and two are to be written" in expect_refusal(monkeypatch, capsys, command.split())
    check_outputs(["/dev/null", "/dev/null"])


@pytest.mark.parametrize("place", ["out/hands.npz", "out/left/hands.npz"])
@pytest.mark.parametrize("option", ["--hand-shape", "--weights", "--hand-model", "--intrinsics", "--cameras", ""])
def test_several_cameras_write_over_none_of_their_inputs(folder, monkeypatch, capsys, option, place):
    """What an option names, or, without one, the lens that the file of poses names."""
    poses = [f"position: [{x}, 0, 0], quaternion: [0, 0, 0, 1], intrinsics: lens.yaml" for x in (0, 1)]
    Path("rig.yaml").write_text("cameras: {{left: {{{}}}, right: {{{}}}}}".format(*poses))
    Path(place).parent.mkdir(parents=True)
    Path("rig.yaml" if option == "--cameras" else "file").rename(place)
    if not option:
        Path("lens.yaml").symlink_to(place)
    given = [option, place] if option else []
    kept = Path(place).read_text()
    told = expect_refusal(monkeypatch, capsys, "track in.mp4 b.mp4 --cameras rig.yaml --out out".split() + given)
    assert "would be written over" in told and Path(place).read_text() == kept


@pytest.mark.parametrize("mark, text", [
    ("meta/fourdhands.json", "{}"), ("meta/info.json", '{"codebase_version": "v2.1"}'),
    ("metadata.yaml", "rosbag2_bagfile_information:\n  version: 9\n"),
])  # fmt: skip
@pytest.mark.parametrize("command", FOLDERS + [command.replace("{}", "{}/a") for command in FILES])
def test_datasets_and_bags_are_no_place_for_results(folder, monkeypatch, capsys, command, mark, text):
    """Of this package in each format, of LeRobot, of whatever recorder."""
    Path("set", mark).parent.mkdir(parents=True)
    Path("set", mark).write_text(text)
    Path("set/set_0.mcap").touch()
    Path("another").symlink_to("set")
    for place in ("set", "set/new/er", "./set", "another"):
        told = expect_refusal(monkeypatch, capsys, command.format(place).split())
        assert "into which nothing else is written; choose another place" in told, told


def test_a_file_that_is_called_as_a_bags_or_a_datasets_keeps_nobody_from_writing(tmp_path):
    """In a home folder, say: the description of a bag that is elsewhere, and what is far too long to be one."""
    (tmp_path / "metadata.yaml").write_text("rosbag2_bagfile_information:\n  version: 9\n")
    (tmp_path / "meta").mkdir()
    with (tmp_path / "meta/info.json").open("wb") as huge:
        huge.truncate(2**36)
    check_folder(tmp_path / "new")
    (tmp_path / "a_0.db3.zstd").touch()
    with pytest.raises(InputError, match="is in the bag"):
        check_folder(tmp_path / "new")


@pytest.mark.parametrize("out", ["pictures", "./pictures/", "pictures/../pictures", "same"])
def test_the_folder_of_the_images_is_no_place_for_results(folder, monkeypatch, capsys, out):
    Path("same").symlink_to("pictures")
    expect_refusal(monkeypatch, capsys, ["track", "pictures", "--out", out])
    assert os.listdir("pictures") == ["a.png"]


def test_an_ending_that_is_no_images_is_told_first(folder, monkeypatch, capsys):
    words = expect_refusal(monkeypatch, capsys, ["data", "check", "synthetic", ".", "--out", "a.txt"])
    assert ".png or .jpg" in words


def expect_refusal(monkeypatch, capsys, arguments) -> str:
    """Run it; nothing that takes time may be begun, and nothing may be written."""
    from fourdhands_core import benchmark
    from fourdhands_core.learning.datasets import registry
    from fourdhands_core.learning.evaluation import clips, depth
    from fourdhands_core.learning.image import run
    from fourdhands_core.learning.landmark import ablation, measure_errors
    from fourdhands_core.learning.landmark import train as landmark
    from fourdhands_core.learning.synthesis import write
    from fourdhands_core.network import checkpoint, import_weights
    from fourdhands_core.pipeline import shape_calibration, tracker

    def begun(*_, **__):
        raise WORK

    for module, name in (
        *((benchmark, name) for name in ("benchmark", "benchmark_network")),
        (clips, "evaluate"),
        (depth, "evaluate_depth"),
        (run, "Run"),
        (ablation, "ablate"),
        (measure_errors, "collect"),
        (landmark, "train_landmark"),
        (write, "ClipSynthesis"),
        (checkpoint, "load_weights"),
        (import_weights, "import_released"),
        (shape_calibration, "HandPairTracker"),
        (tracker, "HandPairTracker"),
        (registry, "open_dataset"),
    ):
        monkeypatch.setattr(module, name, begun)
    before = sorted(Path().rglob("*"))
    code, _, told = in_process(capsys, cli.main, *arguments)
    assert code == 2 and "Errno" not in told and "Traceback" not in told, told
    assert told.splitlines()[-1].startswith("fourdhands") and " error: " in told.splitlines()[-1], told
    assert sorted(Path().rglob("*")) == before
    return told


def test_folders_that_may_not_be_written(tmp_path, monkeypatch):
    def refuse(dir):
        raise PermissionError(13, "Permission denied", dir)

    check_folder(tmp_path / "new" / "newer")
    assert not any(tmp_path.iterdir())
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(InputError, match=rf"the folder {re.escape(str(tmp_path))} cannot be written to .Permission denied."):
        check_folder(tmp_path / "new")


@pytest.fixture
def noise(tmp_path):
    rng = np.random.default_rng(0)
    return write_video(tmp_path / "in.mp4", rng.integers(0, 255, (20, 120, 160, 3), np.uint8))


@pytest.mark.parametrize("limit", [30_000, 90_000, 1_000])
def test_track_where_no_file_may_grow_as_large(noise, limit):
    """As on a full disk: what was tracked is kept where that is possible, and no part of a file."""
    out = noise.with_name("out")
    done = ended(limited(limit, "-m", "fourdhands_core.cli", "track", noise, "--out", out, "--quiet"))
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 2 and last.startswith("fourdhands: error: ") and "Errno" not in last, done.stderr
    assert f"{out}/overlay.mp4" in last and "make room" in last and "Traceback" not in done.stderr
    there = {file.name for file in out.iterdir()}
    assert there == ({"hands.npz"} if limit > 10_000 else set())
    assert ("hands.npz of the first 20 frames" in last) == (limit > 10_000)
    if there:
        assert len(np.load(out / "hands.npz")["stamp"]) == 20


def test_videos_that_were_cut(noise):
    whole = noise.read_bytes()
    assert is_whole(noise)
    for size in (0, 4, 40, len(whole) // 2, len(whole) - 1):
        noise.write_bytes(whole[:size])
        assert not is_whole(noise)


@pytest.mark.parametrize("turned", [False, True])
def test_images_of_two_sizes_are_told_before_anything_is_written(tmp_path, capsys, turned):
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(5):
        exif = Image.Exif()
        exif[0x0112] = 6 if turned and i == 3 else 1
        size = (160, 120) if i != 3 or turned else (120, 160)
        Image.new("RGB", size).save(folder / f"{i}.jpg", exif=exif)
    assert cli.main(["track", str(folder), "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "3.jpg is 120x160, " in told and "0.jpg is 160x120; give images of one size" in told
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_place_of_the_work_is_named_and_stays(tmp_path):
    (tmp_path / "out.partial").write_text("mine")
    with pytest.raises(InputError, match=r"out\.partial cannot be written"), WorkFolder(tmp_path / "out"):
        pass
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("out.partial", "mine")]


def test_nothing_is_left_of_work_that_came_to_nothing(tmp_path):
    with pytest.raises(InputError, match="fault"), WorkFolder(tmp_path / "out") as work:
        (work.whole() / "bag").mkdir(parents=True)
        raise InputError("fault")
    assert not list(tmp_path.iterdir())
