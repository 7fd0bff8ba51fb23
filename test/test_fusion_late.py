"""Fusion of cameras that are slow, late, dead or frozen."""

from dataclasses import replace

import numpy as np
import pytest
from fusion_support import ASSETS, FRAME, LATER, Scene, both, run, wrist_errors

from fourdhands_core.fusion.fusion import HandFusion
from fourdhands_core.fusion.matching import FROZEN
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT


@pytest.mark.parametrize("slow", [2, 3])
def test_a_slow_camera_slows_nothing(slow):
    scene = Scene()
    views = lambda m: [scene.view(0, m)] + [scene.view(1, m + LATER)] * ((m // FRAME) % slow == 0)
    _, results = run(scene, range(0, 60 * FRAME, FRAME), views)
    errors = np.array([wrist_errors(scene, *one) for one in results[10:]])
    assert len(results) >= 55
    assert np.nanmean(errors) < 0.009


def test_a_dead_camera_costs_one_wait():
    scene = Scene()
    fusion, _ = run(scene, range(0, 20 * FRAME, FRAME), both(scene))
    moments = list(range(20 * FRAME, 40 * FRAME, FRAME))
    _, results = run(scene, moments, lambda m: [scene.view(0, m)], fusion)
    assert [moment for _, moment in results[-15:]] == moments[-15:]
    _, results = run(scene, range(60 * FRAME, 80 * FRAME, FRAME), both(scene), fusion)  # and it comes back
    assert results[-1][0].pair.cameras[0] == ("camera_0", "camera_1")


@pytest.mark.parametrize("names, most", [((0, 1), 0.05), ((0, 1, 2), 0.02)], ids=["of two", "of three"])
def test_a_camera_whose_image_freezes_is_left_out_and_named(names, most):
    """Its driver sent its last image again and again with new stamps: three quarters of a rendered clip's hands were valid,
    and 0.16 m off in the mean."""
    scene, last = Scene(angles=(-25.0, 25.0, 0.0)), 30 * FRAME

    def views(moment):
        view = scene.view(0, min(moment, last), stamp=scene.stamp(moment))
        frozen = replace(view, estimate=replace(view.estimate, since=scene.stamp(min(moment, last))))
        return [frozen, *(scene.view(number, moment + LATER) for number in names[1:])]

    fusion, results = run(scene, range(0, 120 * FRAME, FRAME), views)
    errors = np.array([wrist_errors(scene, *one) for one in results])
    assert np.nanmax(errors) < most and np.isfinite(errors).mean() > 0.95
    since = [fused.pair.cameras for fused, moment in results if moment > last + 6 * FRAME]
    assert len(since) > 80 and not any("camera_0" in cameras for pair in since for cameras in pair)
    assert fusion.consistency.problems(results[-1][0].pair.stamp) == [f"camera_0 is left out: {FROZEN}"]


def test_hands_that_hold_still_before_all_cameras_are_no_frozen_image():
    """Simulated cameras without noise."""
    scene = Scene(noise=0.0)

    def views(moment):
        begun = (0, 20 * FRAME) if moment >= 20 * FRAME else (0,)
        seen = [scene.view(number, 0, stamp=scene.stamp(moment + LATER * number)) for number in range(len(begun))]
        return [replace(one, estimate=replace(one.estimate, since=scene.stamp(since))) for one, since in zip(seen, begun)]

    fusion, results = run(scene, range(0, 60 * FRAME, FRAME), views)
    assert all(fused.pair.cameras == (("camera_0", "camera_1"),) * 2 for fused, _ in results[24:]) and len(results) >= 59
    assert fusion.consistency.problems(results[-1][0].pair.stamp) == []


def test_what_a_dead_camera_saw_last_is_soon_no_hand():
    """The other one goes on, and sees none; or both, without the dead one."""
    scene = Scene()
    for sides in ((), (LEFT, RIGHT)):
        fusion, _ = run(scene, range(0, 20 * FRAME, FRAME), both(scene))
        _, results = run(
            scene, range(20 * FRAME, 35 * FRAME, FRAME), lambda m, sides=sides: [scene.view(0, m, sides=sides)], fusion
        )
        later = [fused for fused, moment in results if moment >= 25 * FRAME]
        assert len(later) == 10 and all(hand.valid == bool(sides) for fused in later for hand in fused.pair.hands)
        assert all(view.name == "camera_0" for fused in later for view in fused.views)


def test_stamps_of_estimates_only_go_forwards_and_late_images_are_not_lost_sight_of():
    scene = Scene()
    fusion = HandFusion(ASSETS)
    stamps = []
    for moment in range(0, 40 * FRAME, FRAME):
        for view in (scene.view(0, moment + FRAME), scene.view(1, moment)):  # the second is one image late, always
            stamps += [fused.pair.stamp for fused in fusion.add(view)]
    assert stamps == sorted(set(stamps)) and len(stamps) >= 35
