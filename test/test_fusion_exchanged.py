"""Topics of cameras that are exchanged, or poses: each camera's images come from where another one stands."""

import numpy as np
import pytest
from fusion_support import ASSETS, STEP, Scene

from fourdhands_core.fusion.fusion import HandFusion
from fourdhands_core.geometry.rigid import Rigid
from fourdhands_core.geometry.rotations import matrix_from_axis_angle

FRAME = STEP // 15
THREE, FOUR = (-37.0, 0.0, 37.0), (-60.0, -20.0, 20.0, 60.0)
EXCHANGED = [
    ((-17.0, 17.0), (1, 0)),
    *((THREE, places) for places in ((2, 1, 0), (1, 0, 2), (0, 2, 1), (1, 2, 0))),
    (FOUR, (0, 2, 1, 3)),
]


def add(fusion, scene, frame, places):
    """places: whose images each camera delivers."""
    results = []
    for number, (other, pose) in enumerate(zip(places, scene.poses)):
        view = scene.view(other, frame * FRAME + 2 * number, name=f"camera_{number}", pose=pose)
        results += fusion.add(view)
    return [hand.valid for fused in results for hand in fused.pair.hands]


@pytest.mark.parametrize(("angles", "places"), EXCHANGED)
@pytest.mark.parametrize("seed", [3, 5])
def test_exchanged_from_the_start_no_hand_is_valid_for_as_long_and_the_cameras_are_named(angles, places, seed):
    """Rays of exchanged cameras met in hands by chance: with three, hands were valid for seconds, up to 0.9 m off."""
    scene, fusion = Scene(angles, seed=seed, nods=0.05), HandFusion(ASSETS)
    valid = [any(add(fusion, scene, frame, places)) for frame in range(150)]
    assert not any(valid[1:])
    names = [f"camera_{number}" for number, other in enumerate(places) if number != other]
    told = f"{', '.join(names[:-1])} and {names[-1]} see hands as from one another's places"
    (problem,) = fusion.consistency.problems(fusion.emitted)  # and nothing that comes of it, as clocks that are apart
    assert problem.startswith(told)
    valid = [add(fusion, scene, frame, range(len(places))) for frame in range(150, 179)]
    assert not fusion.consistency.exchanged.problem and all(valid[-1])


@pytest.mark.parametrize(
    "angles", [(-90.0, 90.0), (0.0, 0.0), (0.0, 0.5), (-45.0, 45.0), (-30.0, 0.0, 0.0), (0.0, 90.0, 180.0)]
)
@pytest.mark.parametrize("tilt", [0.0, 0.6])
def test_cameras_that_stand_where_they_are_said_to_are_not_taken_to_be_exchanged(angles, tilt):
    """Also opposite one another, or so near together that it makes no difference, and where single views pose hands badly."""
    scene, fusion = Scene(angles, tilt=tilt), HandFusion(ASSETS)
    for frame in range(60):
        add(fusion, scene, frame, range(len(angles)))
        assert not fusion.consistency.exchanged.order


def test_a_camera_that_was_bumped_or_sees_another_person_is_not_taken_to_be_exchanged_with_a_right_one():
    bump = Rigid(matrix_from_axis_angle(np.array([0.0, np.radians(8.0), 0.0])))
    for wrong in ({"pose": Scene(THREE).poses[2] @ bump}, {"elsewhere": (0.35, 0.1, 0.2)}):
        scene, fusion = Scene(THREE), HandFusion(ASSETS)
        for frame in range(60):
            for number in range(3):
                fusion.add(scene.view(number, frame * FRAME + number, **wrong if number == 2 else {}))
            assert not fusion.consistency.exchanged.order


def test_an_order_is_forgotten_once_one_of_its_cameras_delivers_nothing():
    scene, fusion = Scene(THREE), HandFusion(ASSETS)
    for frame in range(20):
        add(fusion, scene, frame, (2, 1, 0))
    valid = []
    for frame in range(20, 80):
        for number in (0, 1):
            valid.append([hand.valid for one in fusion.add(scene.view(number, frame * FRAME)) for hand in one.pair.hands])
    assert not fusion.consistency.exchanged.order and all(valid[-1])
