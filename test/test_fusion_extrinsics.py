"""Where cameras stand, from hands alone."""

import numpy as np
import pytest
from fusion_support import ASSETS, FRAME, HANDS, STEP, Scene

from fourdhands_core.errors import InputError
from fourdhands_core.fusion.rig import Rig, load_rig, posed_hands, save_rig
from fourdhands_core.fusion.rig.extrinsics import calibrate, compare
from fourdhands_core.fusion.rig.shared_hands import Sightings
from fourdhands_core.geometry.rigid import Rigid
from fourdhands_core.geometry.rotations import matrix_from_axis_angle
from fourdhands_core.hand_model.skeleton import LEFT


@pytest.fixture(autouse=True)
def few_hands(monkeypatch):
    """Are posed, as these have no errors that more would level out."""
    monkeypatch.setattr(posed_hands, "_USED", 40)


def sightings(scene, moments, wrong=0.0, later=3):
    """What each camera of a scene sees, each so much later than the one before. wrong: share of images in which both hands are
    exchanged."""
    cameras = {}
    for number in range(len(scene.poses)):
        one = cameras[f"camera_{number}"] = Sightings()
        for moment in moments:
            view = scene.view(number, moment + later * number, exchanged=scene.rng.random() < wrong)
            one.add(view.estimate, view.rays)
    return cameras


def true_length(scene):
    flat = np.tile(np.eye(3), (2, 16, 1, 1))
    joints = HANDS.joints(flat[:, 0], flat[:, 1:], scene.betas)
    return float(np.linalg.norm(joints[1, 12] - joints[1, 0]))


def off(scene, found):
    base = scene.poses[0].inverse()
    true = {f"camera_{k}": base @ pose for k, pose in enumerate(scene.poses)}
    return compare(true, found)


@pytest.mark.parametrize("angles", [(-20.0, 25.0), (-30.0, 5.0, 40.0)])
def test_cameras_are_found_from_hands(angles):
    scene = Scene(angles=angles, distance=0.6, noise=1.5, nods=0.08)
    found = calibrate(sightings(scene, range(0, 6 * STEP, FRAME), wrong=0.1), ASSETS, hand_length=true_length(scene))
    for difference in off(scene, found).values():
        assert difference.angle < 1.0
        assert difference.baseline < 0.015
    one = found.certainty["camera_1"]
    assert 0.0 < one.angle < 1.0 and 0.0 < one.distance < 0.02 and one.residual < 0.01
    assert "a hand of" in found.scale and found.points.shape[1] == 3


@pytest.mark.parametrize("rate, percent", [(6, 3.0), (12, 0.5)])
def test_cameras_that_never_look_at_once(rate, percent):
    """Of six images a second no hands were shared, and of three cameras at 12 too few; by a line through two images of hands
    that go up and down fast, the second camera was 11 and 2 % off."""
    scene = Scene(angles=(-30.0, 5.0, 40.0), distance=0.6, nods=0.08)
    true = float(np.linalg.norm(scene.poses[0].position - scene.poses[1].position))
    seen = sightings(scene, range(0, 11 * STEP, STEP // rate), later=STEP // rate // 3)
    for difference in off(scene, calibrate(seen, ASSETS, distance=true)).values():
        assert difference.angle < 1.0
        assert 100.0 * difference.baseline < percent


def test_a_known_distance_gives_the_scale():
    scene = Scene(distance=0.6, nods=0.08)
    true = float(np.linalg.norm(scene.poses[0].position - scene.poses[1].position))
    found = calibrate(sightings(scene, range(0, 8 * STEP, 3 * FRAME)), ASSETS, distance=true)
    assert np.linalg.norm(found.poses["camera_1"].position) == pytest.approx(true)


def test_depth_images_give_the_scale():
    """Of one camera that has them: hands at their true distances, of a hand model that is not this person's, in noise; the
    other's distances are wrong."""
    scene = Scene(distance=0.6, nods=0.08, noise=1.5)
    seen = sightings(scene, range(0, 6 * STEP, FRAME))
    with pytest.raises(InputError, match="depth images placed 0 hands on which the cameras agree, and 60 are needed"):
        calibrate(seen, ASSETS, by_depth=True)
    one = seen["camera_1"]
    for joints, by_depth in zip(one.joints, one.by_depth):
        wrists = joints[:, :1]
        joints += wrists / (1.0 + scene.wrong) - wrists + 0.01 * scene.rng.normal(size=(2, 1, 1)) * wrists / wrists[..., 2:]
        by_depth[:] = True
    found = calibrate(seen, ASSETS, by_depth=True)
    assert off(scene, found)["camera_1"].baseline < 0.015 and "depth images, which placed" in found.scale
    assert found.certainty["camera_1"].distance < 0.02 * np.linalg.norm(found.poses["camera_1"].position)


def test_a_bumped_camera_is_told_from_a_good_one():
    scene = Scene(distance=0.6, nods=0.08)
    found = calibrate(sightings(scene, range(0, 8 * STEP, 3 * FRAME)), ASSETS, hand_length=true_length(scene))
    given = {f"camera_{k}": pose for k, pose in enumerate(scene.poses)}
    assert compare(given, found)["camera_1"].angle < 1.0
    given["camera_1"] = given["camera_1"] @ Rigid(matrix_from_axis_angle(np.radians([0.0, 5.0, 0.0])))
    assert compare(given, found)["camera_1"].angle == pytest.approx(5.0, abs=1.0)


def test_hands_at_one_height_say_too_little_and_such_that_go_up_and_down_enough():
    """A detector that makes one view's left hands 2 % too high turns the cameras by degrees where nothing else tells."""
    scene = Scene(angles=(-17.5, 17.5), distance=1.0, noise=0.7)
    with pytest.raises(InputError, match="uncertain by .* high and low"):
        calibrate(too_high(sightings(scene, range(0, 6 * STEP, 2 * FRAME))), ASSETS, hand_length=true_length(scene))
    scene = Scene(angles=(-17.5, 17.5), distance=1.0, noise=0.7, nods=0.2)
    found = calibrate(too_high(sightings(scene, range(0, 6 * STEP, 2 * FRAME))), ASSETS, hand_length=true_length(scene))
    assert off(scene, found)["camera_1"].angle < 2.0 * found.certainty["camera_1"].angle < 2.0


def too_high(cameras):
    for rays in cameras["camera_1"].rays:
        rays[LEFT, :, 1] += 0.02 * (rays[LEFT, :, 1] - rays[LEFT, :, 1].mean())
    return cameras


def test_too_little_motion_is_refused():
    scene = Scene()
    with pytest.raises(InputError, match="shares .* hands over"):
        calibrate(sightings(scene, range(0, 20 * FRAME, FRAME)), ASSETS)
    blind = sightings(scene, range(0, 6 * STEP, FRAME))
    for rays in blind["camera_1"].rays:
        rays[:] = np.nan
    with pytest.raises(InputError, match="shares 0 hands"):
        calibrate(blind, ASSETS)
    with pytest.raises(InputError, match="one camera"):
        calibrate({"only": Sightings()}, ASSETS)


@pytest.mark.parametrize(
    "late, rate, words",
    [
        (0.06, 1.0, "stamps of camera_1 are about 60 ms later than those of camera_0; "),
        (-0.5, 1.0, "stamps of camera_1 are about 500 ms earlier than those of camera_0; "),
        (0.0, 1.2, "the time of camera_1 passes about 1.20 times as fast as that of camera_0; "),
    ],
)
def test_clocks_that_are_apart_are_told_and_not_too_little_motion(late, rate, words):
    scene = Scene(distance=0.6, nods=0.15)
    seen = sightings(scene, range(0, 6 * STEP, FRAME))
    seen["camera_1"].stamps = [1 + round(rate * stamp + late * 1e9) for stamp in seen["camera_1"].stamps]
    with pytest.raises(InputError) as told:
        calibrate(seen, ASSETS, hand_length=true_length(scene))
    assert words in str(told.value) and "too little" not in str(told.value)


def test_hands_that_hold_still_say_too_little():
    scene = Scene(noise=3.0)
    still = sightings(scene, [90 * FRAME] * 150)
    for one in still.values():
        one.stamps[:] = [1 + k * 33_000_000 for k in range(150)]
        for rays in one.rays:
            rays[LEFT] = np.nan
            rays[1] = rays[1] + 0.05 * scene.rng.normal(size=2)  # as if another hand each time
    with pytest.raises(InputError, match=r"too little|agree"):
        calibrate(still, ASSETS)


def test_the_file_of_poses(tmp_path):
    scene = Scene()
    rig = Rig("cell", {f"camera_{k}": pose for k, pose in enumerate(scene.poses)}, {"camera_0": {"fov": 60.0}})
    save_rig(tmp_path / "rig.yaml", rig, "a comment")
    back = load_rig(tmp_path / "rig.yaml")
    assert back.frame() == back.frame("cell") == "cell" and back.lenses["camera_0"] == {"fov": 60.0}
    for name, pose in rig.poses.items():
        np.testing.assert_allclose(back.poses[name].rotation, pose.rotation, atol=1e-5)
        np.testing.assert_allclose(back.poses[name].position, pose.position, atol=1e-5)


def posed(away, more=""):
    """A camera of a file of poses. away: metres along z."""
    return f"{{position: [0, 0, {away}], quaternion: [0, 0, 0, 1]{more}}}"


def test_poses_are_in_the_frame_that_their_file_names(tmp_path):
    """Hands were said to be in the one that was asked for, which had not moved them; a file that names none leaves it open."""
    with pytest.raises(InputError, match="said in cell, and hands are asked for in base_link"):
        Rig("cell", {}).frame("base_link")
    (tmp_path / "rig.yaml").write_text(f"cameras: {{/a: {posed(1)}, b: {posed(2)}}}")
    assert list(load_rig(tmp_path / "rig.yaml").poses) == ["a", "b"]  # as bags and videos call them
    assert [load_rig(tmp_path / "rig.yaml").frame(given) for given in ("", "base_link")] == ["world", "base_link"]


@pytest.mark.parametrize(
    "text, words",
    [
        ("[", "is not a YAML file"),
        ("cameras: 3", "names no two cameras"),
        ("cameras: {a: {}, b: {}}", "camera a has no position of 3 numbers"),
        ("cameras: {a: {position: [0, 0, 0]}, b: {}}", "camera a has no quaternion"),
        ("cameras: {a: {position: [0, 0, .nan], quaternion: [0, 0, 0, 1]}, b: {}}", "no position"),
        ("cameras: {a: {position: [0, 0, 0], quaternion: [0, 0, 0, 2]}, b: {}}", "not of length 1"),
        (f"cameras: {{a: {posed(1)}, b: {posed(1)}}}", "a and b stand at one place"),
        (f"cameras: {{a: {posed(1)}, b: {posed(301)}}}", "a and b stand 300 m apart; give positions in metres"),
        (f"cameras: {{a: {posed(1)}, ../b: {posed(2)}}}", "'../b' is no camera's name"),
        (f"cameras: {{a: {posed(1)}, /a: {posed(2)}}}", "'/a' is no camera's name, or another one's too"),
        (f"cameras: {{a: {posed(1, ', fov: sixty')}, b: {posed(2)}}}", "camera a: its fov 'sixty' is not between"),
        (f"cameras: {{a: {posed(1, ', fov: [60]')}, b: {posed(2)}}}", "its fov .60. is not between"),
    ],
)
def test_files_that_are_none(tmp_path, text, words):
    (tmp_path / "rig.yaml").write_text(text)
    with pytest.raises(InputError, match=words) as told:
        load_rig(tmp_path / "rig.yaml")
    assert "\n" not in str(told.value)
