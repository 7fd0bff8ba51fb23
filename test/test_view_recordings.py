"""Recordings that are not ROS's: hands.npz with its video, the camera that its points tell of, and videos tracked meanwhile."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from video_support import number_in, numbered_picture, timed_video, write_video
from view_support import CAMERA, HANDS, PERIOD, moving, write_npz

from fourdhands_core.cli import main
from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.geometry.camera_source import CameraSource
from fourdhands_core.hand_model.landmarks import SEEN_SIZE
from fourdhands_core.hand_model.seen_through import resized
from fourdhands_core.media.hands_file import read_hands
from fourdhands_core.view.comparison import differences, nearest
from fourdhands_core.view.moments import NOT_SEEN, SEEN, UNKNOWN, words
from fourdhands_core.view.recordings import NpzRecording, VideoRecording, fitted_camera
from fourdhands_core.view.sights import PARTS
from fourdhands_core.view.sought_frames import SoughtFrames


def numbered_video(path, count=200, size=(64, 48), rate=30.0):
    return write_video(path, (numbered_picture(number, size) for number in range(count)), rate)


def test_frames_in_any_order(tmp_path, closing):
    frames = closing(SoughtFrames(str(numbered_video(tmp_path / "v.mp4"))))
    for number in (0, 1, 150, 149, 10, 199, 0, 70, 69, 68, 140):
        assert number_in(frames.by_number(number)) == number
    assert frames.size == (64, 48)
    assert frames.by_number(200) is None and not frames.has(round(201e9 / 30))


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
def test_frames_at_uneven_times_are_found_by_their_own(tmp_path, closing, name):
    """As screens and phones record: by the mean period (mp4) the frame before was taken for it, and what was sought by the
    stated one (mkv) lay beyond the end, where there was none."""
    times = np.cumsum([0, 250, 100, 40, 33, 33, 33, 33, 250, 250, 100, 33, 40, 250, 250, 33, 33, 40, 250, 33])
    frames = closing(SoughtFrames(str(timed_video(tmp_path / name, times.tolist()))))
    for number in (*range(20), *range(19, -1, -1), 12, 3, 17, 5):
        assert number_in(frames.by_stamp(int(times[number]) * 1_000_000)) == number


def test_a_video_of_one_frame_has_it(tmp_path, closing):
    """OpenCV had none of it after it had sought its beginning: the page of one image showed none."""
    frames = closing(SoughtFrames(str(numbered_video(tmp_path / "v.mp4", 1, (640, 480)))))
    assert number_in(frames.by_number(0)) == 0 and number_in(frames.by_stamp(0)) == 0


def test_a_result_with_its_overlay(tmp_path, closing):
    pairs = moving(40)
    path = write_npz(tmp_path / "hands.npz", pairs)
    bare = NpzRecording(path, HANDS)
    assert bare.image(3) is None and "give the video with --video" in bare.warnings[0]
    numbered_video(tmp_path / "overlay.mp4", 40, (640, 480))
    recording = closing(NpzRecording(path, HANDS))
    assert recording.overlaid and not recording.warnings and not recording.advance()
    for row in (30, 5, 6):
        assert number_in(recording.image(row)) == row
        np.testing.assert_allclose(recording.moment(row).pair.right.joints, pairs[row].right.joints)
    assert len(recording.course) == recording.course.read == 40
    assert (recording.course.state[:, 1] == SEEN).all() and (recording.course.state[20:30, 0] != SEEN).all()
    np.testing.assert_allclose(recording.moment(0).pair.camera.matrix, CAMERA.matrix, atol=1e-6)


def test_the_camera_that_points_tell_of():
    """An off-centre one, from points alone; with a guess where there are none."""
    matrix = np.array([[500.0, 0, 300], [0, 510, 260], [0, 0, 1]])
    camera = Camera(640, 480, matrix)
    joints = np.stack([np.stack([hand.joints for hand in one.hands]) for one in moving(3, range(0), camera)])
    fitted = fitted_camera(joints, camera.project(joints), (640, 480), True)
    np.testing.assert_allclose(fitted.matrix, matrix, atol=1e-6)
    smaller = fitted_camera(joints, camera.project(resized(joints, SEEN_SIZE)), (640, 480), True)  # as one camera sees hands
    np.testing.assert_allclose(smaller.matrix, matrix, atol=1e-6)
    without = fitted_camera(joints, camera.project(joints), None, False)
    assert (without.width, without.height, without.calibrated) == (601, 521, False)
    nothing = fitted_camera(np.full((5, 2, 21, 3), np.nan), np.full((5, 2, 21, 2), np.nan), None, False)
    assert (nothing.width, nothing.height) == (640, 480)
    point = fitted_camera(np.ones((5, 2, 21, 3)), np.ones((5, 2, 21, 2)), (640, 480), True)  # all in one place
    assert point.width == 640


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda a: a.pop("joints"), "lacks joints"),
        (lambda a: a.update(joints=a["joints"][:3]), r"joints is .* not \(40, 2, 21, 3\)"),
        (lambda a: a.update(confidence=np.full((40, 2), "x")), "confidence is <U1"),
        (lambda a: a.update({name: array[:0] for name, array in a.items()}), "no frame"),
        (lambda a: a.update(stamp=a["stamp"][::-1]), "stamp 1266666654 of frame 1 is not after 1299999987 of frame 0"),
        (lambda a: a.update(stamp=np.where(np.arange(40) == 0, np.nan, a["stamp"])), "stamp nan of frame 0 is no time"),
        (lambda a: a.update(stamp=np.where(np.arange(40) == 7, np.nan, a["stamp"])), "stamp nan of frame 7 is not after"),
    ],
)
def test_files_that_are_no_result(tmp_path, spoil, words):
    arrays = read_hands(write_npz(tmp_path / "hands.npz", moving(40)))
    spoil(arrays)
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(InputError, match=words):
        NpzRecording(tmp_path / "other.npz", HANDS)


def test_a_valid_hand_without_numbers_is_absent(tmp_path):
    arrays = read_hands(write_npz(tmp_path / "one.npz", moving(40)))
    arrays["joints"][12, 1] = np.nan
    np.savez(tmp_path / "hands.npz", **arrays)
    recording = NpzRecording(tmp_path / "hands.npz", HANDS)
    assert recording.course.state[11:14, 1].tolist() == [SEEN, NOT_SEEN, SEEN] and "in 1 image" in recording.warnings[0]


def test_fused_hands_are_no_cameras(tmp_path):
    """Of `track --cameras`: from their fixed frame they are not away, and no camera that was guessed is drawn there."""
    arrays = read_hands(write_npz(tmp_path / "one.npz", moving(40)))
    np.savez(tmp_path / "hands.npz", **{**arrays, "joints_2d": np.full_like(arrays["joints_2d"], np.nan)})
    recording = NpzRecording(tmp_path / "hands.npz", HANDS)
    (sight,) = recording.sights(3, dict.fromkeys(PARTS, True))
    assert sight.fused and "hands of fused cameras, in their fixed frame" in recording.warnings[0]
    assert words(sight.moment)[0] == "left TRACKED, confidence 0.90"
    single = NpzRecording(tmp_path / "one.npz", HANDS)
    assert words(single.moment(3))[0].endswith("m away") and not single.sights(3, dict.fromkeys(PARTS, True))[0].fused
    with pytest.raises(InputError, match="lie on no video's images; give that of one camera"):
        NpzRecording(tmp_path / "hands.npz", HANDS, str(numbered_video(tmp_path / "v.mp4", 40)))


def test_only_what_the_page_needs_must_be_in_a_result(tmp_path):
    """Files of other versions have keys more or less."""
    arrays = read_hands(write_npz(tmp_path / "hands.npz", moving(40)))
    del arrays["left_root_relative"]
    np.savez(tmp_path / "other.npz", **arrays, later=np.zeros(3))
    recording = NpzRecording(tmp_path / "other.npz", HANDS)
    assert recording.course.read == 40 and recording.moment(0).pair.left.valid


@pytest.mark.parametrize(
    "count, size, rate, words",
    [
        (30, (640, 480), 30.0, "that ends before the last of its 40 stamps"),
        (40, (320, 640), 30.0, "its pixels are those of images of about 640x480, not 320x640"),
        (40, (640, 480), 15.0, "that has no frame at 0.700 s"),
        (60, (640, 480), 45.0, "that has no frame at 0.700 s"),
    ],
)
def test_a_video_that_is_not_the_results(tmp_path, capsys, count, size, rate, words):
    """Refused by every command that shows it; one that has more frames is shown, and that is said."""
    path = write_npz(tmp_path / "hands.npz", moving(40))
    video = str(numbered_video(tmp_path / "v.mp4", count, size, rate))
    for command in (["report", str(path), "--out", str(tmp_path / "r.html")], ["view", str(path), "--port", "0"]):
        assert main([*command, "--video", video]) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "r.html").exists()


def test_the_video_of_a_result(tmp_path):
    path = write_npz(tmp_path / "hands.npz", moving(40))
    own = NpzRecording(path, HANDS, str(numbered_video(tmp_path / "own.mp4", 40, (640, 480))))
    assert not own.warnings and not own.overlaid and [number_in(own.image(row)) for row in (30, 5, 39)] == [30, 5, 39]
    longer = NpzRecording(path, HANDS, str(numbered_video(tmp_path / "longer.mp4", 60, (640, 480))))
    assert "has 60 frames and this 40 rows" in longer.warnings[0]
    for recording in (own, longer):
        recording.close()


def test_what_is_no_file(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    for name in ("text.npz", "missing.npz"):
        with pytest.raises(InputError, match=name):
            NpzRecording(tmp_path / name, HANDS)


class SlowTracker:
    """As much of a tracker as a session needs: the made-up pairs in their order."""

    def __init__(self, pairs):
        self.pairs, self.closed = list(pairs), False

    def observe(self, image, stamp, camera, first=False):
        return SimpleNamespace(stamp=stamp, first=first, camera=camera)

    def estimate(self, frame, with_vertices=False):
        return replace(self.pairs.pop(0), stamp=frame.stamp, camera=frame.camera)

    def flush(self, with_vertices=False):
        return None

    def reset(self):
        pass

    def close(self):
        self.closed = True


def test_a_video_is_tracked_as_it_is_read_on(tmp_path):
    video = numbered_video(tmp_path / "v.mp4", 30, (640, 480))
    pairs = moving(30)
    tracker = SlowTracker(pairs)
    recording = VideoRecording(str(video), tracker, CameraSource(65.0, fov=60.0), HANDS)
    assert len(recording.course) == 0
    assert recording.advance() and len(recording.course) == 1  # nothing is done unasked
    while recording.advance():
        pass
    assert len(recording.course) == 30 and UNKNOWN not in recording.course.state
    for row in (29, 0, 12):
        assert number_in(recording.image(row)) == row
        np.testing.assert_array_equal(recording.moment(row).pair.right.joints, pairs[row].right.joints)
    recording.close()
    assert tracker.closed


def test_a_large_videos_hands_are_at_their_pixels_in_the_images_that_are_kept(tmp_path, closing):
    camera = Camera.from_fov(1280, 720, 60.0, calibrated=True)
    pairs = moving(2, range(0), camera)
    video = numbered_video(tmp_path / "v.mp4", 2, (1280, 720))
    recording = closing(VideoRecording(str(video), SlowTracker(pairs), CameraSource(65.0, fov=60.0), HANDS))
    while recording.advance():
        pass
    shown, image = recording.moment(1).pair, recording.image(1)
    assert (shown.camera.width, shown.camera.height) == (image.shape[1], image.shape[0]) == (960, 540)
    for hand, given in zip(shown.hands, pairs[1].hands):
        np.testing.assert_allclose(hand.joints_2d, (given.joints_2d + 0.5) * 0.75 - 0.5)
        np.testing.assert_allclose(hand.joints_2d, shown.camera.project(hand.joints), atol=1e-6)


def test_two_results_are_compared_by_the_stamps_of_their_images(tmp_path):
    pairs = moving(40)
    one = NpzRecording(write_npz(tmp_path / "a.npz", pairs), HANDS)
    arrays = read_hands(tmp_path / "a.npz")
    arrays["joints"] = arrays["joints"] + [0.003, 0.0, 0.004]
    kept = np.delete(np.arange(40), 7)
    np.savez(tmp_path / "b.npz", **{name: array[kept] for name, array in arrays.items()})
    other = NpzRecording(tmp_path / "b.npz", HANDS)
    apart = differences(one.course, other.course, np.arange(40))
    assert np.isnan(apart[7]).all() and np.isnan(apart[20:30, 0]).all()
    np.testing.assert_allclose(apart[kept, 1], 0.005, atol=1e-6)
    assert nearest(np.array([0, PERIOD]), np.array([PERIOD // 3, 9 * PERIOD])).tolist() == [0, -1]
    assert nearest(np.zeros(0, np.int64), np.array([1])).tolist() == [-1]


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["nothing.npz"], "nothing.npz does not exist"),
        (["nothing", "--topic", "/hands"], "nothing does not exist; give a video, a folder of images, a bag, or the hands.npz"),
        (["nothing.npz", "--mirrored"], "nothing.npz does not exist"),
        (["v.mp4", "--against", "nothing.mcap", "--video", "v.mp4"], "nothing.mcap does not exist"),
        (["/hands", "nothing.npz"], "/hands is a topic and nothing.npz a recording"),
        (["a.npz", "b.npz"], "show one, and another --against it"),
        (["/hands", "--against", "a.npz"], "record the topics first"),
        (["--rate", "0"], "--rate 0 is not between"),
        (["0"], "0 is a camera"),
        (["/hands", "--fov", "60"], "--fov means nothing to `view topic`"),
        (["a.npz", "--mirrored"], "--mirrored means nothing to `view hands.npz`"),
        (["a.npz", "--hand-shape", "me.yaml"], "--hand-shape means nothing to `view hands.npz`"),
        (["w.mp4", "--hand-shape", "me.yaml"], "hand shape me.yaml does not exist"),
        (["a.npz", "--topic", "/hands"], "--topic means nothing to `view hands.npz`"),
        (["v.mp4", "--against", "a.npz", "--image", "/image"], "--image means nothing to `view video --against hands.npz`"),
    ],
)
def test_mistakes_of_the_command(arguments, words, capsys, tmp_path, monkeypatch):
    """One sentence, and nothing is served."""
    pytest.importorskip("viser", reason="the extra view is not installed")
    monkeypatch.chdir(tmp_path)
    for name in ("a.npz", "v.mp4"):
        (tmp_path / name).touch()
    numbered_video(tmp_path / "w.mp4", 2)
    assert main(["view", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
