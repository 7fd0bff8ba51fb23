"""Datasets in each format: the same bytes on every run, names as EgoDex has them, and a check that sees damage."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="bags need ROS 2 (pip install 'fourdhands[ros]')")

from bag_support import camera_entries, read_bag, rendered, write_bag  # noqa: F401
from episode_support import CAMERA, Demonstration, bags, exported, files, hand, number_in, rows, run, told  # noqa: F401
from ros_support import SECOND, T0

from fourdhands_core.episodes.check import check_dataset
from fourdhands_core.geometry.rotations import matrix_from_axis_angle
from fourdhands_ros.episodes.export import export
from fourdhands_ros.episodes.importing import import_dataset
from fourdhands_ros.episodes.options import Options

pytestmark = pytest.mark.skipif(not find_spec("av"), reason="datasets need PyAV (pip install 'fourdhands[dataset]')")


@pytest.mark.parametrize("form", ["lerobot", "hdf5", "npz"])
def test_every_format_is_the_same_again_and_passes_the_check(bags, tmp_path, capsys, form):
    for name in ("one", "two"):
        jobs = 2 if (name, form) == ("two", "lerobot") else 1
        code, _, said = run(capsys, "export", bags, "--out", tmp_path / name, "--format", form, "--quiet", "--jobs", jobs)
        assert code == 0, said
    assert files(tmp_path / "one") == files(tmp_path / "two")
    code, out, said = run(capsys, "check", tmp_path / "one")
    assert code == 0 and "3 episodes" in out, said
    card = (tmp_path / "one" / "card.html").read_text()
    assert (
        "right hand not seen" in card
        and "data:image/jpeg;base64" in card
        and "://" not in card.replace("http://www.w3.org", "")
    )


def test_hdf5_has_egodexs_names(tmp_path, capsys):
    """As its readers take them: poses (N, 4, 4) in the frame that transforms/camera is in, of a hand that is not there NaN."""
    h5py = pytest.importorskip("h5py", reason="HDF5 needs it (pip install 'fourdhands[dataset]')")
    bag = Demonstration(seconds=2, there=lambda side, seconds: side == 1).write(tmp_path / "bag")
    words = "--format", "hdf5", "--task", "pour", "--quiet", "--no-images"
    assert run(capsys, "export", bag, "--out", tmp_path / "out", *words)[0] == 0
    with h5py.File(tmp_path / "out" / "episode_000000.hdf5") as file:
        poses, told = {name: pose[()] for name, pose in file["transforms"].items()}, file["columns"]
        joints = told["hand.joints"][()].reshape(-1, 2, 21, 3)[:, 1]
        fingers = [f"{finger}Finger" for finger in ("Index", "Middle", "Ring", "Little")]
        bones = ("Knuckle", "IntermediateBase", "IntermediateTip", "Tip")
        names = ["Hand", *(f"{finger}{bone}" for finger in ("Thumb", *fingers) for bone in bones)]
        assert poses.keys() == {"camera", *(f"{side}{name}" for side in ("left", "right") for name in names)}
        for number, name in enumerate(names):
            pose = poses[f"right{name}"]
            np.testing.assert_allclose(pose[:, :3, 3], joints[:, number], atol=1e-6)
            np.testing.assert_allclose(
                pose[:, :3, :3] @ pose[:, :3, :3].swapaxes(1, 2), np.tile(np.eye(3), (len(pose), 1, 1)), atol=1e-5
            )
            assert np.isnan(poses[f"left{name}"][:, :3]).all()
            assert file[f"confidences/right{name}"].shape == (len(pose),) and not file[f"confidences/left{name}"][()].any()
        one = hand(1, (told["stamp.hands"][0, 0] - T0) / SECOND)
        first, second = (matrix_from_axis_angle(one.hand_pose.reshape(15, 3)[k]) for k in range(2))  # MANO's index finger
        np.testing.assert_allclose(poses["rightHand"][0, :3, :3], one.wrist_rotation, atol=1e-6)
        np.testing.assert_allclose(
            poses["rightIndexFingerIntermediateBase"][0, :3, :3], one.wrist_rotation @ first @ second, atol=1e-5
        )
        assert (poses["camera"] == np.eye(4)).all() and file["camera/intrinsic"].shape == (3, 3)
        attributes = file["transforms/rightThumbKnuckle"].attrs
        assert (attributes["side"], attributes["joint"]) == ("right", "thumb_1")
        assert file.attrs["llm_description"] == file.attrs["task"] == "pour" and file.attrs["llm_type"] != "reversible"


def test_hdf5_as_egodexs_files_lie(bags, tmp_path, capsys):
    """The video of a single camera is called as the file, and what is changed in EgoDex's groups alone is found."""
    h5py = pytest.importorskip("h5py", reason="HDF5 needs it (pip install 'fourdhands[dataset]')")
    assert run(capsys, "export", bags / "bag_10", "--out", tmp_path / "out", "--format", "hdf5", "--quiet")[0] == 0
    assert {path.name for path in (tmp_path / "out").glob("episode*")} == {"episode_000000.hdf5", "episode_000000.mp4"}
    code, out, said = run(capsys, "check", tmp_path / "out")
    assert code == 0 and "1 episode, 60 rows, 1 camera" in out, said
    with h5py.File(tmp_path / "out" / "episode_000000.hdf5", "r+") as file:
        assert file["camera/intrinsic"][0, 0] == pytest.approx(CAMERA.matrix[0, 0])
        group = file["transforms"]
        group.move("leftHand", "aside"), group.move("rightHand", "leftHand"), group.move("aside", "rightHand")
        del file["camera/intrinsic"]
    code, _, said = run(capsys, "check", tmp_path / "out")
    assert code == 1 and all(f"transforms/{side}Hand is other than columns/ says" in said for side in ("left", "right"))
    assert "camera/intrinsic is missing" in said
    nobody_told = Demonstration(seconds=1.5, images=False, robot=False).write(tmp_path / "bag")
    assert run(capsys, "export", nobody_told, "--out", tmp_path / "none", "--format", "hdf5", "--quiet")[0] == 0
    with h5py.File(tmp_path / "none" / "episode_000000.hdf5") as file:
        assert "camera" not in file
    assert run(capsys, "check", tmp_path / "none")[0] == 0


@pytest.mark.parametrize("form", ["lerobot", "hdf5", "npz"])
def test_any_name_of_a_folder(bags, tmp_path, monkeypatch, form):
    """FFmpeg takes 13:00/... for an address, and pyarrow takes no letters that are not Unicode's."""
    monkeypatch.chdir(tmp_path)
    out = Path("13:00 cups \udcff")
    assert export([bags / "bag_10"], out, Options(), form, jobs=1, quiet=True).episodes == 1
    assert check_dataset(out)[1] == []
    if form == "lerobot":
        import_dataset(out, Path("back:\udcff"), quiet=True)
        assert export([Path("back:\udcff")], Path("again"), Options(), jobs=1, quiet=True).episodes == 1


@pytest.mark.parametrize("form, text", [("lerobot", "meta/info.json"), ("npz", "index.json")])
def test_a_dataset_that_does_not_say_what_it_holds_is_told(form, text, bags, tmp_path, capsys):
    assert run(capsys, "export", bags, "--out", tmp_path / "out", "--format", form, "--no-images", "--quiet")[0] == 0
    whole = json.loads((tmp_path / "out" / text).read_text())
    for name in whole.keys() & {"total_frames", "data_path", "features", "episodes"}:
        (tmp_path / "out" / text).write_text(json.dumps({key: value for key, value in whole.items() if key != name}))
        code, _, said = run(capsys, "check", tmp_path / "out")
        assert code == 2 and name in said, said
        if form == "lerobot" and name != "total_frames":
            code, _, said = run(capsys, "import", tmp_path / "out", "--out", tmp_path / "bags")
            assert code == 2 and name in said and "Traceback" not in said, said


def test_a_damaged_dataset_does_not_pass(exported, tmp_path, capsys):
    damaged = shutil.copytree(exported, tmp_path / "damaged")
    video = next((damaged / "videos").rglob("*.mp4"))
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    statistics = json.loads((damaged / "meta" / "stats.json").read_text())
    for changed, words in (
        ({**statistics, "index": {"count": [7]}}, "meta/stats.json is of other rows: index"),
        ({name: one for name, one in statistics.items() if name != "action"}, "meta/stats.json says nothing of action"),
    ):
        (damaged / "meta" / "stats.json").write_text(json.dumps(changed))
        code, _, said = run(capsys, "check", damaged)
        assert code == 1 and words in said and "file-000.mp4 is cut off or damaged" in said and "Errno" not in said, said
    for name in ("stats.json", "tasks.parquet"):
        (damaged / "meta" / name).unlink()
    code, _, said = run(capsys, "check", damaged)
    assert code == 1 and "meta/stats.json is missing" in said and "meta/tasks.parquet is missing" in said
