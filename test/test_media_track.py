"""Tracking a video to files: the layout of hands.npz, NaN where invalid, interruption, the camera's options."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from video_support import plain_video, write_damaged

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera_source import CameraSource
from fourdhands_core.media.images import write_image
from fourdhands_core.media.track_video import camera_for_video, track_video
from fourdhands_core.media.video import VideoReader
from fourdhands_core.pipeline.frame import Frame
from fourdhands_core.pipeline.types import ABSENT, TRACKED, HandEstimate, HandPairEstimate

SHAPES = {
    "stamp": (),
    "valid": (2,),
    "scaled": (),
    "confidence": (2,),
    "joints": (2, 21, 3),
    "joints_2d": (2, 21, 2),
    "joint_confidence": (2, 21),
    "wrist_rotation": (2, 3, 3),
    "hand_pose": (2, 45),
    "betas": (2, 10),
    "left_root_relative": (3,),
}


class ScriptedTracker:
    """Left hand in even frames, right hand in every third; every number says which frame and side it is of."""

    faces = (np.zeros((1, 3), int), np.zeros((1, 3), int))

    def __init__(self, interrupt_at=None, lookahead=0):
        self.calls, self.interrupt_at, self.cameras = 0, interrupt_at, []
        self.lookahead, self.pending = lookahead, []

    def observe(self, image, stamp, camera, first=False):
        if self.calls == self.interrupt_at:
            raise KeyboardInterrupt
        self.cameras.append(camera)
        return Frame(stamp, camera, [], first=first)

    def estimate(self, frame, with_vertices=False):
        number, self.calls = self.calls, self.calls + 1
        hands = tuple(self.hand(side, number) for side in (0, 1))
        both = hands[0].valid and hands[1].valid
        self.pending.append(HandPairEstimate(frame.stamp, *hands, frame.camera, np.full(3, float(number)) if both else None))
        return self.flush() if len(self.pending) > self.lookahead else None

    def flush(self, with_vertices=False):
        return self.pending.pop(0) if self.pending else None

    def hand(self, side, frame):
        if frame % (2 + side):
            return HandEstimate(side, False, ABSENT, np.nan)
        value = 100.0 * side + frame
        return HandEstimate(
            side,
            True,
            TRACKED,
            0.0,
            0.9,
            np.full((21, 3), value),
            np.full((21, 3), value),
            np.full((21, 2), value),
            np.full(21, 0.8),
            np.eye(3) * value,
            np.full(3, value),
            np.full(45, value),
            np.full(10, value),
        )


@pytest.fixture
def video(tmp_path):
    return plain_video(tmp_path / "in.mp4", range(0, 210, 30), fps=25)


def test_hands_npz_has_every_key_and_nan_exactly_where_invalid(video, tmp_path, capsys):
    cameras = CameraSource(65.0, unknown="no option was given")
    summary = track_video(video, tmp_path / "out", ScriptedTracker(), cameras, progress=False)
    said = capsys.readouterr().err
    assert said.count("no option was given") == 1 and "not metres" in said
    with np.load(tmp_path / "out" / "hands.npz") as file:
        hands = dict(file)
    assert set(hands) == set(SHAPES)
    for name, shape in SHAPES.items():
        assert hands[name].shape == (7, *shape), name
    assert hands["stamp"].dtype == np.int64 and hands["valid"].dtype == bool and not hands["scaled"].any()
    np.testing.assert_allclose(hands["stamp"], np.arange(7) * 40_000_000, atol=1)
    expected = np.array([[frame % 2 == 0, frame % 3 == 0] for frame in range(7)])
    np.testing.assert_array_equal(hands["valid"], expected)
    for name in set(SHAPES) - {"stamp", "valid", "scaled", "left_root_relative"}:
        finite = np.isfinite(hands[name]).reshape(7, 2, -1)
        np.testing.assert_array_equal(finite, np.broadcast_to(expected[..., None], finite.shape), err_msg=name)
    np.testing.assert_array_equal(np.isfinite(hands["left_root_relative"]).all(1), expected.all(1))
    assert (hands["hand_pose"][3, 1] == 103).all() and (hands["betas"][4, 0] == 4).all()
    assert (summary.frames, summary.left, summary.right, summary.both) == (7, 4, 3, 2)
    assert len(list(VideoReader(tmp_path / "out" / "overlay.mp4"))) == 7
    assert cv2.imread(str(tmp_path / "out" / "contact_sheet.png")) is not None


def test_lookahead_loses_no_frame_and_no_order(video, tmp_path):
    for lookahead, stop, frames in ((3, None, 7), (3, 5, 5), (20, None, 7)):
        out = tmp_path / f"{lookahead}-{stop}"
        track_video(video, out, ScriptedTracker(stop, lookahead), CameraSource(65.0), progress=False)
        np.testing.assert_allclose(np.load(out / "hands.npz")["stamp"], np.arange(frames) * 40_000_000, atol=1)
        assert len(list(VideoReader(out / "overlay.mp4"))) == frames


def test_an_interrupt_still_writes_what_was_tracked(video, tmp_path):
    summary = track_video(video, tmp_path / "out", ScriptedTracker(interrupt_at=4), CameraSource(65.0), progress=False)
    assert summary.ended_by and summary.frames == 4
    assert len(np.load(tmp_path / "out" / "hands.npz")["stamp"]) == 4
    assert len(list(VideoReader(tmp_path / "out" / "overlay.mp4"))) == 4
    assert (tmp_path / "out" / "contact_sheet.png").is_file()


def test_an_interrupt_before_the_first_frame_leaves_empty_arrays(video, tmp_path):
    summary = track_video(video, tmp_path / "out", ScriptedTracker(interrupt_at=0), CameraSource(65.0), progress=False)
    assert summary.ended_by and summary.frames == 0
    hands = np.load(tmp_path / "out" / "hands.npz")
    assert all(hands[name].shape == (0, *shape) for name, shape in SHAPES.items())


def test_the_camera_comes_from_fov_or_scaled_intrinsics(video, tmp_path):
    calibration = tmp_path / "camera.yaml"
    calibration.write_text(
        "image_width: 640\nimage_height: 480\n"
        "camera_matrix: {rows: 3, cols: 3, data: [500, 0, 320, 0, 500, 240, 0, 0, 1]}\n"
        "distortion_model: plumb_bob\ndistortion_coefficients: {rows: 1, cols: 5, data: [0.1, 0, 0, 0, 0]}\n"
    )
    camera = camera_for_video(320, 240, intrinsics=calibration)
    assert camera.matrix[0, 0] == 250 and camera.distortion[0] == 0.1
    tracker = ScriptedTracker()
    track_video(video, tmp_path / "out", tracker, CameraSource(65.0, fov=90.0), progress=False)
    assert tracker.cameras[0].matrix[0, 0] == pytest.approx(32.0) and tracker.cameras[0].calibrated
    assert np.load(tmp_path / "out" / "hands.npz")["scaled"].all()
    assert camera_for_video(320, 240) is None
    with pytest.raises(InputError, match="proportions"):
        camera_for_video(1280, 720, intrinsics=calibration)
    with pytest.raises(InputError, match="one of them"):
        camera_for_video(640, 480, 60.0, calibration)


def test_a_missing_video_makes_no_folder(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        track_video(tmp_path / "none.mp4", tmp_path / "out", ScriptedTracker(), CameraSource(65.0), progress=False)
    assert not (tmp_path / "out").exists()


def test_frames_that_cannot_be_used_are_counted_and_a_video_of_nothing_else_is_an_error(video, tmp_path, capsys):
    tracker = ScriptedTracker()
    observe, tracker.observe = tracker.observe, None
    with pytest.raises(InputError, match="no frame of .* could be used"):
        track_video(video, tmp_path / "out", tracker, CameraSource(65.0, fov=60.0), progress=False)

    def now_and_then(image, stamp, camera, first=False):
        if len(tracker.cameras) == 3:
            tracker.cameras.append(camera)
            raise InputError("this one is not")
        return observe(image, stamp, camera, first)

    tracker.observe = now_and_then
    summary = track_video(video, tmp_path / "out", tracker, CameraSource(65.0, fov=60.0), progress=False)
    assert summary.frames == 6 and summary.refused == {"input": 1} and "1 refused (input)" in str(summary)
    assert "this one is not" in capsys.readouterr().err


def test_a_video_without_hands_is_told(video, tmp_path, capsys):
    tracker = ScriptedTracker()
    tracker.hand = lambda side, number: HandEstimate(side, False, ABSENT, np.nan)
    summary = track_video(video, tmp_path / "out", tracker, CameraSource(65.0, fov=60.0), progress=False)
    assert (summary.frames, summary.left, summary.right) == (7, 0, 0)
    assert f"no hand was seen in any of the 7 images of {video}; look at them" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["overlay.mp4", "contact_sheet.png", "hands.npz"])
@pytest.mark.parametrize("link", ["none", "hard", "symbolic", "folder"])
def test_no_recording_is_written_over(video, tmp_path, name, link):
    out = tmp_path / "out"
    out.mkdir()
    if name.endswith(".png"):
        write_image(tmp_path / "in.png", np.zeros((48, 64, 3), np.uint8))
        video = (tmp_path / "in.png").rename(video)
    content = video.read_bytes()
    recording = tmp_path / f"recording{Path(name).suffix}"
    if link == "none":
        recording = video.rename(out / name)
    elif link == "folder":  # another name of the folder
        video.rename(out / name)
        (tmp_path / "again").symlink_to(out)
        recording = tmp_path / "again" / name
    else:
        video.rename(recording)
        (out / name).hardlink_to(recording) if link == "hard" else (out / name).symlink_to(recording)
    with pytest.raises(InputError, match="would be written over; choose another place"):
        track_video(recording, out, ScriptedTracker(), CameraSource(65.0), progress=False)
    assert recording.read_bytes() == content and [file.name for file in out.iterdir()] == [name]


def test_a_folder_of_images_keeps_its_images(tmp_path):
    for number in range(3):
        write_image(tmp_path / f"{number}.png", np.full((48, 64, 3), 30 * number, np.uint8))
    with pytest.raises(InputError, match="is the folder of the images"):
        track_video(tmp_path, tmp_path, ScriptedTracker(), CameraSource(65.0), progress=False)
    (tmp_path / "out/.fourdhands-partial-0/overlay.mp4").mkdir(parents=True)  # as of a run that was killed
    for _ in range(2):  # a second run reads what the first has read
        summary = track_video(tmp_path, tmp_path / "out", ScriptedTracker(), CameraSource(65.0), progress=False)
        assert summary.frames == 3 and summary.missing == 0
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"hands.npz", "overlay.mp4", "contact_sheet.png"}


def test_frames_that_could_not_be_read_are_told(tmp_path):
    summary = track_video(
        write_damaged(tmp_path / "in.avi", 12, {3, 4}), tmp_path / "out", ScriptedTracker(), CameraSource(65.0), progress=False
    )
    assert (summary.frames, summary.missing, summary.announced) == (10, 2, 12)
    assert "2 of 12 frames in the file could not be read" in str(summary)
    assert len(list(VideoReader(tmp_path / "out" / "overlay.mp4"))) == 10
