"""Where the detector sees joints, and how the solver takes that into account."""

from dataclasses import replace

import numpy as np
import pytest
from fusion_support import ASSETS, Scene

from fourdhands_core.fusion.fusion import HandFusion
from fourdhands_core.fusion.solution import HandSolver, Looks
from fourdhands_core.geometry.rotations import matrix_from_axis_angle
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import load_human_hand, pair_of
from fourdhands_core.hand_model.landmark_bias import Pattern, landmark_bias
from fourdhands_core.hand_model.landmarks import landmarks_at_joints, landmarks_of, landmarks_of_both
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT, TIP_JOINTS


@pytest.mark.parametrize("asset", [ASSETS[RIGHT], load_human_hand()], ids=["generic", "human"])
def test_landmarks_lie_near_their_joints(asset):
    landmarks = landmarks_of(asset)
    for places in (landmarks.before, landmarks.after):
        assert places.shape == (21, 3) and 0.0 < np.abs(places).max() < 0.03
    assert not landmarks.after[[0, *TIP_JOINTS]].any()


def test_a_left_hands_landmarks_are_a_right_ones_in_the_mirror():
    left, right = pair_of(load_human_hand())
    bones = matrix_from_axis_angle(0.4 * np.random.default_rng(0).normal(size=(16, 3)))
    mirror = np.diag([-1.0, 1.0, 1.0])
    np.testing.assert_allclose(landmarks_of(left).beside(mirror @ bones @ mirror), landmarks_of(right).beside(bones) @ mirror)


def test_a_hand_of_another_file_is_taken_for_a_persons():
    mano = replace(load_human_hand(), name="MANO_RIGHT")
    np.testing.assert_array_equal(landmarks_of(mano).before, landmarks_of(load_human_hand()).before)


def test_the_solvers_derivatives_are_those_of_its_landmarks():
    """By finite differences, for every rotation and the wrist."""
    scene = Scene()
    (sighting,) = [one for one in scene.view(0, 300).sightings() if one.label == RIGHT]
    solver = HandSolver(ASSETS, RIGHT, landmarks_of_both(ASSETS))
    looks = Looks.of([sighting.view.pose], sighting.rays[None], 1e3 * sighting.sigma[None])  # no residual is an outlier

    def at(change):
        turns = matrix_from_axis_angle((solver._axes @ change[:48].reshape(16, 3, 1))[..., 0])
        joints, points, bones = solver._posed(sighting.rotations @ turns, np.zeros(10))
        placed = points + sighting.joints[0] + change[48:]
        return solver._linearised(placed[None], solver._arms(joints, points, bones), bones, looks)

    jacobian, error, *_ = at(np.zeros(51))
    each = 1e-6 * np.eye(51)
    numeric = np.stack([(at(one)[1] - at(-one)[1]) / 2e-6 for one in each], axis=1)
    exact = np.ones((21, 2, 51), bool)
    exact[TIP_JOINTS] = False  # pose correctives move the skin of the tips too, which the solver leaves out
    np.testing.assert_allclose(jacobian[exact.reshape(42, 51)], numeric[exact.reshape(42, 51)], atol=1e-6)
    assert np.abs(error).max() > 0.0


def test_no_offset_is_left_in_what_two_views_show():
    """Landmarks of known shape and pose without noise give the pose back."""
    assert off_by(Scene(noise=0.0)) < 0.002


def off_by(scene, landmarks=None):
    """Metres by which a right hand's joints are off in the end, in the mean."""
    fusion, results = HandFusion(ASSETS, betas=scene.betas[LEFT], landmarks=landmarks), []
    for moment in range(0, 60, 8):
        for number in (0, 1):
            results += fusion.add(scene.view(number, moment))
    return np.linalg.norm(results[-1].pair.right.joints - scene.truth(56)[RIGHT], axis=1).mean()


def test_cameras_whose_network_sees_joints_are_not_corrected():
    """The image network does; where the detector sees them is then none of the solution's business."""
    scene = Scene(noise=0.0, beside=False)
    assert off_by(scene, landmarks_at_joints()) < 0.002 < off_by(scene)


def human_landmarks():
    """Rays (2, 21, 2) of both human hands half a metre away."""
    hands, angles = HandArrays(pair_of(load_human_hand())), 0.2 * np.random.default_rng(1).normal(size=(2, 16, 3))
    angles[LEFT] *= (1.0, -1.0, -1.0)
    angles[RIGHT, 0] = angles[LEFT, 0] = (1.2, 1.2, 1.2)
    rotations = matrix_from_axis_angle(angles)
    points = hands.joints(rotations[:, 0], rotations[:, 1:], np.zeros((2, 10))) + [[[-0.1, 0.0, 0.5]], [[0.1, 0.0, 0.5]]]
    return points[..., :2] / points[..., 2:]


def test_the_detectors_bias_is_alike_for_both_hands_and_small_for_any_pattern():
    bias = landmark_bias("human")
    rays = human_landmarks()
    rays[LEFT] = rays[RIGHT] * (-1.0, 1.0)
    corrected = bias.corrected(rays)
    np.testing.assert_allclose(corrected[LEFT], corrected[RIGHT] * (-1.0, 1.0), atol=1e-12)
    for pattern in (rays, np.random.default_rng(0).normal(size=(2, 21, 2))):
        for side in (LEFT, RIGHT):
            spread = np.sqrt(np.square(pattern[side] - pattern[side].mean(0)).sum(-1).mean())
            assert 0.0 < np.abs(bias.corrected(pattern)[side] - pattern[side]).max() < 0.22 * spread
    rays[LEFT] = np.nan
    rays[RIGHT] = 0.0  # where the lens has none
    np.testing.assert_array_equal(bias.corrected(rays), rays)


def test_a_pattern_gives_its_rays_back():
    rays = human_landmarks()
    for side in (LEFT, RIGHT):
        pattern = Pattern(rays[side], side)
        np.testing.assert_allclose(rays[side] + pattern.in_image(pattern.of(rays[1]) - pattern.points), rays[1], atol=1e-12)
        knuckles = pattern.points[[5, 9, 13, 17]].mean(0) - pattern.points[0]
        assert knuckles[0] == pytest.approx(0.0, abs=1e-12) and knuckles[1] < 0.0


def test_only_the_human_hand_and_those_of_files_have_a_bias():
    """That of the generic hand was not measured; a network that sees joints has none."""
    human = load_human_hand()
    assert landmarks_of_both(pair_of(human)).bias is not None
    assert landmarks_of_both(pair_of(replace(human, name="MANO_RIGHT"))).bias is not None
    assert landmarks_of_both(ASSETS).bias is None and landmarks_at_joints().bias is None


def test_landmarks_of_rendered_hands_lie_nearer_without_the_bias():
    """Hands and motions that nothing was trained with, as two cameras see them."""
    pytest.importorskip("torch", reason="the rendered hands need torch (pip install 'fourdhands[torch]')")
    from cameras_support import Layout, SeenByCameras

    from fourdhands_core.perception.hand_detector import HandDetector

    seen = SeenByCameras(Layout(0.5, (-25.0,), (4.0,), (0.0,), 3.0), 81002)
    hands, places, detector = (
        HandArrays(pair_of(load_human_hand())),
        landmarks_of_both(pair_of(load_human_hand())),
        HandDetector(),
    )
    truth, there, errors = seen.truth[0], seen.poses[0].inverse(), []
    for k, (_, image) in enumerate(seen.images(0)):
        rotations = truth.rotations[k]
        bones = hands.joints_and_bones(rotations[:, 0], rotations[:, 1:], truth.betas)[1]
        points = there.apply(truth.joints[k] + places.beside(bones))
        for found in detector.detect(image):
            rays = np.full((2, 21, 2), np.nan)
            rays[found.side] = seen.cameras[0].unproject(found.landmarks)
            off = [
                one[found.side] - points[found.side, :, :2] / points[found.side, :, 2:]
                for one in (rays, places.bias.corrected(rays))
            ]
            if np.median(np.linalg.norm(off[0], axis=-1)) < 0.03:
                errors.append([np.sqrt(np.square(one).sum(-1).mean()) for one in off])
    detector.close()
    before, after = np.mean(errors, axis=0)
    assert len(errors) > 15 and after < 0.95 * before, (before, after)
