"""Rendered clips: truth that agrees with the pictures, the demo's choreography, and that a detector sees the hands."""

import numpy as np
import pytest

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.geometry.rotations import matrix_from_axis_angle, mirror_axis_angle
from fourdhands_core.hand_model.limits import LOWER, UPPER, to_angles
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT, TIP_JOINTS
from fourdhands_core.media.choreography import demo_motion, pose_hands
from fourdhands_core.media.clips import HandScene, RenderedClip, clip_truth, demo_clip, render_frames
from fourdhands_core.perception.hand_detector import HandDetector

CAMERA = Camera(320, 240, [[250, 0, 160], [0, 252, 118], [0, 0, 1]], "plumb_bob", [-0.1, 0.02, 0.001, 0.0, 0.0])


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return demo_clip(tmp_path_factory.mktemp("clip"), seconds=12, size=(640, 480), fps=10, seed=3)


def test_the_demo_crosses_leaves_returns_and_touches():
    motion = demo_motion(12.0, 30.0, seed=1)
    vertices, joints = pose_hands(motion)
    truth = clip_truth(motion, Camera.from_fov(640, 480, 64.0), joints)
    assert len(motion.stamp) == 360 and motion.stamp[30] == 1_000_000_000
    crossed = truth["joints"][:, LEFT, 9, 0] < truth["joints"][:, RIGHT, 9, 0]
    assert 0.5 < crossed.sum() / 30 < 3 and not crossed[0] and not crossed[-1]
    left = truth["valid"][:, LEFT]
    assert truth["valid"][:, RIGHT].all() and left[0] and left[-1] and 0.7 < (~left).sum() / 30 < 3
    # Touching: somewhere closer than 2 mm, and no vertex of a hand far on the other hand's side of the plane between.
    touching = slice(304, 315)
    for hands in vertices[touching]:
        assert hands[LEFT, :, 0].min() == pytest.approx(0.0, abs=2e-4)
        assert hands[RIGHT, :, 0].max() == pytest.approx(0.0, abs=2e-4)
        gaps = np.linalg.norm(hands[LEFT][:, None] - hands[RIGHT][None], axis=-1)
        assert gaps.min() < 2e-3
    # Apart, the hands never run into each other: they cross one behind the other.
    assert np.abs(vertices[:, LEFT, :, 2].min(axis=1) - vertices[:, RIGHT, :, 2].max(axis=1))[crossed].min() > 0.02


def test_the_demo_stays_inside_human_limits_and_moves_smoothly():
    motion = demo_motion(12.0, 30.0, seed=4)
    pose = motion.hand_pose.reshape(-1, 2, 15, 3).copy()
    pose[:, LEFT] = mirror_axis_angle(pose[:, LEFT])
    angles = to_angles(matrix_from_axis_angle(pose))
    assert (angles > LOWER - 1e-6).all() and (angles < UPPER + 1e-6).all()
    _, joints = pose_hands(motion)
    speed = np.linalg.norm(np.diff(joints, axis=0), axis=-1) * 30
    assert speed.max() < 3.0  # metres per second; hands do move faster, but not in a demo
    assert np.linalg.norm(np.diff(joints, n=2, axis=0), axis=-1).max() * 900 < 40.0  # m/s^2: no jumps
    assert speed.max(axis=2).mean() > 0.05  # and they do move


def test_truth_is_nan_exactly_where_a_hand_is_not_valid(clip):
    truth = clip.truth
    valid = truth["valid"]
    assert 0 < (~valid).sum() < valid.size
    for name in ("confidence", "joints", "joints_2d", "joint_confidence", "wrist_rotation", "hand_pose", "betas"):
        finite = np.isfinite(truth[name]).reshape(*valid.shape, -1)
        np.testing.assert_array_equal(finite, np.broadcast_to(valid[..., None], finite.shape), err_msg=name)
    np.testing.assert_array_equal(np.isfinite(truth["left_root_relative"]).all(axis=1), valid.all(axis=1))


def test_joints_lie_inside_the_picture_of_their_hand():
    motion = demo_motion(12.0, 2.0, seed=0)
    vertices, joints = pose_hands(motion)
    truth = clip_truth(motion, CAMERA, joints)
    scene = HandScene(CAMERA, seed=0, kind="gradient", forearms=False, sensor=False)
    checked = hidden = 0
    for i, (_, depth) in enumerate(render_frames(motion, scene, vertices)):
        inside = truth["joint_in_image"][i].copy()
        inside[:, TIP_JOINTS] = False  # these lie on the skin, at the very edge of the silhouette
        x, y = truth["joints_2d"][i][inside].round().astype(int).T
        behind = joints[i][inside][:, 2] - depth[y.clip(0, 239), x.clip(0, 319)]
        hidden += (behind > 0.001).sum()
        checked += inside.sum()
    assert checked > 500 and hidden > 0.98 * checked  # skin lies in front of all joints but few at the very outline


def test_a_clip_round_trips_through_its_folder(clip, tmp_path):
    back = RenderedClip.read(clip.folder)
    assert back.fps == pytest.approx(10) and set(back.truth) == set(clip.truth)
    for name, values in clip.truth.items():
        np.testing.assert_array_equal(back.truth[name], values)
    np.testing.assert_allclose(back.camera.matrix, clip.camera.matrix)
    frames = list(back.frames())
    assert [stamp for stamp, _ in frames] == clip.truth["stamp"].tolist() and frames[0][1].shape == (480, 640, 3)
    with pytest.raises(InputError, match="video.mp4"):
        RenderedClip.read(tmp_path)


def test_the_same_seed_gives_the_same_pictures_and_distortion_is_written(tmp_path):
    motion = demo_motion(12.0, 0.25, seed=5)
    first, second, other = (
        [image for image, _ in render_frames(motion, HandScene(CAMERA, seed), pose_hands(motion)[0], shutter=0.5)]
        for seed in (7, 7, 8)
    )
    np.testing.assert_array_equal(first, second)
    assert (np.array(first) != np.array(other)).mean() > 0.5
    written = RenderedClip.write(tmp_path / "clip", motion, HandScene(CAMERA, 7), keep_vertices=True)
    camera = RenderedClip.read(tmp_path / "clip").camera
    assert camera.distortion_model == "plumb_bob"
    np.testing.assert_array_equal(camera.distortion, CAMERA.distortion)
    np.testing.assert_allclose(written.truth["vertices"].shape, (3, 2, 778, 3))


def test_the_detector_sees_the_demo_hands_as_what_they_are(clip):
    detector = HandDetector()
    found, wrong, valid = 0, 0, clip.truth["valid"]
    for i, (_, image) in enumerate(clip.frames()):
        near = [np.full(0, 0.0)] * 2
        for hand in detector.detect(image):
            error = [np.linalg.norm(hand.landmarks - points, axis=1).mean() for points in clip.truth["joints_2d"][i]]
            nearest = int(np.nanargmin(error))
            if error[nearest] < 25:
                near[nearest] = np.append(near[nearest], hand.side)
        found += sum(len(sides) > 0 for sides in near)
        wrong += sum(side not in sides for side, sides in enumerate(near) if len(sides))
    detector.close()
    assert found > 0.9 * valid.sum() and wrong < 0.05 * valid.sum()
