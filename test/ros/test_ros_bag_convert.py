"""Converting bags as a user does: the tracker's own joints in messages with the images' stamps, killed and continued."""

import json
import os
import re
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="bags need ROS 2 (pip install 'fourdhands[ros]')")

from bag_support import TYPES, assert_same_hands, camera_entries, contents, image_entry, read_bag, rendered, write_bag  # noqa: F401
from limits_support import limited
from program_support import ended, in_process, python
from ros_support import T0, stamp_of

from fourdhands_core import cli
from fourdhands_core.episodes.sidecar import Sidecar
from fourdhands_core.pipeline.shape_calibration import save_shape
from fourdhands_core.pipeline.tracker import HandPairTracker, TrackerSettings
from fourdhands_ros.pypi.message_types import typestore

HAND_PAIR, TRANSFORMS, MARKERS = "fourdhands_ros/msg/HandPair", "tf2_msgs/msg/TFMessage", "visualization_msgs/msg/MarkerArray"


def run(*arguments, **options):
    return python("-m", "fourdhands_core.cli", "bag", *arguments, **options)


KILLED = """
import os, signal, sys
def look(event, arguments):
    if event == "os.mkdir" and str(arguments[0]).endswith({folder!r}):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(look)
"""


def run_killed(tmp_path, folder, *arguments):
    """The command, of which the process that is about to make a folder is killed, on a machine however fast or busy."""
    (tmp_path / "killing").mkdir()
    (tmp_path / "killing" / "sitecustomize.py").write_text(KILLED.format(folder=folder))
    path = os.pathsep.join(filter(None, (str(tmp_path / "killing"), os.environ.get("PYTHONPATH"))))
    return run(*arguments, env={**os.environ, "PYTHONPATH": path})


def told(capsys, *arguments) -> tuple[int, str, str]:
    return in_process(capsys, cli.main, "bag", *arguments)


def messages(bag: Path, topic: str, kind: str) -> list:
    return [(time, typestore().deserialize_cdr(data, kind)) for name, time, data in read_bag(bag) if name == topic]


def joints_of(hand) -> np.ndarray:
    return np.array([(p.x, p.y, p.z) for p in hand.joints]).reshape(-1, 3)


@pytest.fixture(scope="module")
def recorded(rendered, tmp_path_factory):
    """A bag of one camera, raw."""
    return write_bag(tmp_path_factory.mktemp("recorded") / "drive", *camera_entries(rendered, "/cam"))


@pytest.fixture(scope="module")
def short(rendered):
    """The first 16 of the rendered images: for what does not depend on how many there are."""
    return SimpleNamespace(camera=rendered.camera, images=rendered.images[:16])


@pytest.fixture(scope="module")
def converted(recorded):
    """The same with hands, the input's files before it, and what the command said."""
    out, before = recorded.with_name("hands"), contents(recorded)
    result = run(recorded, out)
    assert result.returncode == 0, result.stderr
    return out, before, result


@pytest.fixture(scope="module")
def tracked(rendered):
    """What the tracker itself says of the same images, by stamp."""
    tracker, estimates = HandPairTracker(TrackerSettings(lookahead=4)), {}
    for stamp, image in [*rendered.images, *[(None, None)] * 4]:
        estimate = tracker.flush() if image is None else tracker.process(image, T0 + stamp, rendered.camera)
        if estimate is not None:
            estimates[estimate.stamp] = estimate
    tracker.close()
    return estimates


def test_hands_are_the_trackers_own_with_the_images_stamps(converted, tracked):
    pairs = messages(converted[0], "/cam/hands", HAND_PAIR)
    assert [stamp_of(pair.header) for _, pair in pairs] == sorted(tracked) and len(pairs) == 45
    assert [time for time, _ in pairs] == [stamp + 2_000_000 for stamp in sorted(tracked)]  # when the image was recorded
    seen = 0
    for _, pair in pairs:
        estimate = tracked[stamp_of(pair.header)]
        assert pair.header.frame_id == pair.left.header.frame_id == "cam_optical" and not len(pair.latency)
        for hand, expected in zip((pair.left, pair.right), estimate.hands):
            assert hand.valid == expected.valid
            if hand.valid:
                seen += 1
                np.testing.assert_allclose(joints_of(hand), expected.joints, rtol=0, atol=1e-9)
                np.testing.assert_array_equal(hand.hand_pose, expected.hand_pose.astype(np.float32))
                assert hand.scaled
    assert seen > 60 and [pair.frames_published for _, pair in pairs] == [*range(1, 46)]


def test_the_hands_have_the_shape_that_was_calibrated_live(short, tmp_path, capsys):
    """And not one that is estimated, with which they would be of another size, and so at another distance."""
    bag, file = write_bag(tmp_path / "drive", *camera_entries(short, "/cam")), tmp_path / "ann.yaml"
    betas = np.array([1.5, -0.5, *[0.0] * 8])
    save_shape(file, betas, "human")
    assert told(capsys, bag, tmp_path / "out", "--hand-shape", file, "--quiet")[0] == 0
    hands = [hand for _, pair in messages(tmp_path / "out", "/cam/hands", HAND_PAIR) for hand in (pair.left, pair.right)]
    assert sum(hand.valid for hand in hands) > 8
    assert all(np.allclose(hand.betas, betas) for hand in hands if hand.valid)
    save_shape(file, -betas, "human")  # what was made with another content is not what is asked for now
    code, _, error = told(capsys, bag, tmp_path / "out", "--hand-shape", file, "--quiet")
    assert code == 2 and "is there already" in error
    save_shape(file, betas, "generic")
    code, _, error = told(capsys, bag, tmp_path / "other", "--hand-shape", file, "--quiet")
    assert code == 2 and "calibrated with hand model 'generic' and this one is 'human'" in error


def test_frames_meshes_and_faces_come_with_them(converted, tracked):
    out = converted[0]
    wrists = {
        (stamp_of(transform.header), transform.child_frame_id): transform.transform.translation
        for _, message in messages(out, "/tf", TRANSFORMS)
        for transform in message.transforms
    }
    assert wrists.keys() == {
        (stamp, name)
        for stamp, estimate in tracked.items()
        for name, hand in zip(("left_wrist", "right_wrist"), estimate.hands)
        if hand.valid
    }
    for (stamp, name), place in wrists.items():
        np.testing.assert_allclose(
            (place.x, place.y, place.z), tracked[stamp].hands[name == "right_wrist"].joints[0], rtol=0, atol=1e-9
        )
    shown = {
        (stamp_of(marker.header), marker.id)
        for _, message in messages(out, "/cam/hands/markers", MARKERS)
        for marker in message.markers
        if marker.action == 0 and len(marker.points) == 3 * 1538
    }
    assert shown == {(stamp, name == "right_wrist") for stamp, name in wrists}
    (faces,) = messages(out, "/cam/hands/faces", "fourdhands_ros/msg/HandFaces")
    assert len(faces[1].left) == 3 * 1538


def test_the_input_is_not_touched_and_the_bar_shows_every_image(recorded, converted, capsys):
    _, before, result = converted
    assert contents(recorded) == before
    assert "45 images, 45 HandPairs" in result.stdout and "45/45" in result.stderr and "warning" not in result.stderr
    assert sorted(path.name for path in recorded.parent.iterdir()) == ["drive", "hands"]
    code, said, _ = told(capsys, recorded, recorded.with_name("hands"))
    assert code == 0 and "is there already; nothing was done" in said
    code, _, error = told(capsys, recorded, recorded.with_name("hands"), "--no-markers")
    assert code == 2 and "is there already; choose another name" in error


def test_a_killed_run_continues_and_equals_one_without_interrupts_and_intervals(recorded, converted, tmp_path, capsys):
    done = run_killed(tmp_path, "killed.partial/part_000001", recorded, tmp_path / "killed", "--interval", 15)
    partial = tmp_path / "killed.partial"
    assert done.returncode == -signal.SIGKILL and not (tmp_path / "killed").exists()
    assert len(read_bag(partial / "part_000000")) > 15  # what was done is there to see

    code, _, error = told(capsys, recorded, tmp_path / "killed", "--interval", 15, "--tf", "joints")
    assert code == 2 and "was begun otherwise (parameters)" in error
    code, _, error = told(capsys, recorded, tmp_path / "killed", "--interval", 15)
    assert code == 0, error
    shown = [int(count) for count in re.findall(r"(\d+)/45", error)]
    assert 15 <= shown[0] < 45 and shown[-1] == 45, "it did not begin where it had stopped"
    assert_same_hands(read_bag(tmp_path / "killed"), read_bag(converted[0]))
    assert not partial.exists()


def test_two_cameras_compressed_in_sqlite_each_have_their_own(short, tmp_path):
    left, right = camera_entries(short, "/left", True), camera_entries(short, "/right", True, flipped=True, delay=5000)
    entries = sorted(left[0] + right[0], key=lambda entry: entry[1])
    bag = write_bag(tmp_path / "two", entries, {**left[1], **right[1]}, "sqlite3")
    assert cli.main(["bag", str(bag), str(tmp_path / "out"), "--quiet", "--tf", "joints", "--no-markers"]) == 0
    for name in ("left", "right"):
        alone = camera_entries(short, f"/{name}", True, name == "right", 5000 * (name == "right"))
        assert (
            cli.main(["bag", str(write_bag(tmp_path / name, *alone)), str(tmp_path / f"{name}_out"), "--quiet", "--no-markers"])
            == 0
        )
        topic = f"/{name}/hands"
        both, one = (
            [row for row in read_bag(path) if row[0] == topic] for path in (tmp_path / "out", tmp_path / f"{name}_out")
        )
        assert_same_hands(both, one)  # of one camera they do not depend on the other
        assert len(both) == 16
    frames = {
        transform.child_frame_id
        for _, message in messages(tmp_path / "out", "/tf", TRANSFORMS)
        for transform in message.transforms
    }
    assert {"left/left_wrist", "right/left_wrist", "right/right_thumb_1"} <= frames and "left_wrist" not in frames


def test_bad_images_and_jumps_of_time_are_survived_and_counted(rendered, tmp_path, capsys):
    entries, types = camera_entries(rendered, "/cam")
    images = [entry for entry in entries if entry[0] == "/cam/image_raw"][:30]
    topic, when, data = images[10]
    broken = [(topic, images[3][1] + 1, b"\x00\x01\x00\x00rubbish"), (topic, when + 1, data), (topic, when + 2, data[:-7])]
    loop = [image_entry(topic, stamp + T0 - 60 * 10**9, image, "cam_optical") for stamp, image in rendered.images[:8]]
    late = [(topic, images[-1][1] + 10**9 + i, data) for i, (_, _, data) in enumerate(loop)]  # an older recording follows
    bag = write_bag(tmp_path / "bad", sorted(images + broken + late, key=lambda entry: entry[1]), {topic: types[topic]})
    assert cli.main(["bag", str(bag), str(tmp_path / "out"), "--quiet", "--fov", "64"]) == 0
    said, warned = capsys.readouterr()
    for words in (
        "41 images, 38 HandPairs",
        "1 refused (repeated stamp)",
        "2 refused (message)",
        "stamps that went backwards: 1",
    ):
        assert words in said, said
    for words in ("/cam: image refused (repeated stamp): two images in a row", "/cam: image refused (message): "):
        assert words in warned, warned
    pairs = [pair for _, pair in messages(tmp_path / "out", "/cam/hands", HAND_PAIR)]
    assert len(pairs) == 38 and pairs[-1].frames_rejected == 3
    assert any(hand.valid and hand.scaled for pair in pairs for hand in (pair.left, pair.right))


def test_a_bag_that_was_cut_off_is_converted_as_far_as_it_goes(rendered, recorded, converted, tmp_path, capsys):
    entries, types = camera_entries(rendered, "/cam")
    whole = write_bag(tmp_path / "whole", entries, types, chunk=4) / "whole.mcap"
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    assert cli.main(["bag", str(cut), str(tmp_path / "out"), "--quiet"]) == 0
    said = capsys.readouterr()
    assert "cut.mcap was cut off" in said.err and "messages can be read, the last of them" in said.err
    got, expected = (messages(path, "/cam/hands", HAND_PAIR) for path in (tmp_path / "out", converted[0]))
    assert 24 <= len(got) <= 31
    for (_, one), (_, other) in zip(got[:-4], expected):  # the last four have less future
        np.testing.assert_allclose(joints_of(one.left), joints_of(other.left), rtol=0, atol=1e-9)


def test_on_a_full_disk_it_says_so_and_continues_where_there_is_room(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3), np.uint8)
    bag = write_bag(
        tmp_path / "in",
        [image_entry("/cam/image_raw", T0 + i * 10**8, image, "camera") for i, image in enumerate(noise)],
        {"/cam/image_raw": TYPES["image_raw"]},
    )
    arguments = ["bag", str(bag), str(tmp_path / "out"), "--quiet"]
    command = limited(2000, "-m", "fourdhands_core.cli", *arguments)
    result = ended(command)
    assert result.returncode == 2 and "Traceback" not in result.stderr and not (tmp_path / "out").exists()
    assert f"{tmp_path / 'out'} cannot be written any further" in result.stderr and "continues" in result.stderr
    assert cli.main(arguments) == 0 and len(messages(tmp_path / "out", "/cam/hands", HAND_PAIR)) == 20


def test_many_bags_at_once_and_again(short, tmp_path, capsys):
    bags = [
        write_bag(tmp_path / "drive", *camera_entries(short, "/cam")),
        write_bag(tmp_path / "second", *camera_entries(short, "/cam", True, flipped=True)),
    ]
    (tmp_path / "broken.mcap").write_bytes(b"nothing")
    result = run(*bags, tmp_path / "broken.mcap", tmp_path / "all", "--jobs", 2)
    assert result.returncode == 2 and "1 of 3 bags were not converted" in result.stderr, result.stderr
    assert "broken.mcap is text, not a recording" in result.stderr and "Traceback" not in result.stderr
    assert "fourdhands: broken.mcap failed: " in result.stderr  # of many a line where there is no terminal
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["drive", "second"]
    assert len(messages(tmp_path / "all" / "drive", "/cam/hands", HAND_PAIR)) == 16
    code, said, _ = told(capsys, *bags, tmp_path / "all")
    assert code == 0 and said.count("is there already") == 2
    code, _, error = told(capsys, *bags, tmp_path / "all", "--no-markers")
    assert code == 2 and error.count("is there already, of other options") == 2 and "2 of 2 bags were not converted" in error
    Sidecar(task="lift").write(bags[0])
    code, said, error = told(capsys, *bags, tmp_path / "all")
    assert (
        code == 2 and "all/drive is there already, of other options or of what" in error and "second is there already" in said
    )


def test_a_bag_whose_process_is_killed_does_not_end_the_others(short, tmp_path, capsys):
    bags = [write_bag(tmp_path / name, *camera_entries(short, "/cam", True)) for name in ("drive", "second")]
    done = run_killed(tmp_path, "drive.partial/part_000000", *bags, tmp_path / "all", "--jobs", 2, "--quiet")
    said = done.stderr
    assert done.returncode == 2 and "1 of 2 bags were not converted" in said, said
    assert f"{bags[0]}: its process ended unexpectedly" in said and "Traceback" not in said
    assert len(messages(tmp_path / "all" / "second", "/cam/hands", HAND_PAIR)) == 16
    assert (tmp_path / "all" / "drive.partial").is_dir()
    assert told(capsys, bags[0], tmp_path / "all" / "drive", "--quiet")[0] == 0, "what it left cannot be gone on with"
    assert len(messages(tmp_path / "all" / "drive", "/cam/hands", HAND_PAIR)) == 16


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["{bag}"], "one path was given"),
        (["{tmp}/none", "{tmp}/out"], "cannot be opened"),
        (
            ["{bag}", "{tmp}/out", "--topic", "/cam/camera_info"],
            "holds no images in this bag; image topics are: /cam/image_raw",
        ),
        (["{bag}", "{tmp}/out", "--camera-info", "/cam/image_raw"], "is no CameraInfo topic"),
        (["{bag}", "{tmp}/out", "--weights", "none.safetensors"], "none.safetensors does not exist"),
        (["{bag}", "{tmp}/out", "--hand-shape", "none.yaml"], "hand shape none.yaml does not exist"),
        (["{bag}", "{tmp}/out", "--lookahead", "61"], "argument --lookahead: 61 is out of range; give a number from 0 to 60"),
        (["{bag}", "{tmp}/out", "--fov", "60", "--intrinsics", "c.yaml"], "not allowed with"),
        (["{bag}", "{tmp}/taken"], "taken.partial is there and no unfinished conversion"),
        (["info", "{bag}"], "holds no hands, but /cam/camera_info, /cam/image_raw"),
    ],
)
def test_a_users_error_is_one_message_and_exit_code_2(recorded, tmp_path, capsys, arguments, words):
    (tmp_path / "taken.partial").mkdir()
    (tmp_path / "taken.partial" / "mine.txt").touch()
    arguments = [argument.replace("{bag}", str(recorded)).replace("{tmp}", str(tmp_path)) for argument in arguments]
    code, _, error = told(capsys, *arguments, "--quiet")
    assert code == 2 and words in error
    assert not (tmp_path / "out").exists() and (tmp_path / "taken.partial" / "mine.txt").exists()


def test_without_ros_it_says_what_to_install(recorded, tmp_path):
    (tmp_path / "rclpy.py").write_text("raise ModuleNotFoundError('No module named rclpy', name='rclpy')")
    result = run(recorded, tmp_path / "out", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert result.returncode == 2 and "rclpy is not installed" in result.stderr and "Traceback" not in result.stderr


def test_options_stand_between_the_paths_and_no_bag_is_taken_for_its_own_result(short, tmp_path, capsys):
    """Two bags, converted into the folder in which they lie, would each be written over."""
    for name in ("a", "b"):
        write_bag(tmp_path / name, *camera_entries(short, "/cam"))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.mcap")}
    code, _, error = told(capsys, tmp_path / "a", "--fov", 60, tmp_path / "b", "--quiet", tmp_path)
    assert code == 2 and f"{tmp_path / 'a'} is the recording that is read" in error
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.mcap")} == before and len(list(tmp_path.iterdir())) == 2
    code, said, _ = told(capsys, tmp_path / "a", "--fov", 60, tmp_path / "out", "--no-markers")
    assert code == 0 and "HandPairs" in said
    assert {topic for topic, _, _ in read_bag(tmp_path / "out")} == {"/cam/hands", "/cam/hands/faces", "/tf"}
    code, said, _ = told(capsys, "info", "--json", tmp_path / "out")
    assert code == 0 and json.loads(said)["hands"]
