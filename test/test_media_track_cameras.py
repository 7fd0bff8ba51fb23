"""The videos of several cameras at once: one pair of hands in the fixed frame, where the cameras stand, what is refused."""

import re
from dataclasses import replace

import numpy as np
import pytest
from fusion_support import ASSETS, CAMERA, HANDS, STEP, Scene, SceneTracker
from program_support import in_process
from video_support import plain_video

from fourdhands_core import cli
from fourdhands_core.commands import cameras
from fourdhands_core.errors import InputError
from fourdhands_core.fusion.rig import Rig, load_rig
from fourdhands_core.fusion.rig.extrinsics import calibrate, compare
from fourdhands_core.geometry.camera_source import CameraSource
from fourdhands_core.media.track_cameras import CameraVideo, collect, track_cameras, watch
from fourdhands_core.perception.detector import Detector
from fourdhands_core.pipeline import shape_calibration
from fourdhands_core.pipeline.shape_calibration import hand_length, save_shape
from fourdhands_core.pipeline.tracker import HandPairTracker

COUNT = 75
NAMES = ["left", "right"]


@pytest.fixture
def videos(tmp_path):
    for name in NAMES:
        plain_video(tmp_path / f"{name}.mp4", COUNT * [0], (CAMERA.width, CAMERA.height), fps=15)
    return [CameraVideo(name, tmp_path / f"{name}.mp4", CameraSource(65.0, fov=60.0)) for name in NAMES]


def rig(scene, names=NAMES):
    return Rig("cell", dict(zip(names, scene.poses)))


def test_hands_in_the_fixed_frame_and_each_cameras_own(videos, tmp_path):
    scene = Scene()
    summary = track_cameras(videos, rig(scene), tmp_path / "out", SceneTracker(scene), progress=False)
    assert summary.frames == summary.both == COUNT and summary.left_out == {} and summary.problems == []
    fused = np.load(tmp_path / "out" / "hands.npz")
    moments = np.round(fused["stamp"] * 1e-9 * STEP).astype(int)
    truth = np.array([scene.truth(moment)[:, 0] for moment in moments])
    off = np.linalg.norm(fused["joints"][:, :, 0] - truth, axis=-1)
    assert off[5:].mean() < 0.008 and np.isnan(fused["joints_2d"]).all()
    alone = np.load(tmp_path / "out" / "right" / "hands.npz")["joints"][:, :, 0]
    assert np.linalg.norm(scene.poses[1].apply(alone) - truth, axis=-1).mean() > 0.03


def test_where_the_cameras_stand_is_found_from_the_videos(videos):
    scene = Scene(distance=0.6)
    distance = float(np.linalg.norm(scene.poses[0].position - scene.poses[1].position))
    found = calibrate(collect(watch(videos, SceneTracker(scene), progress=False)), ASSETS, distance=distance)
    assert list(found.poses) == NAMES
    difference = compare(rig(scene).poses, found)["right"]
    assert difference.angle < 1.0 and difference.baseline < 0.03


def test_the_persons_known_shape_tells_the_scale(videos, tmp_path, monkeypatch, capsys):
    """As a hand's length does."""
    scene = Scene(distance=0.6)
    monkeypatch.setattr(SceneTracker, "hands", HANDS, raising=False)
    monkeypatch.setattr(shape_calibration, "HandPairTracker", lambda settings: SceneTracker(scene))
    save_shape(tmp_path / "person.yaml", scene.betas[1], "generic")
    given = "calibrate-cameras", *(video.path for video in videos), "--fov", 60, "--quiet", "--hand-model", "generic"
    wanted = "--out", tmp_path / "rig.yaml", "--hand-shape", tmp_path / "person.yaml"
    code, told, error = in_process(capsys, cli.main, *given, *wanted)
    assert code == 0 and f"a hand of {1e3 * hand_length(HANDS, scene.betas[1]):.0f} mm" in told, error
    true = np.linalg.norm(scene.poses[0].position - scene.poses[1].position)
    found = np.linalg.norm(load_rig(tmp_path / "rig.yaml").poses["right"].position)
    assert abs(found / true - 1.0) < 0.01  # 4 % less where nothing is known of the person


def refused(videos, scene, tmp_path, words, poses=None, out=None, tracker=None):
    before = {video.name: video.path.read_bytes() for video in videos}
    with pytest.raises(InputError, match=words):
        track_cameras(videos, poses or rig(scene), out or tmp_path / "out", tracker or SceneTracker(scene), progress=False)
    assert before == {video.name: video.path.read_bytes() for video in videos}
    assert not (tmp_path / "out").exists()


def test_what_is_refused_leaves_nothing(videos, tmp_path):
    scene = Scene()
    refused(videos, scene, tmp_path, "no pose of a camera right; the file names left, top", rig(scene, ["left", "top"]))
    unknown = [videos[0], CameraVideo("right", videos[1].path, CameraSource(65.0, unknown="no option was given"))]
    refused(unknown, scene, tmp_path, "the lens of right is not known", tracker=Uncalibrated(scene))
    twice = [videos[0], CameraVideo("right", videos[0].path, videos[1].lens)]
    refused(twice, scene, tmp_path, f"left and right would both be {re.escape(str(videos[0].path))}, .*each camera's own video")
    empty = tmp_path / "empty.mp4"
    empty.write_bytes(b"")
    refused([videos[0], CameraVideo("right", empty, videos[1].lens)], scene, tmp_path, "empty.mp4")


def test_a_tracker_with_one_detector_is_refused(videos, tmp_path):
    """Cameras after the first would be looked at with another one."""
    tracker = HandPairTracker(detector=Nothing())
    try:
        refused(videos, Scene(), tmp_path, "made with one detector, and another camera needs its own", tracker=tracker)
    finally:
        tracker.close()


class Uncalibrated(SceneTracker):
    """Its estimates are of the camera that it is given."""

    def for_another_camera(self):
        return Uncalibrated(self.scene, 1)

    def estimate(self, frame, with_vertices=False):
        estimate = super().estimate(frame)
        return replace(estimate, camera=frame.camera)


class Nothing(Detector):
    """A detector that sees no hand."""

    def detect(self, image, stamp):
        return []


@pytest.mark.parametrize(
    "sources, first",
    [
        (["/left/image_raw", "/b/top/image_raw/compressed", "/right/image_raw"], "left b/top right"),
        (["BAG"], "b/top left right"),
        (["BAG", "--topic", "/right/image_raw", "--topic", "/b/top/image_raw"], "right b/top left"),
        (["right.mp4", "left.mp4", "top.mp4", "--names", "right", "left", "b/top", "--fov", "60"], "right left b/top"),
    ],
)
def test_the_first_camera_is_the_one_given_first(sources, first, monkeypatch):
    """It was the one whose images came first: poses were in its frame, and --distance was between it and the next to come."""
    scene = Scene()
    came = [(name, *_seen_by(scene, k)) for k, name in enumerate(("right", "b/top", "left"))]
    monkeypatch.setattr(cameras, "_seen", lambda *_: iter(came))
    given = []
    monkeypatch.setattr("fourdhands_core.fusion.rig.extrinsics.calibrate", lambda seen, *_: given.extend(seen) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["calibrate-cameras", *sources, "--distance", "0.4"])
    assert given == first.split()


def _seen_by(scene, number):
    view = scene.view(number % 2, 0)
    return view.estimate, view.rays
