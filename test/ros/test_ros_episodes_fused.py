"""Hands of several cameras in datasets: they are in a fixed frame, which is no picture's beside them, there and back."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="bags need ROS 2 (pip install 'fourdhands[ros]')")

from bag_support import write_bag
from episode_support import CAMERA, Demonstration, hand, rows, run
from ros_support import SECOND, T0
from rosbags.rosbag2 import Reader

from fourdhands_core.pipeline.types import HandPairEstimate
from fourdhands_ros.convert.encoders import HandPairEncoder
from fourdhands_ros.pypi.message_types import typestore

pytestmark = pytest.mark.skipif(not find_spec("pyarrow"), reason="datasets need pyarrow (pip install 'fourdhands[dataset]')")
OPTIONS = "--topic", "/hands", "--images", "/cam/image_raw", "--quiet"


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """A camera's images and hands, and what it and another one see together, in `cell`."""
    made = Demonstration(seconds=2, robot=False)
    entries, types = made.entries()
    encoder, seen = HandPairEncoder("net", "generic"), ("cam", "side")
    for stamp in made.stamps().tolist():
        hands = [replace(hand(side, stamp / SECOND), joints_2d=None) for side in range(2)]
        pair = HandPairEstimate(T0 + stamp, *hands, camera=CAMERA, cameras=(seen, seen))
        entries.append(("/hands", T0 + stamp + 6_000_000, encoder.encode(pair, "cell", {}, (1, 0, 0))))
    entries.sort(key=lambda entry: entry[1])
    return write_bag(tmp_path_factory.mktemp("fused") / "bag", entries, {**types, "/hands": types["/cam/hands"]})


def frames(bag):
    """By topic the frames that its messages name."""
    with Reader(bag) as reader:
        messages = [(one.topic, typestore().deserialize_cdr(data, one.msgtype)) for one, _, data in reader.messages()]
    found = {}
    for topic, message in messages:
        if hasattr(message, "header"):
            found.setdefault(topic, set()).add(message.header.frame_id)
    return found


def test_no_camera_stands_where_hands_of_several_are_told(bag, tmp_path, capsys):
    h5py = pytest.importorskip("h5py", reason="HDF5 needs it (pip install 'fourdhands[dataset]')")
    code, _, said = run(capsys, "export", bag, "--out", tmp_path / "out", "--format", "hdf5", *OPTIONS)
    assert code == 0 and "no CameraInfo" not in said, said
    with h5py.File(tmp_path / "out" / "episode_000000.hdf5") as file:
        assert "camera" not in file["transforms"] and "camera" not in file and file.attrs["frame"] == "cell"
        assert not file["columns/camera.intrinsics"][()].any()
    assert run(capsys, "check", tmp_path / "out")[0] == 0
    assert run(capsys, "export", bag, "--out", tmp_path / "own", "--format", "hdf5", "--topic", "/cam/hands", "--quiet")[0] == 0
    with h5py.File(tmp_path / "own" / "episode_000000.hdf5") as file:
        assert (file["transforms/camera"][()] == np.eye(4)).all() and file["camera/intrinsic"].shape == (3, 3)


def test_there_and_back(bag, tmp_path, capsys):
    assert run(capsys, "export", bag, "--out", tmp_path / "cups", *OPTIONS)[0] == 0
    assert run(capsys, "import", tmp_path / "cups", "--out", tmp_path / "back", "--quiet")[0] == 0
    told = frames(tmp_path / "back" / "episode_000000")
    assert told == {"/hands": {"cell"}, "/cam/image_raw/compressed": {"cam_optical_frame"}}
    options = "--images", "/cam/image_raw/compressed", "--quiet"
    code, _, said = run(capsys, "export", tmp_path / "back", "--out", tmp_path / "again", *options)
    assert code == 0, said
    before, after = rows(tmp_path / "cups"), rows(tmp_path / "again")
    for name in ("observation.state", "hand.joints", "hand.betas", "hand.joints_2d", "camera.intrinsics", "stamp.pictures"):
        np.testing.assert_allclose(after[name], before[name][: len(after[name])], atol=1e-6, err_msg=name)


def test_pictures_are_not_in_the_robots_frame_that_hands_were_moved_to(bag, tmp_path, capsys, monkeypatch):
    """With --frame, as without a transform here: hands of one camera that are in another frame than its images."""
    from fourdhands_core.geometry.rigid import Rigid
    from fourdhands_ros.convert.transforms import TransformBuffer

    still = Rigid(np.eye(3), np.array([0.0, 0.0, 1.0]))
    monkeypatch.setattr(TransformBuffer, "lookup", lambda *given: still)
    words = "--topic", "/cam/hands", "--frame", "/base_link", "--quiet", "--jobs", "1"
    assert run(capsys, "export", bag, "--out", tmp_path / "cups", *words)[0] == 0
    assert run(capsys, "import", tmp_path / "cups", "--out", tmp_path / "back", "--quiet")[0] == 0
    told = frames(tmp_path / "back" / "episode_000000")
    assert told.pop("/cam/hands") == {"base_link"}
    assert set.union(*told.values()) == {"cam_optical_frame"} and "/cam/camera_info" in told
