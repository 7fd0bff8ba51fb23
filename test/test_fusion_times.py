"""Cameras of several rates, whose images come late, or whose clocks are apart: what is fused, and what is told."""

import numpy as np
import pytest
from fusion_support import ASSETS, STEP, Scene, wrist_errors

from fourdhands_core.fusion.fusion import HandFusion


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
