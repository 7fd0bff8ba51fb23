"""Cameras of several rates, whose images come late, or whose clocks are apart: what is fused, and what is told."""

import numpy as np
import pytest
from fusion_support import ASSETS, STEP, Scene, wrist_errors

from fourdhands_core.fusion.fusion import HandFusion

BEGIN = 10**15


def arrivals(rates, late, seconds=4.0):
    """(seconds, camera, moment) of images in the order in which they come. late: by camera, seconds on the way."""
    rows = [
        (moment / STEP + late[number], number, moment)
        for number, rate in enumerate(rates)
        for moment in range(0, round(seconds * STEP), STEP // rate)
    ]
    return [row[1:] for row in sorted(rows)]


@pytest.mark.parametrize(
    "rates, late",
    [((30, 8), (0.0, 0.0)), ((60, 15), (0.0, 0.0)), ((30, 30), (0.08, 0.0)), ((60, 60), (0.1, 0.0))],
    ids=["one at 8 Hz", "one at 15 beside 60 Hz", "one 80 ms late", "one 100 ms late at 60 Hz"],
)
def test_older_views_do_not_make_the_hands_swing(rates, late):
    """Moved by a velocity that was made of them, they told more of it each time: wrists were off by up to 0.5 m."""
    scene, fusion, errors = Scene(), HandFusion(ASSETS), []
    for number, moment in arrivals(rates, late):
        for fused in fusion.add(scene.view(number, moment)):
            assert fused.pair.left.valid and fused.pair.right.valid
            errors.append(wrist_errors(scene, fused, round((fused.pair.stamp - 1) * 1e-9 * STEP)))
    assert np.mean(errors[10:]) < 0.006 and np.max(errors[10:]) < 0.03, (np.mean(errors[10:]), np.max(errors[10:]))


def fused(scene, offset, seconds, gone=lambda number, moment: False):
    """(HandFusion, [(moment, Fused)]) of cameras of 30 Hz whose images come in time. offset: from a camera and a moment to the
    seconds by which its stamp is late. gone: whether the camera is dead."""
    fusion, results = HandFusion(ASSETS), []
    for moment in range(0, round(seconds * STEP), STEP // 30):
        for number in range(len(scene.poses)):
            if not gone(number, moment):
                stamp = BEGIN + scene.stamp(moment + 2 * number) + round(offset(number, moment) * 1e9)
                results += [(moment, one) for one in fusion.add(scene.view(number, moment + 2 * number, stamp=stamp))]
    return fusion, results


def problems(fusion):
    return "; ".join(fusion.consistency.problems(max(view.stamp for view in fusion.newest())))


@pytest.mark.parametrize("offset", [0.15, -0.1, 1.0, -3600.0])
def test_clocks_that_are_far_apart_are_told(offset):
    """No image of the one is used beside the other's: nothing said so."""
    fusion, results = fused(Scene(), lambda number, moment: offset * number, 2.0)
    assert "camera_1" in problems(fusion) if offset < 0 else "camera_0" in problems(fusion)
    assert "clock is apart" in problems(fusion) and len(results) >= 59
    assert all(one.pair.cameras[0] in (("camera_0",), ("camera_1",)) for _, one in results[2:])


@pytest.mark.parametrize("apart", [0.0, 0.09])
def test_clocks_that_are_apart_in_calm_motion(apart):
    """Wrists were 7 mm off in the mean, and 31 at most, without a word."""
    fusion, _ = fused(Scene(), lambda number, moment: apart * number, 4.0)
    assert ("the clocks are apart: stamps of camera_1 are" in problems(fusion)) == bool(apart)


def test_two_cameras_of_one_time_count_more_than_one_of_a_later_one():
    fusion, results = fused(Scene(angles=(-25.0, 25.0, 0.0)), lambda number, moment: 3600.0 * (number == 2), 2.0)
    assert "camera_2 is left out: its stamps are 3600.0 s later" in problems(fusion)
    assert all(one.pair.cameras[0] == ("camera_0", "camera_1") for _, one in results[2:]) and len(results) >= 59


@pytest.mark.parametrize("wrong", [1.0, 0.0], ids=["one stamp", "all stamps"])
def test_a_camera_whose_stamps_were_ahead_takes_nothing_with_it_when_it_dies(wrong):
    """The others' hands were of before, so that none came for an hour."""
    die = STEP
    offset = lambda number, moment: 3600.0 * (number == 1 and moment >= wrong * die)
    _, results = fused(Scene(), offset, 3.0, lambda number, moment: number == 1 and moment > die)
    after = [one for moment, one in results if moment > die + 0.6 * STEP]
    assert len(after) > 35 and all(one.pair.left.valid and one.pair.cameras[0] == ("camera_0",) for one in after)


def test_a_dead_camera_whose_clock_was_ahead_is_not_compared_when_the_others_get_there():
    """What it saw last was taken for what was there a second later: hands were not valid, and it was told to have moved."""
    die = STEP
    fusion, results = fused(
        Scene(), lambda number, moment: 1.0 * number, 4.0, lambda number, moment: number == 1 and moment > die
    )
    after = [one.pair for moment, one in results if moment > die + 0.6 * STEP]
    assert len(after) > 55 and all(pair.left.valid and pair.cameras[0] == ("camera_0",) for pair in after)
    assert not problems(fusion)


def test_one_wrong_stamp_is_passed_over():
    scene = Scene()
    fusion, results = fused(scene, lambda number, moment: 3600.0 * (number == 1 and moment == STEP), 2.0)
    assert all(BEGIN < one.pair.stamp < BEGIN + 3e9 for _, one in results) and len(results) >= 59
    assert fusion.betas.any() and results[-1][1].pair.cameras[0] == ("camera_0", "camera_1")
