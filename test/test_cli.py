"""The command `fourdhands` as a user runs it: help, exit codes, messages without tracebacks."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from program_support import begun, in_process, python
from video_support import plain_video

from fourdhands_core import cli, commands
from fourdhands_core.errors import InputError
from fourdhands_core.media.video import VideoReader
from fourdhands_core.pipeline.settings import TrackerSettings


def command(*arguments) -> list[str]:
    return [sys.executable, "-m", "fourdhands_core.cli", *map(str, arguments)]


def run(*arguments, **options):
    return python("-m", "fourdhands_core.cli", *arguments, **options)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["track", "--help"],
        ["convert-mano", "--help"],
        ["train", "--help"],
        ["train", "landmark", "--help"],
        ["train", "errors", "--help"],
        ["evaluate", "--help"],
        ["ablate", "--help"],
        ["data", "--help"],
        ["data", "check", "--help"],
    ],
)
def test_help_explains_every_command(arguments, capsys):
    code, said, error = in_process(capsys, cli.main, *arguments)
    assert code == 0 and said.startswith("usage: fourdhands") and not error


def test_help_tells_the_default_of_a_setting_that_is_a_number(capsys):
    said = " ".join(in_process(capsys, cli.main, "track", "--help")[1].split())
    assert "0 to 60 (default: 0)" in said and "landmarks a little off (default: float32)" in said


def test_a_setting_is_an_option_of_its_kind_and_limits(capsys):
    parser = commands.Parser()
    commands.add_settings(parser, "hold", "temporal", "mirrored", "lookahead")
    words = ["--hold", "0.5", "--no-temporal", "--mirrored", "--lookahead", "3"]
    settings = commands.tracker_settings(parser.parse_args(words))
    assert (settings.hold, settings.temporal, settings.mirrored, settings.lookahead) == (0.5, False, True, 3)
    assert commands.tracker_settings(parser.parse_args([])) == TrackerSettings()
    refused = ("5.1", "5.1 is out of range; give a number from 0.0 to 5.0"), ("nan", "out of range"), ("x", "invalid")
    for value, message in refused:
        with pytest.raises(SystemExit):
            parser.parse_args(["--hold", value])
        assert message in capsys.readouterr().err


def test_the_command_is_a_process_of_its_own():
    helped, failed = run("--help"), run("track", "no.mp4", "--out", "nowhere")
    assert helped.returncode == 0 and helped.stdout.startswith("usage: fourdhands") and not helped.stderr
    for other in (["-m", "fourdhands_core"], ["fourdhands_ros/fourdhands"]):  # the second is what a workspace has on its PATH
        done = python(*other, "--help")
        assert (done.returncode, done.stdout, done.stderr) == (0, helped.stdout, "")
    assert failed.returncode == 2 and failed.stderr.startswith("fourdhands: error: ") and not failed.stdout
    assert "no.mp4 does not exist" in failed.stderr and "Traceback" not in failed.stderr


def test_help_imports_no_heavy_package():
    code = "import sys, fourdhands_core.cli as cli; cli.build_parser(); print({'torch', 'cv2', 'mediapipe'} & set(sys.modules))"
    result = python("-c", code)
    assert result.stdout.strip() == "set()", result.stderr


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "COMMAND"),
        (["fly"], "invalid choice"),
        (["track", "no.mp4"], "--out"),
        (["track", "no.mp4", "--out", "{tmp}/o"], "video no.mp4 does not exist"),
        (["track", "{tmp}/in.mp4", "--out", "{tmp}/o", "--weights", "no.safetensors"], "no.safetensors does not exist"),
        (["track", "no.mp4", "--out", "{tmp}/o", "--fov", "60", "--intrinsics", "c.yaml"], "not allowed with"),
        (["track", "{tmp}/text.mp4", "--out", "{tmp}/o"], "cannot be read"),
        (["track", "{tmp}/in.mp4", "--out", "{tmp}/o", "--hand-model", "no.npz"], "no.npz"),
        (["convert-mano", "no.pkl"], "no.pkl does not exist"),
        (["convert-mano", "{tmp}/text.mp4", "--out", "{tmp}"], "text.mp4"),
        (["convert-mano", "a.pkl", "b.pkl", "--out", "{tmp}/one.npz"], "give a folder"),
        (["train", "landmark", "--out", "{tmp}/w", "--set", "speed=1"], "no setting 'speed'"),
        (["train", "landmark", "--out", "{tmp}/w", "--set", "single_steps=many"], "not of type int"),
        (["evaluate", "--real", "{tmp}/none"], "is not a folder"),
        (["evaluate", "--clips", "0"], "not positive"),
        (["track", "{tmp}/in.mp4", "--out", "{tmp}/out", "--hand-shape", "{tmp}/a.yaml"], "a.yaml does not exist"),
    ],
)
def test_a_users_error_is_one_message_and_exit_code_2(tmp_path, capsys, arguments, message):
    (tmp_path / "text.mp4").write_text("this is no video")
    plain_video(tmp_path / "in.mp4", [0])
    code, _, error = in_process(capsys, cli.main, *(argument.replace("{tmp}", str(tmp_path)) for argument in arguments))
    assert code == 2 and message in error


def test_track_writes_hands_of_a_video(tmp_path):
    plain_video(tmp_path / "in.mp4", 5 * [90], (160, 120))
    result = run("track", tmp_path / "in.mp4", "--out", tmp_path / "out", "--fov", 60)
    assert result.returncode == 0, result.stderr
    assert "5 frames" in result.stdout and "5/5" in result.stderr
    hands = np.load(tmp_path / "out" / "hands.npz")
    assert hands["stamp"].shape == (5,) and not hands["valid"].any() and np.isnan(hands["joints"]).all()
    assert (tmp_path / "out" / "overlay.mp4").is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_writes_what_was_tracked_and_exits_with_its_number(tmp_path, number):
    plain_video(tmp_path / "in.mp4", (i % 255 for i in range(3000)), (320, 240))
    process = begun(command("track", tmp_path / "in.mp4", "--out", tmp_path / "out"))
    deadline = time.monotonic() + 600
    while not list(tmp_path.glob("out/*/*/overlay.mp4")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    process.send_signal(number)  # as from a terminal and from what started the command
    stdout, stderr = process.communicate(timeout=600)
    words = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
    assert process.returncode == 128 + number and words in stdout and "Traceback" not in stderr, stderr
    frames = len(np.load(tmp_path / "out" / "hands.npz")["stamp"])
    assert 0 < frames < 3000
    with VideoReader(tmp_path / "out" / "overlay.mp4") as overlay:
        assert abs(overlay.frame_count - frames) <= 1
    assert {file.name for file in (tmp_path / "out").iterdir()} <= {"hands.npz", "overlay.mp4", "contact_sheet.png"}


def test_an_interrupt_that_was_handled_inside_exec_does_not_end_the_process_by_signal(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("""
import builtins
def interrupted_print(*arguments, original=print, **options):
    try:
        exec('raise KeyboardInterrupt')
    except KeyboardInterrupt:
        original(*arguments, **options)
builtins.print = interrupted_print
""")
    done = run("track", tmp_path / "missing.mp4", "--out", tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert done.returncode == cli.EXIT_USER_ERROR and "missing.mp4" in done.stderr


def test_settings_are_replaced_by_their_own_types():
    from fourdhands_core.learning.landmark.train import TrainSettings

    settings = commands.replaced(TrainSettings(), ["single_steps=7", "joints=2.5"])
    assert settings.single_steps == 7 and settings.joints == 2.5
    with pytest.raises(InputError, match="not of type float"):
        commands.replaced(TrainSettings(), ["joints=x"])


def test_settings_of_no_sense_are_refused_before_a_training():
    from fourdhands_core.learning.detector.tune import TuneSettings
    from fourdhands_core.learning.landmark.ablation import AblationSettings
    from fourdhands_core.learning.landmark.train import TrainSettings

    assert not commands.replaced(TuneSettings(), ["halved=false"]).halved, "bool('false') is True"
    assert commands.replaced(TuneSettings(), ["halved=true"]).halved
    with pytest.raises(InputError, match="not of type bool"):
        commands.replaced(TuneSettings(), ["halved=no"])
    for kind, changes in (
        (
            TrainSettings,
            ["single_rate=nan", "share=nan", "share=7", "single_steps=-1", "single_batch=0", "seed=-5", "joints=inf"],
        ),
        (TuneSettings, ["rate=nan", "share=2", "steps=0", "seed=99999999999999999999", "average=-1"]),
        (AblationSettings, ["single_rate=nan", "clips=0", "single_steps=-1"]),
    ):
        for change in changes:
            with pytest.raises(InputError, match=f"^--set: {change.partition('=')[0]} must be "):
                commands.replaced(kind(), [change])


def test_a_training_that_would_learn_nothing_or_of_too_short_clips_is_refused(tmp_path, capsys):
    out = tmp_path / "w.safetensors"
    steps = [word for name in ("single", "window", "measured") for word in ("--set", f"{name}_steps=0")]
    assert cli.main(["train", "landmark", "--out", str(out), *steps]) == cli.EXIT_USER_ERROR
    assert "nothing would be learned" in capsys.readouterr().err
    assert cli.main(["train", "landmark", "--out", str(out), "--set", "clip_frames=8"]) == cli.EXIT_USER_ERROR
    assert "clip_frames 8 must be 9" in capsys.readouterr().err and not out.exists()


def test_evaluate_prints_and_writes_the_same_json(tmp_path, monkeypatch, capsys):
    from fourdhands_core.learning.evaluation import clips as evaluation

    monkeypatch.setattr(evaluation, "evaluate", lambda settings, clips, real: {"clips": clips, "real": str(real)})
    assert cli.main(["evaluate", "--clips", "3", "--real", str(tmp_path), "--out", str(tmp_path / "e.json")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "e.json").read_text()) == {"clips": 3, "real": str(tmp_path)}


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ("bag --quiet IN OUT", {"paths": ["IN", "OUT"], "quiet": True}),
        ("bag IN --fov 60 OUT", {"paths": ["IN", "OUT"], "fov": 60.0}),
        ("bag A --topic /a B --topic /b OUT", {"paths": ["A", "B", "OUT"], "topic": ["/a", "/b"]}),
        ("bag info --json BAG", {"paths": ["info", "BAG"], "json": True}),
        ("bag --json info BAG", {"paths": ["info", "BAG"], "json": True}),
        ("bag info A --json B", {"paths": ["info", "A", "B"], "json": True}),
        ("bag IN --fov 60 -- -out", {"paths": ["IN", "-out"], "fov": 60.0}),
        ("bag -- --in --fov", {"paths": ["--in", "--fov"], "fov": None}),
        ("track V --out o", {"video": "V", "out": "o"}),
        ("track --out o --quiet V --mesh", {"video": "V", "out": "o", "quiet": True, "mesh": True}),
        ("track --out o -- -V.mp4", {"video": "./-V.mp4", "out": "o"}),
        ("track V --fov -60 --out o", {"video": "V", "fov": -60.0}),
        ("train landmark --out o --set a=1", {"what": "landmark", "set": ["a=1"]}),
        ("train --set a=1 CONFIG --set b=2 --quiet", {"what": "CONFIG", "set": ["a=1", "b=2"], "quiet": True}),
        ("data check NAME --out o PATH", {"name": "NAME", "path": "PATH", "out": "o"}),
        ("data check --split s NAME PATH --out o", {"name": "NAME", "path": "PATH", "split": "s"}),
        ("data synthesise --clips 3 OUT --seed 3", {"out": "OUT", "clips": 3, "seed": 3}),
        ("convert-mano A --out o B", {"pickles": ["A", "B"], "out": "o"}),
        ("import-weights --window 1 C --out o", {"checkpoint": "C", "window": 1, "out": "o"}),
        ("benchmark ros --frames 30 V", {"video": ["ros", "V"], "frames": 30}),
        ("benchmark --backbone S", {"video": [], "backbone": "S"}),
    ],
)
def test_options_may_stand_anywhere(arguments, expected):
    def plain(value):
        return [plain(item) for item in value] if isinstance(value, list) else str(value) if isinstance(value, Path) else value

    parsed = vars(cli.build_parser().parse_args(arguments.split()))
    assert {name: plain(parsed[name]) for name in expected} == expected


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("bag IN --json OUT", "--json means nothing to `bag IN OUT`"),
        ("bag info --fov 60 BAG", "--fov means nothing to `bag info`"),
        ("train landmark --out o --clips 3", "--clips means nothing to `train landmark`"),
        ("train errors --set a=1", "--set means nothing to `train errors`"),
        ("evaluate --split test", "--split means nothing to `evaluate without --dataset`"),
        ("evaluate --depth --real D", "--real means nothing to `evaluate --depth`"),
        ("evaluate --dataset HIC --data D --clips 3", "--clips means nothing to `evaluate --dataset`"),
        ("import-weights a.pth --backbone S --window 9", "--window means nothing to `import-weights --backbone`"),
        (
            "data check HIC D --samples 3",
            "--samples means nothing to `data check without --out PNG`; see fourdhands data check",
        ),
        ("track V W --out o", "2 videos were given; say where their cameras stand with --cameras FILE"),
        ("bag", "required: PATH"),
        ("bag IN --tf no OUT", "invalid choice: 'no'"),
        ("data check NAME --out o", "required: PATH"),
        ("benchmark https://a.org/b.mp4", "https://a.org/b.mp4 is an address"),
    ],
)
def test_arguments_that_do_not_go_together_are_told(capsys, arguments, message):
    code, _, error = in_process(capsys, cli.main, *arguments.split())
    assert code == 2 and message in error


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("track A.mp4 B.mp4 --cameras none.yaml --out o", "the cameras' poses cannot be read from none.yaml"),
        (
            "track right.mp4 B.mp4 --cameras rig.yaml --out o",
            "names 2 cameras, left, right, and the videos are called right, B",
        ),
        ("track left.mp4 b/left.mp4 --cameras rig.yaml --out o", "the videos are called left, left"),
        ("calibrate-cameras /a /b --intrinsics rig.yaml", "--intrinsics means nothing to `calibrate-cameras /a /b`"),
        ("calibrate-cameras BAG --names a b", "--names means nothing to `calibrate-cameras BAG`"),
        ("calibrate-cameras one.mp4", "one.mp4 is one camera's, and one alone does not tell where it stands"),
        ("calibrate-cameras A.mp4 B.mp4", "the lenses are not known; give --intrinsics of each video, or --fov"),
        ("calibrate-cameras A.mp4 B.mp4 --fov 60 --names a a", "2 videos need as many names, all different"),
        ("calibrate-cameras left.mp4 B.mp4 --fov 60 --check rig.yaml", "rig.yaml has no camera B; it names left, right"),
        ("calibrate-cameras A.mp4 B.mp4 --fov 60 --hand-length 19", "--hand-length 19 is not between 0 and 0.3 metres"),
    ],
)
def test_what_several_cameras_need_is_told(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    left, right = (f"{{position: [{x}, 0, 0], quaternion: [0, 0, 0, 1]}}" for x in (0, 1))
    (tmp_path / "one.mp4").write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom")
    (tmp_path / "rig.yaml").write_text(f"cameras: {{left: {left}, right: {right}}}")
    code, _, error = in_process(capsys, cli.main, *arguments.split())
    assert code == 2 and message in error, error
