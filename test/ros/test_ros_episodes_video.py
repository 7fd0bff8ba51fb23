"""A raw video as a demonstration: its hands are what `fourdhands track` finds in it, its frames the pictures."""

from importlib.util import find_spec

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="datasets are made by the ROS side (pip install 'fourdhands[ros]')")

from bag_support import rendered  # noqa: F401
from episode_support import files, rows, run, told

from fourdhands_core import cli
from fourdhands_core.episodes.reading import Dataset
from fourdhands_core.media.hands_file import read_hands
from fourdhands_core.media.video import VideoReader, VideoWriter
from fourdhands_core.pipeline.shape_calibration import save_shape

pytestmark = pytest.mark.skipif(not find_spec("pyarrow"), reason="datasets need pyarrow (pip install 'fourdhands[dataset]')")
FOV = "64"


@pytest.fixture(scope="module")
def video(rendered, tmp_path_factory):
    path = tmp_path_factory.mktemp("videos") / "cup.mp4"
    with VideoWriter(path, 30.0) as writer:
        for _, image in rendered.images:
            writer.write(image)
    return path


def test_a_video_becomes_a_dataset(video, rendered, tmp_path, capsys):
    """With the hands that are tracked in it, its frames and its lens; the same command does nothing, another lens another."""
    command = (
        "export",
        video,
        "--out",
        tmp_path / "cups",
        "--fov",
        FOV,
        "--task",
        "lift",
        "--min-seconds",
        "0.3",
        "--depth",
        "none",
    )
    code, _, said = run(capsys, *command)
    assert code == 0, said
    assert cli.main(["track", str(video), "--out", str(tmp_path / "track"), "--fov", FOV, "--lookahead", "4", "--quiet"]) == 0
    table, hands = rows(tmp_path / "cups"), read_hands(tmp_path / "track" / "hands.npz")
    frames = [np.flatnonzero(hands["stamp"] == stamp - 1_000_000_000).item() for stamp in table["stamp.hands"].ravel()]
    assert len(frames) >= 9 and table["hand.valid"].any() and table["hand.scaled"].all()
    np.testing.assert_array_equal(table["hand.valid"], hands["valid"][frames])
    joints = np.where(hands["valid"][frames][..., None, None], hands["joints"][frames], 0.0)
    np.testing.assert_allclose(table["hand.joints"].reshape(joints.shape), joints, atol=1e-6)
    matrix = rendered.camera.matrix
    np.testing.assert_allclose(table["camera.intrinsics"][0], matrix[[0, 1, 0, 1], [0, 1, 2, 2]], atol=1e-3)
    with VideoReader(video) as reader:
        images = [image for _, image in reader]
    shown = list(Dataset(tmp_path / "cups").pictures(0, "observation.images.camera"))
    for picture, number in zip(shown, frames):
        assert np.abs(picture.astype(int) - images[number]).mean() < 6
    assert len(shown) == (table["episode_index"] == 0).sum()
    assert told(tmp_path / "cups")["bags"][0]["bag"] == "cup.mp4"
    before = files(tmp_path / "cups")
    code, out, _ = run(capsys, *command)
    assert code == 0 and "nothing was done" in out and files(tmp_path / "cups") == before
    code, _, said = run(capsys, *command[:5], "70", *command[6:])
    assert code == 2 and "of other bags or options" in said
    code, _, said = run(capsys, *command, "--format", "npz")
    assert code == 2 and "is there already, in the format lerobot; choose another --out for npz" in said
    assert files(tmp_path / "cups") == before


def test_the_hands_have_the_shape_that_was_calibrated_live(video, tmp_path, capsys):
    """In the dataset and in the result of track: where the camera saw the person before, the hands are of the same size."""
    file, betas = tmp_path / "ann.yaml", np.array([1.5, -0.5, *[0.0] * 8])
    save_shape(file, betas, "human")
    given = "--fov", FOV, "--hand-shape", str(file), "--quiet"
    code, _, said = run(capsys, "export", video, "--out", tmp_path / "cups", "--min-seconds", "0.3", *given)
    assert code == 0, said
    assert cli.main(["track", str(video), "--out", str(tmp_path / "track"), "--lookahead", "4", *given]) == 0
    table, hands = rows(tmp_path / "cups"), read_hands(tmp_path / "track" / "hands.npz")
    assert hands["valid"].sum() > 20 and table["hand.valid"].any()
    np.testing.assert_allclose(hands["betas"][hands["valid"]], np.broadcast_to(betas, (hands["valid"].sum(), 10)), atol=1e-6)
    frames = [np.flatnonzero(hands["stamp"] == stamp - 1_000_000_000).item() for stamp in table["stamp.hands"].ravel()]
    joints = np.where(hands["valid"][frames][..., None, None], hands["joints"][frames], 0.0)
    np.testing.assert_allclose(table["hand.joints"].reshape(joints.shape), joints, atol=1e-6)


def test_what_a_video_has_not(video, tmp_path, capsys):
    given = {"frame": "base", "topic": "/x", "robot": "/r", "split": "topic:/m", "images": "/i", "depth": "/d"}
    for option, value in {**given, "camera-info": "/c", "mirrored-cameras": "left"}.items():
        code, _, said = run(capsys, "export", video, "--out", tmp_path / "out", f"--{option}", value, "--quiet")
        assert code == 2 and f"--{option} {value}" in said and "is a video" in said
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "cup.mp4").write_bytes(video.read_bytes())
    code, _, said = run(capsys, "export", tmp_path / "folder", "--out", tmp_path / "out")
    assert code == 2 and "videos are given by themselves, as" in said
    (tmp_path / "cut.mp4").write_bytes(video.read_bytes()[:2000])
    assert run(capsys, "export", tmp_path / "cut.mp4", "--out", tmp_path / "out", "--quiet")[0] == 2
    assert "is a video" in run(capsys, "list", video)[2]  # bags' commands have no use for it


def test_without_a_lens_it_is_told(video, tmp_path, capsys):
    code, _, said = run(capsys, "export", video, "--out", tmp_path / "out", "--no-images", "--min-seconds", "0.3")
    assert code == 0 and "not calibrated" in said
    table = rows(tmp_path / "out")
    assert not table["hand.scaled"].any() and not Dataset(tmp_path / "out").cameras
