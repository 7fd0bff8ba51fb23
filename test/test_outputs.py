"""Where commands write: what cannot be written is said before any work, and no part of a file is left under its name."""

import errno
import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from limits_support import limited
from program_support import ended, in_process
from video_support import plain_video, write_video

from fourdhands_core import cli, signals
from fourdhands_core.errors import InputError
from fourdhands_core.learning.synthesis.write import synthesise
from fourdhands_core.media.mp4 import is_whole
from fourdhands_core.network.checkpoint import load_weights, save_weights
from fourdhands_core.outputs import WorkFolder, check_folder, check_outputs, make_folder, write_text, writing, writing_folder
from fourdhands_core.retargeting.operator_range import OperatorRange
from fourdhands_core.runtime import parts

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


def test_devices_are_written_and_links_followed(tmp_path):
    check_outputs(["/dev/null", tmp_path / "new"])
    write_text("/dev/null", "gone")
    assert Path("/dev/null").is_char_device()
    (tmp_path / "link").symlink_to("real")
    write_text(tmp_path / "link", "text")
    assert (tmp_path / "real").read_text() == "text" and (tmp_path / "link").is_symlink()


def test_a_device_is_written_where_no_file_can_be_made_beside_it(monkeypatch):
    """As in /dev, for whoever is not root."""

    def refuse(dir):
        raise PermissionError(13, "Permission denied", dir)

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    check_outputs(["/dev/null"])


def test_what_reads_from_the_program_gets_what_is_written_to_its_output():
    """`--out /dev/stdout | less`: the name that the link leads to is of nothing, which was told after the work."""
    code = "from fourdhands_core.outputs import check_outputs, write_text\nfor out in ('/dev/stdout', '/dev/fd/1'):\n"
    done = ended([sys.executable, "-c", code + "    check_outputs([out]); write_text(out, 'text\\n')"])
    assert done.stdout == "text\ntext\n", done.stderr


def test_a_file_system_without_locks_is_written_to(tmp_path, monkeypatch):
    """As of a cluster, or over a network; whose work what lies there is cannot be known then, and it stays."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    (tmp_path / ".fourdhands-partial-a").mkdir()
    monkeypatch.setattr("fcntl.flock", refuse)
    write_text(tmp_path / "a.txt", "text")
    with writing_folder(tmp_path) as partial:
        (partial / "b.txt").write_text("text")
    assert sorted(os.listdir(tmp_path)) == [".fourdhands-partial-a", "a.txt", "b.txt"]


def test_a_folder_that_another_process_removes_as_it_is_made(tmp_path, monkeypatch):
    """Two that write in one folder at the same moment: of tens at once some had failed with "File exists"."""
    make, removed = os.mkdir, []

    def remove(path, mode=0o777):
        if not removed:
            removed.append(path)
            raise FileExistsError(errno.EEXIST, "File exists", path)  # and gone when it is looked at
        make(path, mode)

    monkeypatch.setattr("os.mkdir", remove)
    assert make_folder(tmp_path / "a").is_dir() and removed
    (tmp_path / "gone").symlink_to("nowhere")
    with pytest.raises(InputError, match="cannot be made .File exists."):
        make_folder(tmp_path / "gone")


def test_nothing_is_lost_of_a_file_called_as_the_lock(tmp_path):
    """A link under a hidden folder's name, as anybody may set in /tmp."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/lock").write_text("text")
    (tmp_path / ".fourdhands-partial-a").symlink_to("mine")
    write_text(tmp_path / "a.txt", "text")
    assert (tmp_path / "mine/lock").read_text() == "text"


@pytest.mark.parametrize("error, words", [(OSError(28, "No space left on device"), "make room"), (OSError(13, "No"), "choose")])
def test_what_fails_leaves_what_was_there(tmp_path, error, words):
    (tmp_path / "a.txt").write_text("before")
    with pytest.raises(InputError, match=f"a.txt cannot be written .*{words}"):
        with writing(tmp_path / "a.txt") as partial:
            partial.write_text("half")
            raise error
    with pytest.raises(KeyError), writing_folder(tmp_path / "b") as partial:
        (partial / "c").write_text("half")
        raise KeyError
    assert (tmp_path / "a.txt").read_text() == "before"
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["a.txt", "b"]


def test_two_that_write_one_file_at_once_share_nothing(tmp_path):
    """Each file appears as it was written; the one that ends last stays."""
    with writing(tmp_path / "a.txt") as first:
        first.write_text("first")
        with writing(tmp_path / "a.txt") as second:
            second.write_text("second")
        assert (tmp_path / "a.txt").read_text() == "second"
    assert (tmp_path / "a.txt").read_text() == "first" and os.listdir(tmp_path) == ["a.txt"]


KILLED = """
import os, signal, sys
from fourdhands_core.outputs import writing, writing_folder
with (writing if sys.argv[1] == "file" else writing_folder)(sys.argv[2]) as partial:
    (partial if sys.argv[1] == "file" else partial / "c").write_text("half")
    print("there", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_left_goes_and_what_another_writes_stays(tmp_path, kind):
    """A long video's overlay, of every run that was killed, stayed in hidden folders; and `track` removed those of a run
    beside it."""
    place = tmp_path / "a.txt" if kind == "file" else tmp_path
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", KILLED, kind, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    assert [writer.stdout.readline() for writer in writers] == ["there\n"] * 2
    writers[0].kill()
    writers[0].communicate()
    assert len(os.listdir(tmp_path)) == 2
    write_text(tmp_path / "b.txt", "text")
    assert len(os.listdir(tmp_path)) == 2 and (tmp_path / "b.txt").is_file()
    writers[1].communicate()
    assert writers[1].returncode == 0
    assert sorted(os.listdir(tmp_path)) == ["a.txt" if kind == "file" else "b.txt", "b.txt" if kind == "file" else "c"]


def test_a_signal_while_a_library_writes_is_no_error_of_that(tmp_path):
    """torch makes a RuntimeError of it, which was a traceback."""

    class Interrupted:
        writes = 0

        def write(self, data):
            self.writes += 1
            if self.writes == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return len(data)

        def flush(self):
            pass

    with pytest.raises(signals.Asked) as asked, signals.running():
        with writing(tmp_path / "state.pt"):
            torch.save({"a": torch.zeros(1 << 18)}, Interrupted())
    assert asked.value.number == signal.SIGTERM and not list(tmp_path.iterdir())


def test_weights_go_where_their_name_leads(tmp_path):
    """Into a pipe or a device, which became a file, as /dev/null would have for root; and to what a link leads to."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("w.safetensors")
    network = load_weights()
    save_weights(network, tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and not (tmp_path / "w.safetensors").is_symlink()
    with (tmp_path / "read").open("wb") as out, subprocess.Popen(["cat", tmp_path / "pipe"], stdout=out) as reader:
        save_weights(network, tmp_path / "pipe")
        assert reader.wait(timeout=60) == 0
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "read").read_bytes() == (tmp_path / "w.safetensors").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe", "read", "w.safetensors"]


def test_an_export_that_fails_leaves_nothing(tmp_path, monkeypatch):
    import onnx

    def fail(model, path, **options):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(onnx, "save", fail)
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: SimpleNamespace(model_proto=onnx.ModelProto()))
    with pytest.raises(InputError, match="out cannot be written .No space left"):
        parts.export_onnx(load_weights(), tmp_path / "out")
    assert not any((tmp_path / "out").iterdir())


def test_a_range_that_cannot_be_written_leaves_the_one_before(tmp_path):
    """The disk has room for a part of it."""
    path = tmp_path / "me.yaml"
    OperatorRange.exact().write(path)
    before = path.read_text()
    code = f"from {OperatorRange.__module__} import OperatorRange; OperatorRange().write({str(path)!r})"
    done = ended(limited(100, "-c", code))
    assert done.returncode and "InputError" in done.stderr and "make room" in done.stderr, done.stderr
    assert path.read_text() == before and os.listdir(tmp_path) == ["me.yaml"]


def test_a_dataset_that_is_interrupted_leaves_nothing(tmp_path):
    def interrupted(numbers):
        yield 0
        assert len(list(tmp_path.rglob("*.jpg"))) == 2
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesise(tmp_path / "out", 2, frames=2, progress=interrupted)
    assert not any((tmp_path / "out").iterdir())
    synthesise(tmp_path / "out", 1, frames=2)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"annotations.npz", "images"}


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
