"""Exported datasets on the page: the hands and pictures of each row, of any format; what is missing or damaged is said."""

import contextlib
import json
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from bag_support import write_bag
from ros_support import PERIOD, T0
from video_support import number_in, numbered_picture
from view_bag_support import CAMERA, KINDS, two_cameras
from view_support import HANDS, hand, moving

from fourdhands_core.cli import main
from fourdhands_core.episodes.exported import ExportedDataset
from fourdhands_core.errors import DatasetError, InputError
from fourdhands_core.hand_model.landmarks import SEEN_SIZE
from fourdhands_core.hand_model.seen_through import resized
from fourdhands_core.hand_model.skeleton import SIDES
from fourdhands_core.media.draw import draw_hands
from fourdhands_core.pipeline.types import ABSENT
from fourdhands_core.view.dataset_recording import DatasetRecording, camera_pose
from fourdhands_core.view.sights import PARTS

pytestmark = pytest.mark.skipif(find_spec("av") is None, reason="datasets need PyAV (pip install 'fourdhands[dataset]')")
ALL = dict.fromkeys(PARTS, True)
LOST = range(40, 45)


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    entries = two_cameras(60, numbered_picture, LOST)
    return write_bag(tmp_path_factory.mktemp("bag") / "cup", entries, KINDS)


def export(bag, out, *options):
    given = ["--topic", "/left/hands", "--min-seconds", "0.3", "--task", "put it away", "--quiet", *options]
    assert main(["episodes", "export", str(bag), "--out", str(out), *given]) == 0
    return ExportedDataset(out)


@pytest.fixture(scope="module")
def dataset(bag, tmp_path_factory):
    return export(bag, tmp_path_factory.mktemp("dataset") / "cups")


def check(dataset, number, first, closely=1e-5):
    """An episode's rows are the bag's images from `first` on."""
    recording = DatasetRecording(dataset, number, HANDS)
    pairs = moving(60, LOST, CAMERA)
    assert not recording.warnings and "Task: put it away." in recording.about
    assert recording.model == dataset.episodes[number].facts["facts"]["hand_model"] != ""
    for row in (len(recording.course) - 1, 0, 3, 2):
        (sight,) = recording.sights(row, ALL)
        pair, expected = sight.moment.pair, pairs[first + row]
        assert abs(pair.stamp - T0 - (first + row) * PERIOD) < 2000
        assert number_in(sight.image) == first + row
        for one, other in zip(pair.hands, expected.hands):
            np.testing.assert_allclose(one.joints, other.joints, atol=closely)
            np.testing.assert_allclose(one.wrist_rotation, other.wrist_rotation, atol=10 * closely)
            np.testing.assert_allclose(one.joints_2d, other.joints_2d, atol=0.01)
        np.testing.assert_allclose(pair.camera.matrix, CAMERA.matrix, rtol=1e-6)
    while recording.advance():
        pass
    assert recording.course.read == len(recording.course)
    recording.close()


@pytest.mark.parametrize("form", ["lerobot", "hdf5", "npz"])
def test_rows_are_those_of_the_bag(bag, tmp_path, form):
    dataset = export(bag, tmp_path / "cups", "--format", form)
    assert [episode.task for episode in dataset.episodes] == ["put it away"] * 2 and not dataset.moved
    check(dataset, 0, 0)
    check(dataset, 1, 45)


def test_hands_in_a_robots_frame_are_shown_in_the_cameras(bag, tmp_path, closing):
    """Which is found from where their joints are seen."""
    dataset = export(bag, tmp_path / "cups", "--frame", "base_link")
    assert dataset.moved
    check(dataset, 0, 0, 1e-4)
    recording = closing(DatasetRecording(dataset, 0, HANDS))
    assert "Positions are in base_link; they are shown in the camera's." in recording.about


@contextlib.contextmanager
def table_of(dataset):
    """The columns of its first episode, of numpy's format: written back as they are left."""
    path = dataset.path / "episode_000000.npz"
    with np.load(path) as file:
        table = dict(file)
    yield table
    np.savez(path, **table)


def test_hands_in_a_robots_frame_of_a_mirrored_camera(bag, tmp_path, closing):
    """They stand in the frame as any camera's; it is their pixels that lie mirrored, by which the camera is placed."""
    dataset = export(bag, tmp_path / "cups", "--frame", "base_link", "--format", "npz")
    straight = closing(DatasetRecording(dataset, 0, HANDS)).moment(2).pair
    with table_of(dataset) as table:
        pixels = table["hand.joints_2d"].reshape(-1, 42, 2)
        pixels[..., 0] = CAMERA.width - 1.0 - pixels[..., 0]
    mirrored = closing(DatasetRecording(dataset, 0, HANDS)).moment(2).pair
    assert mirrored.mirrored and not straight.mirrored
    for one, other in zip(mirrored.hands, straight.hands):
        np.testing.assert_allclose(one.joints, other.joints, atol=1e-4)


def test_hands_of_fused_cameras_have_no_place_in_a_picture(bag, tmp_path, closing):
    """They have no pixels: they are not drawn on a picture of one of the cameras, and it is said that they are not its."""
    dataset = export(bag, tmp_path / "cups", "--format", "npz")
    with table_of(dataset) as table:
        table["hand.joints_2d"][:] = 0.0
    recording = closing(DatasetRecording(ExportedDataset(dataset.path), 0, HANDS))
    (sight,) = recording.sights(2, ALL)
    assert "hands are in the dataset's frame" in sight.moment.notes[0]
    before = sight.image.copy()
    draw_hands(sight.image, sight.moment.pair)
    np.testing.assert_array_equal(sight.image, before)


def test_how_far_a_picture_is_off_its_row_is_told_of_the_camera_that_is_shown(bag, tmp_path, closing):
    dataset = export(bag, tmp_path / "cups", "--format", "npz")
    with table_of(dataset) as table:
        table["stamp.pictures"] = np.repeat(table["stamp.pictures"].reshape(-1, 1), 2, axis=1) - [10**9, 0]
    dataset.features["stamp.pictures"]["names"].insert(0, "another")
    recording = closing(DatasetRecording(dataset, 0, HANDS))
    assert recording.moment(2).notes == ()


def test_lost_hands_are_absent(bag, tmp_path, closing):
    recording = closing(DatasetRecording(export(bag, tmp_path / "cups", "--split", "bag", "--min-valid", "0.5"), 0, HANDS))
    assert [recording.moment(row).pair.left.state == ABSENT for row in (38, 41, 46)] == [False, True, False]
    assert recording.moment(41).pair.right.valid


def test_a_missing_or_damaged_video(bag, tmp_path, closing):
    """The hands are shown, and what is wrong is said; in the report too."""
    dataset = export(bag, tmp_path / "cups")
    (path, _), *_ = dataset.episodes[0].videos.values()
    (other, _), *_ = dataset.episodes[1].videos.values()
    whole = path.read_bytes()
    path.unlink()
    other.write_bytes(whole[: len(whole) // 2])
    recording = closing(DatasetRecording(dataset, 0, HANDS))
    assert recording.image(3) is None and recording.moment(3).pair.left.valid
    assert f"the video {path} is not there; export the dataset again" in recording.warnings[0]
    recording = closing(DatasetRecording(dataset, 1, HANDS))
    assert any(f"the video {other} cannot be read" in warning for warning in recording.warnings)
    assert main(["report", str(tmp_path / "cups"), "--out", str(tmp_path / "r.html"), "--quiet"]) == 0
    assert "is not there; export the dataset again" in (tmp_path / "r.html").read_text()


def test_which_pictures(dataset, closing):
    with pytest.raises(InputError, match="has no pictures other; cameras are: left"):
        DatasetRecording(dataset, 0, HANDS, "other")
    recording = closing(DatasetRecording(dataset, 0, HANDS, "left"))
    assert number_in(recording.image(2)) == 2


def test_datasets_without_pictures(bag, tmp_path, closing):
    recording = closing(DatasetRecording(export(bag, tmp_path / "cups", "--no-images"), 0, HANDS))
    assert recording.image(0) is None and recording.warnings == ["no images: the dataset was exported without"]
    np.testing.assert_allclose(recording.moment(0).pair.camera.matrix[0, 0], CAMERA.matrix[0, 0])


@pytest.mark.parametrize(
    "spoil, words",
    [
        ("info", "is no LeRobotDataset: meta/info.json cannot be read"),
        ("episodes", "meta/episodes cannot be read"),
        ("data", "is cut off or damaged .*; export or download it again"),
        ("columns", "holds no hands: it lacks the columns hand.mano, .*`fourdhands episodes import`"),
    ],
)
def test_damaged_datasets(bag, tmp_path, spoil, words):
    dataset = export(bag, tmp_path / "cups")
    info = dataset.path / "meta" / "info.json"
    if spoil == "columns":
        said = json.loads(info.read_text())
        del said["features"]["hand.mano"]
        info.write_text(json.dumps(said))
    else:
        (file,) = {
            "info": [info],
            "episodes": dataset.path.glob("meta/episodes/*/*.parquet"),
            "data": dataset.path.glob("data/*/*.parquet"),
        }[spoil]
        file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(DatasetError, match=words):
        DatasetRecording(ExportedDataset(dataset.path), 0, HANDS)


@pytest.mark.parametrize("form", ["hdf5", "npz"])
def test_damaged_files_of_episodes(bag, tmp_path, form, capsys):
    dataset = export(bag, tmp_path / "cups", "--format", form)
    (file,) = dataset.path.glob("episode_000000.[hn]*")
    assert main(["report", str(file), "--out", str(tmp_path / "r.html"), "--quiet"]) == 2
    assert f"{file} is a file of the dataset {dataset.path}; give that folder, with --episode" in capsys.readouterr().err
    file.write_bytes(file.read_bytes()[:100])
    assert main(["report", str(dataset.path), "--out", str(tmp_path / "r.html"), "--quiet"]) == 2
    assert "episode_000000 is cut off or damaged" in capsys.readouterr().err
    (dataset.path / "index.json").write_text('{"fps": 30}')
    with pytest.raises(DatasetError, match="is damaged"):
        ExportedDataset(dataset.path)


def test_a_camera_is_placed_by_what_it_sees():
    pair = moving(3)[2]
    pose, off = camera_pose(pair)
    assert off < 1e-3
    np.testing.assert_allclose(pose.rotation, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(pose.position, 0.0, atol=1e-6)
    smaller = (replace(one, joints_2d=pair.camera.project(resized(one.joints, SEEN_SIZE))) for one in pair.hands)
    pose, off = camera_pose(replace(pair, **dict(zip(SIDES, smaller))), size=SEEN_SIZE)
    assert off < 1e-3 and np.abs(pose.position).max() < 1e-6
    nothing = replace(pair, left=hand(0, state=ABSENT), right=replace(pair.right, joints_2d=np.zeros((21, 2))))
    assert camera_pose(nothing) is None  # a dataset has zeros where there is nothing
