"""A dataset as bags and back: the same hands, pictures and robot; episodes listed, trimmed and labelled by their sidecars."""

import contextlib
import json
import shutil

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="bags need ROS 2 (pip install 'fourdhands[ros]')")

from bag_support import read_bag, write_bag
from episode_support import Demonstration, hand, number_in, rows, run
from rclpy.serialization import deserialize_message, serialize_message
from ros_support import SECOND, T0, ended, stamp_to
from rosbags.rosbag2 import Reader
from sensor_msgs.msg import Image

from fourdhands_core import cli
from fourdhands_core.episodes.exported import ExportedDataset
from fourdhands_core.episodes.pictures import EpisodeVideo
from fourdhands_core.episodes.reading import Dataset
from fourdhands_core.episodes.sidecar import Sidecar
from fourdhands_ros.episodes import player
from fourdhands_ros.pypi.message_types import typestore

with contextlib.suppress(ModuleNotFoundError):  # a workspace, in which the plugins of launch import this file, may lack it
    import pyarrow as pa
    import pyarrow.parquet as pq
pytestmark = pytest.mark.skipif("pq" not in globals(), reason="datasets need pyarrow (pip install 'fourdhands[dataset]')")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("import")
    Demonstration(seconds=4, there=lambda side, seconds: not (side == 1 and 2.02 < seconds < 3.02)).write(
        folder / "bags" / "bag"
    )
    command = [
        "export",
        folder / "bags",
        "--out",
        folder / "dataset",
        "--task",
        "lift",
        "--quiet",
        "--jobs",
        "1",
        "--min-seconds",
        "0.5",
    ]
    assert cli.main(["episodes", *map(str, command)]) == 0
    return folder / "dataset"


def test_round_trip(exported, tmp_path, capsys):
    """Bag, dataset, bags, dataset: every number is the same, but the last row of each episode, whose future is not kept."""
    code, _, said = run(capsys, "import", exported, "--out", tmp_path / "bags")
    assert code == 0, said
    bags = sorted((tmp_path / "bags").iterdir())
    assert [bag.name for bag in bags] == ["episode_000000", "episode_000001"]
    for name, _, data in read_bag(bags[1]):
        if name == "/cam/hands":
            pair = typestore().deserialize_cdr(data, "fourdhands_ros/msg/HandPair")
            seconds = (pair.header.stamp.sec * SECOND + pair.header.stamp.nanosec - T0) / SECOND
            for side, one in enumerate((pair.left, pair.right)):
                np.testing.assert_allclose([(p.x, p.y, p.z) for p in one.joints], hand(side, seconds).joints, atol=1e-6)
                np.testing.assert_allclose(one.hand_pose, hand(side, seconds).hand_pose, atol=1e-6)
            assert pair.header.frame_id == "cam_optical"
    code, _, said = run(capsys, "export", tmp_path / "bags", "--out", tmp_path / "again", "--quiet", "--min-seconds", "0.4")
    assert code == 0, said
    before, after = rows(exported), rows(tmp_path / "again")
    keep = np.append(np.diff(before["episode_index"]) == 0, False)
    for name in (
        "observation.state",
        "action",
        "hand.joints",
        "hand.betas",
        "stamp.row",
        "observation.robot_state",
        "camera.intrinsics",
    ):
        np.testing.assert_allclose(after[name], before[name][keep], atol=1e-6, err_msg=name)
    one, two = Dataset(exported), Dataset(tmp_path / "again")
    for episode in range(2):
        numbers = [
            [number_in(image) for image in dataset.pictures(episode, "observation.images.cam")] for dataset in (one, two)
        ]
        assert numbers[0][:-1] == numbers[1]
    assert two.episodes[0]["tasks"] == ["lift"]


def test_pictures_of_slower_cameras_keep_their_stamps(tmp_path, capsys):
    """Of two cameras, that of the hands not the first by name; and the hands are that one's."""
    entries, types = Demonstration(seconds=2, robot=False).entries()
    pictures = [one for one in entries if one[0] == "/cam/image_raw"]
    slow = {id(one) for one in pictures[1::2]}
    side = [("/a_side/image_raw", time + 7_000_000, shifted(data)) for _, time, data in pictures[::3]]
    entries = sorted([*(one for one in entries if id(one) not in slow), *side], key=lambda one: one[1])
    bag = write_bag(tmp_path / "bags" / "bag", entries, {**types, "/a_side/image_raw": "sensor_msgs/msg/Image"})
    both = "--images", "/cam/image_raw", "--images", "/a_side/image_raw"
    assert run(capsys, "export", bag, "--out", tmp_path / "dataset", "--quiet", *both)[0] == 0
    assert next(iter(ExportedDataset(tmp_path / "dataset").sizes)) == "observation.images.cam"
    assert run(capsys, "import", tmp_path / "dataset", "--out", tmp_path / "back", "--quiet")[0] == 0
    there = {name: stamps_and_frame(bag, name) for name in ("/cam/image_raw", "/a_side/image_raw")}
    back = tmp_path / "back" / "episode_000000"
    (cam, frame), (beside, other) = (stamps_and_frame(back, f"/{name}/image_raw/compressed") for name in ("cam", "a_side"))
    assert len(cam) >= 29 and cam <= there["/cam/image_raw"][0] and frame == stamps_and_frame(back, "/cam/hands")[1]
    assert len(beside) >= 19 and beside <= there["/a_side/image_raw"][0] and other != frame
    names = [f"/{name}/image_raw/compressed" for name in ("cam", "a_side")]
    both = [word for name in names for word in ("--images", name)]
    code, _, said = run(capsys, "export", tmp_path / "back", "--out", tmp_path / "again", "--quiet", *both)
    assert code == 0, said
    before, after = (rows(tmp_path / name)["stamp.pictures"] for name in ("dataset", "again"))
    np.testing.assert_array_equal(after, before[: len(after)])
    info = json.loads((tmp_path / "dataset" / "meta" / "info.json").read_text())
    del info["features"]["observation.images.cam"]  # as LeRobot's own tools take a camera out
    (tmp_path / "dataset" / "meta" / "info.json").write_text(json.dumps(info))
    assert run(capsys, "import", tmp_path / "dataset", "--out", tmp_path / "one", "--quiet")[0] == 0
    assert stamps_and_frame(tmp_path / "one" / "episode_000000", names[1])[0] == beside


def shifted(data):
    """The same image, taken 7 ms later."""
    image = deserialize_message(data, Image)
    stamp_to(image, image.header.stamp.sec * SECOND + image.header.stamp.nanosec + 7_000_000)
    return serialize_message(image)


def stamps_and_frame(bag, topic):
    """Of a bag's messages the stamps, and the frame of all."""
    with Reader(bag) as reader:
        messages = [typestore().deserialize_cdr(data, one.msgtype) for one, _, data in reader.messages() if one.topic == topic]
    (frame,) = {message.header.frame_id for message in messages}
    return {message.header.stamp.sec * SECOND + message.header.stamp.nanosec for message in messages}, frame


def test_round_trip_without_a_robot(tmp_path, capsys):
    """State and action are hands, not JointState of a robot; outcome and intrinsics are kept, with images or without."""
    Sidecar(outcome="success").write(Demonstration(seconds=1.5, robot=False).write(tmp_path / "bags" / "bag"))
    assert run(capsys, "export", tmp_path / "bags", "--out", tmp_path / "dataset", "--quiet")[0] == 0
    assert run(capsys, "import", tmp_path / "dataset", "--out", tmp_path / "back", "--quiet")[0] == 0
    code, _, said = run(capsys, "export", tmp_path / "back", "--out", tmp_path / "again", "--outcome", "success", "--quiet")
    assert code == 0, said
    assert rows(tmp_path / "again").keys() == rows(tmp_path / "dataset").keys()
    assert run(capsys, "export", tmp_path / "bags", "--out", tmp_path / "plain", "--no-images", "--quiet")[0] == 0
    assert run(capsys, "import", tmp_path / "plain", "--out", tmp_path / "of_plain", "--quiet")[0] == 0
    assert run(capsys, "export", tmp_path / "of_plain", "--out", tmp_path / "last", "--quiet")[0] == 0
    first, last = (rows(tmp_path / name)["camera.intrinsics"] for name in ("plain", "last"))
    assert first[0, 0] > 0
    np.testing.assert_array_equal(last, first[: len(last)])


def test_a_dataset_that_others_added_to(exported, tmp_path, capsys):
    """As lerobot does: the pictures of several episodes are in one file. It is whole, and no longer what was exported."""
    folder = shutil.copytree(exported, tmp_path / "dataset")
    bags = exported.parent / "bags"
    (file,) = (folder / "meta" / "episodes").rglob("*.parquet")
    table, camera = pq.read_table(file).to_pylist(), "observation.images.cam"
    one, two = sorted((folder / "videos").rglob("*.mp4"))
    with contextlib.ExitStack() as stack:
        shape = Dataset(folder).features[camera]["shape"]
        video = stack.enter_context(EpisodeVideo(tmp_path / "both.mp4", shape[1], shape[0], 30))
        for number in range(2):
            for image in Dataset(folder).pictures(number, camera):
                video.add(image)
    (tmp_path / "both.mp4").replace(one)
    two.unlink()
    table[1][f"videos/{camera}/file_index"] = 0
    table[1][f"videos/{camera}/from_timestamp"] = table[0]["length"] / 30
    pq.write_table(pa.Table.from_pylist(table), file)
    code, _, said = run(capsys, "check", folder)
    assert code == 0, said
    info = json.loads((folder / "meta" / "info.json").read_text())
    (folder / "meta" / "info.json").write_text(json.dumps({**info, "total_episodes": 3}))
    code, _, said = run(capsys, "export", bags, "--out", folder, "--task", "lift", "--quiet", "--min-seconds", "0.5")
    assert code == 2 and "was changed since: it holds 3 episodes, 2 were exported" in said


def test_a_foreign_dataset_and_what_is_none(exported, tmp_path, capsys):
    """Without this package's columns: state and action as JointState. An older version and a folder are told."""
    foreign = shutil.copytree(exported, tmp_path / "foreign")
    (foreign / "meta" / "fourdhands.json").unlink()
    for file in (foreign / "data").rglob("*.parquet"):
        table = pq.read_table(file)
        own = [name for name in table.column_names if name.startswith(("hand.", "stamp.", "camera.", "robot."))]
        pq.write_table(table.drop_columns([*own, "observation.robot_state"]), file)
    assert run(capsys, "import", foreign, "--out", tmp_path / "bags", "--episode", "0")[0] == 0
    code, out, _ = run(capsys, "import", exported, "--out", tmp_path / "bags")
    assert code == 0 and "2 bags, 1 of which were there already and were left alone" in out
    topics = {name for name, _, _ in read_bag(tmp_path / "bags" / "episode_000000")}
    assert topics == {"/cam/image_raw/compressed", "/observation/state", "/action"}
    info = json.loads((foreign / "meta" / "info.json").read_text())
    (foreign / "meta" / "info.json").write_text(json.dumps({**info, "codebase_version": "v2.1"}))
    assert "convert it to v3.0" in run(capsys, "import", foreign, "--out", tmp_path / "none")[2]
    (tmp_path / "file").write_text("mine")
    (tmp_path / "npz").mkdir()
    (tmp_path / "npz" / "index.json").write_text("{}")
    (foreign / "meta" / "info.json").write_text("{")
    for given, words in (
        (tmp_path, "is no LeRobotDataset, it has no meta/info.json; give the folder of one"),
        (tmp_path / "file", "is no LeRobotDataset, it is a file; give the folder of one"),
        (tmp_path / "gone", "gone does not exist; give the folder of a LeRobotDataset"),
        (tmp_path / "npz", "is a dataset of another format, and LeRobot's is read here"),
        (foreign, "meta/info.json cannot be read (JSONDecodeError: "),
    ):
        code, _, said = run(capsys, "import", given, "--out", tmp_path / "none")
        assert code == 2 and words in said and "Errno" not in said, said
    assert "has the episodes 0 to 1" in run(capsys, "import", exported, "--out", tmp_path / "none", "--episode", "7")[2]


def test_a_dataset_some_of_whose_columns_were_taken_out(exported, tmp_path, capsys):
    """As lerobot's tools do, after which it was called damaged: the rest comes, and that there are no hands is told."""
    less = shutil.copytree(exported, tmp_path / "less")
    info = json.loads((less / "meta" / "info.json").read_text())
    del info["features"]["hand.betas"]
    (less / "meta" / "info.json").write_text(json.dumps(info))
    for file in (less / "data").rglob("*.parquet"):
        pq.write_table(pq.read_table(file).drop_columns(["hand.betas"]), file)
    code, _, said = run(capsys, "import", less, "--out", tmp_path / "bags", "--episode", "0", "--quiet")
    assert code == 0 and "less lacks the columns hand.betas: its bags get state and action as numbers, and no hands" in said
    topics = {name for name, _, _ in read_bag(tmp_path / "bags" / "episode_000000")}
    assert {"/observation/state", "/action", "/joint_states"} <= topics and not any("hands" in name for name in topics)


def test_episodes_are_listed_trimmed_and_labelled(tmp_path, capsys):
    for name in ("a", "b", "c"):
        Demonstration(seconds=2, images=False, robot=False).write(tmp_path / "bags" / name)
    Sidecar(missing=["no hand is seen"]).write(tmp_path / "bags" / "a")
    assert (
        run(capsys, "relabel", tmp_path / "bags" / "a", "--task", "pour", "--outcome", "success", "--note", "spilt a bit")[0]
        == 0
    )
    assert run(capsys, "relabel", tmp_path / "bags" / "b", "--state", "discarded")[0] == 0
    assert run(capsys, "trim", tmp_path / "bags" / "c", "--begin", "0.5", "--end", "1.7")[0] == 0
    code, out, _ = run(capsys, "list", tmp_path / "bags")
    a, b, c = out.splitlines()
    assert code == 0 and "2.0 s" in a and "'pour'" in a and "success" in a
    assert a.endswith("spilt a bit, missing while recorded: no hand is seen")
    assert "discarded" in b and "trimmed to 0.50 to 1.70 s" in c
    assert run(capsys, "export", tmp_path / "bags", "--out", tmp_path / "out", "--task", "other")[0] == 0
    dataset, table = Dataset(tmp_path / "out"), rows(tmp_path / "out")
    assert [one["tasks"] for one in dataset.episodes] == [["pour"], ["other"]]
    seconds = (table["stamp.row"][table["episode_index"] == 1] - T0) / SECOND
    assert abs(seconds[0] - 1.5) < 0.04 and abs(seconds[-1] - 2.7) < 0.08
    assert json.loads((tmp_path / "out" / "meta" / "fourdhands.json").read_text())["skipped"] == {"b": "discarded"}
    assert run(capsys, "check", tmp_path / "bags")[0] == 0
    Demonstration(seconds=1, there=lambda side, seconds: False, images=False).write(tmp_path / "bags" / "d")
    code, _, said = run(capsys, "check", tmp_path / "bags")
    assert code == 1 and "d: no hand is ever valid" in said
    for arguments, words in (
        (["trim", tmp_path / "bags" / "c", "--begin", "1", "--end", "9"], "give a part of the 2.00 s"),
        (["trim", tmp_path / "bags" / "c", "--begin", "50"], "error: --begin 50: give a part of"),
        (["trim", tmp_path / "bags", "--begin", "1.5"], "--begin 1.5: give a part of the 1.00 s of"),
        (["relabel", tmp_path / "bags"], "nothing to change"),
        (["list", tmp_path / "nothing"], "does not exist"),
        (["list", tmp_path / "out"], "is a dataset, not a bag; `fourdhands episodes import` makes bags of one"),
    ):
        code, _, said = run(capsys, *arguments)
        assert code == 2 and words in said


def test_what_discarded_episodes_lack_fails_no_check(tmp_path, capsys):
    """They were discarded for that, and no export takes them."""
    for name in ("damaged", "empty", "good"):
        there = (lambda side, seconds: False) if name == "empty" else (lambda side, seconds: True)
        Demonstration(seconds=1, there=there, images=False, robot=False).write(tmp_path / name)
    (file,) = (tmp_path / "damaged").glob("*.mcap")
    file.write_bytes(b"damaged")
    code, _, said = run(capsys, "check", tmp_path)
    assert code == 1 and "empty: no hand is ever valid in /cam/hands\n" in said and f"{tmp_path}: damaged" in said
    wrong = [f"{line.split(': ', 1)[1]} (discarded)" for line in said.splitlines()]
    for name in ("damaged", "empty"):
        assert run(capsys, "relabel", tmp_path / name, "--state", "discarded")[0] == 0
    code, out, said = run(capsys, "check", tmp_path)
    assert (code, said) == (0, "") and f"{tmp_path / 'good'}: /cam/hands" in out
    assert [line for line in out.splitlines() if "(discarded)" in line] == wrong
    for name in ("damaged", "empty"):
        assert run(capsys, "relabel", tmp_path / name, "--state", "kept")[0] == 0
        assert run(capsys, "check", tmp_path / name)[0] != 0


def test_a_folder_of_episodes_is_trimmed(tmp_path, capsys):
    for name in ("a", "b"):
        Demonstration(seconds=2, images=False, robot=False).write(tmp_path / name)
    code, out, _ = run(capsys, "trim", tmp_path, "--begin", "0.5")
    assert code == 0 and out.count("trimmed to 0.50 to 2.00 s") == 2


def test_a_dataset_is_played(ros, exported, tmp_path, capfd):
    """An episode of it, or all in turn; and those of a folder of bags."""

    def played(source, *more):
        return ended(ros.process("-m", "fourdhands_ros.player", str(source), "--rate", "50", "--delay", "0", *more))

    said = played(exported)
    assert "of episode_000000" in said and "of episode_000001" in said and "/cam/image_raw/compressed" in said
    assert cli.main(["episodes", "import", str(exported), "--out", str(tmp_path), "--quiet"]) == 0
    counts = [sum(topic != "/joint_states" for topic, _, _ in read_bag(bag)) for bag in sorted(tmp_path.iterdir())]
    assert f"{sum(counts)} messages played" in said and f"{counts[1]} messages played" in played(exported, "--episode", "1")
    assert f"{sum(counts)} messages played" in played(tmp_path)
    for source, words in ((exported, "has the episodes 0 to 1"), (tmp_path / "none", "none cannot be opened")):
        assert player.main([str(source), "--episode", "2"]) == 2 and words in capfd.readouterr().err


def test_who_plays_by_the_command_is_told_in_its_words(ros, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(ros.domain))
    bag = Demonstration(seconds=1, images=False).write(tmp_path / "bag")
    np.savez(tmp_path / "hands.npz", stamp=np.zeros(1))
    topic = write_bag(tmp_path / "topic", [("/joints", 1, b"\0\1\0\0")], {"/joints": "sensor_msgs/msg/JointState"})
    for arguments, words in (
        ([tmp_path / "none"], "cannot be opened"),
        ([tmp_path / "hands.npz"], "is a numpy archive (npz), not a recording\n"),
        ([bag, "--episode", "1"], "--episode 1: "),
        ([bag, "--rate", "0"], "--rate 0 is not above 0"),
        ([topic], "holds neither images nor hands, but /joints; `ros2 bag play` plays those"),
    ):
        code, _, said = run(capsys, "play", *arguments)
        assert code == 2 and said.startswith("fourdhands: error: ") and words in said and said.count("\n") == 1, said
    code, out, said = run(capsys, "play", bag, "--rate", "50")
    assert (code, said) == (0, "") and out.startswith("playing /") and out.endswith(" messages played\n"), (out, said)


def test_a_bag_that_was_played_in_a_loop_is_told(tmp_path, capsys):
    entries, types = Demonstration(seconds=2, images=False, robot=False).entries()
    again = [(topic, time + 3 * SECOND, data) for topic, time, data in entries]
    bag = write_bag(tmp_path / "bag", [*entries, *again], types)
    code, out, said = run(capsys, "check", bag)
    assert code == 1 and "of 122 HandPairs of /cam/hands 61 have stamps repeated" in said and "2.0 s" in out
    assert cli.main(["bag", "info", str(bag)]) == 0
    assert "stamps 61 HandPairs repeated or out of order" in capsys.readouterr().out
