"""Several cameras that see the same hands: one estimate, whatever single cameras do."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from fusion_support import ASSETS, FRAME, LATER, STEP, Scene, both, run, wrist_errors

from fourdhands_core.fusion.bumps import Bumps
from fourdhands_core.fusion.consistency import Consistency
from fourdhands_core.fusion.deviations import Deviations
from fourdhands_core.fusion.fusion import HandFusion
from fourdhands_core.fusion.matching import ELSEWHERE, EXCHANGED
from fourdhands_core.fusion.schedule import Schedule
from fourdhands_core.geometry.rigid import Rigid
from fourdhands_core.geometry.rotations import matrix_from_axis_angle
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.pipeline.types import HELD


def test_two_views_place_hands_that_one_view_misplaces():
    scene = Scene()
    _, results = run(scene, range(0, 40 * FRAME, FRAME), both(scene))
    errors = np.array([wrist_errors(scene, *one) for one in results[10:]])
    assert len(results) >= 39
    assert np.nanmean(errors) < 0.006
    assert not np.isnan(errors).any()
    last, moment = results[-1]
    assert last.pair.cameras == (("camera_0", "camera_1"),) * 2
    truth = scene.truth(moment)
    np.testing.assert_allclose(last.pair.left_root_relative, truth[LEFT, 0] - truth[RIGHT, 0], atol=0.012)
    single = scene.view(0, moment)
    apart = [np.linalg.norm(single.pose.apply(h.joints[0]) - truth[h.side, 0]) for h in single.estimate.hands]
    assert min(apart) > 0.03


def test_the_size_that_two_views_show_is_kept_for_one():
    scene = Scene(noise=0.5)
    fusion, _ = run(scene, range(0, 60 * FRAME, FRAME), both(scene))
    moments = range(60 * FRAME, 90 * FRAME, FRAME)
    _, results = run(scene, moments, lambda m: [scene.view(0, m)], fusion)
    errors = np.array([wrist_errors(scene, *one) for one in results])
    assert all(fused.pair.cameras == (("camera_0",),) * 2 for fused, _ in results[4:])
    assert np.nanmax(errors) < 0.03  # 8 % of half a metre are 40 mm


def test_a_depth_image_places_hands_of_unknown_size():
    scene = Scene(angles=(-1.0, 1.0), wrong=0.0, noise=1.5)
    off = {}
    for depth in (False, True):

        def views(moment, depth=depth):
            view = scene.view(0, moment)
            left, right = (replace(hand, by_depth=depth) for hand in view.estimate.hands)
            return [replace(view, estimate=replace(view.estimate, left=left, right=right))]

        _, results = run(scene, range(0, 40 * FRAME, FRAME), views)
        off[depth] = np.nanmean([wrist_errors(scene, *one) for one in results[10:]])
    assert off[True] < 0.008 and off[False] > 2.0 * off[True]


def test_from_two_views_to_one_and_back_a_wrist_does_not_jump():
    scene = Scene(noise=0.7)
    seen = lambda m: both(scene)(m) if (m // (20 * FRAME)) % 2 == 0 else [scene.view(0, m)]
    _, results = run(scene, range(0, 80 * FRAME, FRAME), seen)
    errors = [
        (fused.pair.stamp, [h.joints[0] - scene.truth(m)[h.side, 0] for h in fused.pair.hands], fused.pair.cameras)
        for fused, m in results[10:]
    ]
    changes = 0
    for (_, before, views), (_, after, now) in itertools.pairwise(errors):
        if views != now:
            changes += 1
            for one, other in zip(before, after):
                assert np.linalg.norm(one - other) < 0.005
    assert changes >= 3


def test_what_one_view_gets_wrong_of_a_pose_is_remembered_for_when_it_is_alone(monkeypatch):
    def errors():
        scene = Scene(noise=0.7, tilt=0.4)
        fusion, _ = run(scene, range(0, 30 * FRAME, FRAME), both(scene))
        _, results = run(scene, range(30 * FRAME, 45 * FRAME, FRAME), lambda m: [scene.view(0, m)], fusion)
        joints = [(h.joints, scene.truth(m)[h.side]) for fused, m in results[2:] for h in fused.pair.hands]
        wrist = np.mean([np.linalg.norm(one[0] - true[0]) for one, true in joints])
        return wrist, np.mean([np.linalg.norm(one - one[0] - true + true[0], axis=1).mean() for one, true in joints])

    wrist, pose = errors()
    monkeypatch.setattr(Deviations, "corrected", lambda self, camera, side, own, stamp: own)
    before = errors()
    assert wrist < 0.012 and pose < 0.009, (wrist, pose)
    assert pose < 0.7 * before[1], (wrist, pose, before)


def test_a_view_that_exchanges_the_hands_is_named_and_corrected():
    scene = Scene()
    fusion, _ = run(scene, range(0, 20 * FRAME, FRAME), both(scene))
    _, results = run(scene, range(20 * FRAME, 30 * FRAME, FRAME), both(scene, exchanged=True), fusion)
    errors = np.array([wrist_errors(scene, *one) for one in results])
    assert np.nanmax(errors) < 0.02
    named = [why for fused, _ in results for camera, why in fused.left_out if camera == "camera_1"]
    assert len(named) >= 8 and all(EXCHANGED in why for why in named)


def test_a_view_that_follows_the_hand_in_front_does_not_carry_the_fused_hands():
    """As hands cross, one camera's tracker goes from the hidden hand to the one in front, and exchanges both afterwards."""
    scene = Scene(angles=(-35.0, 35.0), noise=0.7)
    start, hidden, apart = 4 * STEP, int(4.6 * STEP), int(5.0 * STEP)

    def views(moment):
        sides = (RIGHT,) if hidden <= moment < apart else (LEFT, RIGHT)  # with exchanged, RIGHT is called the left hand
        return [scene.view(0, moment, sides, exchanged=moment >= hidden), scene.view(1, moment + LATER)]

    _, results = run(scene, range(start, int(6.5 * STEP), FRAME), views)
    errors = np.array([wrist_errors(scene, *one) for one in results[10:]])
    assert np.nanmax(errors) < 0.04 and np.nanmean(errors) < 0.01


def test_hands_that_were_lost_to_one_wrong_view_are_found_again():
    """A camera that alone saw the hands exchanged them; the others, which come back, agree on where they are."""
    scene = Scene(angles=(-35.0, 0.0, 35.0), noise=0.7)
    wrong = lambda m: [scene.view(0, m, exchanged=True)]
    fusion, _ = run(scene, range(0, 6 * FRAME, FRAME), wrong)
    right = lambda m: [scene.view(1, m), scene.view(2, m)]
    _, results = run(scene, range(6 * FRAME, 40 * FRAME, FRAME), right, fusion)
    assert np.nanmax([wrist_errors(scene, *one) for one in results[-15:]]) < 0.02


def test_hands_that_all_views_call_by_the_wrong_sides_are_not_valid_elsewhere():
    """A left hand's pose fits no right hand: it was published as valid, metres away."""
    scene = Scene(noise=0.7)
    views = lambda m: [scene.view(k, m + k * LATER, exchanged=60 <= m // FRAME < 90) for k in (0, 1)]
    _, results = run(scene, range(0, 120 * FRAME, FRAME), views)
    errors = np.array([wrist_errors(scene, *one) for one in results])
    assert np.nanmax(errors) < 0.03 and not np.isnan(errors[-20:]).any()


def test_quick_hands_are_not_exchanged_where_images_are_few_and_some_are_lost():
    """Five images a second of hands that move by 0.2 m meanwhile, a third of the images lost."""
    scene, rng, fusion = Scene(noise=3.0, seed=4), np.random.default_rng(4), HandFusion(ASSETS)
    for k in range(14):
        for number in (0, 1):
            if rng.random() < 0.3:
                continue
            view = scene.view(number, 4 * STEP // 5 * k, stamp=1 + (20 * k + number) * 10**7)
            for fused in fusion.add(view):
                truth = scene.truth(4 * STEP // 5 * (fused.pair.stamp // (2 * 10**8)))[:, 0]
                apart = [np.linalg.norm(h.joints[0] - truth[h.side]) for h in fused.pair.hands if h.valid]
                assert max(apart, default=0.0) < 0.08 and not any(EXCHANGED in why for _, why in fused.left_out)


def test_another_person_in_one_view_changes_nothing():
    scene = Scene()
    fusion, _ = run(scene, range(0, 20 * FRAME, FRAME), both(scene))
    other = both(scene, elsewhere=(0.35, 0.1, 0.2))
    _, results = run(scene, range(20 * FRAME, 40 * FRAME, FRAME), other, fusion)
    errors = np.array([wrist_errors(scene, *one) for one in results])
    assert np.nanmax(errors) < 0.035
    assert all(("camera_1", ELSEWHERE) in fused.left_out for fused, _ in results[2:])
    assert all("camera_1" not in cameras for fused, _ in results[2:] for cameras in fused.pair.cameras)


def test_another_person_whose_hands_meet_ones_own_at_no_hands_size_is_not_fused_with_them():
    """From the start, at one height, so that the rays of both persons' hands meet, nearer than either hand."""
    scene, apart = Scene(), np.array([-0.3, 0.0, -0.15])
    _, results = run(scene, range(0, 16 * FRAME, FRAME), both(scene, elsewhere=apart))
    for fused, moment in results:
        for hand in fused.pair.hands:
            truth = scene.truth(moment)[hand.side, 0]
            assert not hand.valid or min(np.linalg.norm(hand.joints[0] - one) for one in (truth, truth + apart)) < 0.06


def test_a_camera_that_was_turned_is_left_out_by_three():
    scene = Scene(angles=(-30.0, 0.0, 30.0))
    turned = scene.poses[1] @ Rigid(matrix_from_axis_angle(np.radians([5.0, 0.0, 0.0])))

    def views(moment):
        return [scene.view(0, moment), scene.view(1, moment, pose=turned), scene.view(2, moment)]

    _, results = run(scene, range(0, 30 * FRAME, FRAME), views)
    errors = np.array([wrist_errors(scene, *one) for one in results[10:]])
    assert np.nanmean(errors) < 0.008
    out = [camera for fused, _ in results for camera, _ in fused.left_out]
    assert out.count("camera_1") > 40 and out.count("camera_0") + out.count("camera_2") < 5


def test_no_hand_is_valid_that_no_view_shows():
    scene = Scene()
    fusion, _ = run(scene, range(0, 10 * FRAME, FRAME), both(scene))
    blind = lambda m: [scene.view(0, m, sides=(RIGHT,)), scene.view(1, m, sides=(RIGHT,))]
    _, results = run(scene, range(10 * FRAME, 30 * FRAME, FRAME), blind, fusion)
    assert not any(fused.pair.left.valid for fused, _ in results[1:])
    assert results[-1][0].pair.left.state == "absent" and results[3][0].pair.left.state == "held"
    assert results[-1][0].pair.left_root_relative is None and results[-1][0].pair.cameras[LEFT] == ()


def test_time_that_goes_back_begins_anew():
    scene = Scene()
    fusion, _ = run(scene, range(90 * FRAME, 100 * FRAME, FRAME), both(scene))
    _, results = run(scene, range(0, 10 * FRAME, FRAME), both(scene), fusion)
    assert len(results) >= 9 and results[-1][0].pair.left.valid


def test_a_recording_of_less_than_two_seconds_in_a_loop():
    """Nothing came of it but once: its stamps were all taken to be late. One that is late alone is passed over."""
    scene, fusion = Scene(), None
    for _ in range(3):
        fusion, results = run(scene, range(0, 12 * FRAME, FRAME), both(scene), fusion)
        assert len(results) >= 11 and results[-1][0].pair.left.valid
    assert not fusion.add(scene.view(0, 5 * FRAME)) and fusion.add(scene.view(0, 12 * FRAME)) + fusion.add(
        scene.view(1, 12 * FRAME)
    )


def test_the_schedule_waits_for_what_is_due_only():
    schedule, out = Schedule(), []
    for step in range(10):
        for camera, after in (("a", 0), ("b", 10)):
            if camera == "b" and step > 5:
                continue
            stamp = (33 * step + after) * 1_000_000
            if schedule.arrived(camera, stamp):
                out.append(("overdue", step))
                schedule.fused(stamp - 33_000_000)
            if schedule.ready(camera, stamp):
                out.append((camera, step))
                schedule.fused(stamp)
    assert out[-3:] == [("a", 7), ("a", 8), ("a", 9)]
    assert out.count(("overdue", 7)) == 1 and ("b", 3) in out and ("a", 3) not in out


def test_clocks_that_are_apart_are_found_and_corrected():
    scene = Scene(angles=(-30.0, 30.0), noise=0.5, nods=0.05)
    views = lambda m: [scene.view(0, m), scene.view(1, m, stamp=scene.stamp(m) + 50_000_000)]
    fusion, _ = run(scene, range(60 * FRAME, 180 * FRAME, FRAME), views)
    clocks = fusion.consistency.clocks()
    assert clocks["camera_1"][0] - clocks["camera_0"][0] == pytest.approx(0.05, abs=0.012)
    assert "stamps of camera_1 are" in fusion.consistency.problems(fusion.newest()[0].stamp)[0]


@pytest.mark.parametrize("turn", [(5.0, 0.0, 0.0), (3.5, 3.5, 0.0), (0.0, 5.0, 0.0), (0.0, -5.0, 0.0), (0.0, 0.0, 5.0)])
def test_one_of_two_cameras_that_was_bumped_is_told_within_two_seconds(turn):
    scene, before = Scene(angles=(-17.5, 17.5)), 65 * FRAME
    fusion, _ = run(scene, range(0, before, FRAME), both(scene))
    assert not fusion.consistency.problems(fusion.newest()[0].stamp)
    turned = scene.poses[1] @ Rigid(matrix_from_axis_angle(np.radians(turn)))
    views = lambda m: [scene.view(0, m), scene.view(1, m + LATER, pose=turned)]
    run(scene, range(before, before + 58 * FRAME, FRAME), views, fusion)
    (told,) = fusion.consistency.problems(fusion.newest()[0].stamp)
    assert "a camera has moved" in told or "is left out" in told


@pytest.mark.parametrize(
    "turned, words",
    [
        ({"left": 0.1, "right": 0.0, "top": 0.0}, "left sees the hands turned by 6 degrees"),
        ({"left": 0.1, "right": 0.0}, "left and right see the hands turned by 6 degrees"),  # which of two is not known
        ({"right": 0.1, "left": 0.09, "top": 0.0}, "left and right see the hands turned"),
        ({"right": 0.1, "left": 0.09, "top": 0.1}, "left, right and top see the hands turned"),
    ],
)
def test_one_camera_sees_and_several_see(monkeypatch, turned, words):
    monkeypatch.setattr(Bumps, "turns", lambda self: turned)
    assert Consistency().problems(0)[0].startswith(words)


@pytest.mark.parametrize(
    "beside, words",
    [
        ({"left": 0.02, "right": 0.01, "top": 0.01}, "left sees the hands 20 mm beside the others"),
        ({"left": 0.02, "right": 0.01}, "left and right see the hands 20 mm beside one another"),
        ({"left": 0.02, "right": 0.03}, "left and right see the hands 30 mm beside one another"),
    ],
)
def test_beside_whom_cameras_see_the_hands(monkeypatch, beside, words):
    monkeypatch.setattr(Consistency, "shifts", lambda self: beside)
    assert Consistency().problems(0)[0].startswith(words)


def test_of_reasons_that_are_as_frequent_the_first_is_told():
    """It was another one in each process."""
    consistency = Consistency()
    for number in range(12):
        consistency.left_out(number, ["left", "right"], [("left", f"reason {number % 6}")])
    assert consistency.problems(12) == ["left is left out: reason 0"]


@pytest.mark.parametrize(
    "degrees, larger, told", [(1.3, 0.03, True), (0.5, 0.03, False), (1.2, 0.01, False), (0.1, -0.06, True)]
)
def test_a_turn_and_a_change_of_size_together_tell_a_bump(monkeypatch, degrees, larger, told):
    monkeypatch.setattr(Bumps, "turns", lambda self: {"left": np.radians(degrees), "right": 0.0})
    monkeypatch.setattr(Bumps, "sizes", lambda self, stamp: {frozenset(("left", "right")): (larger, 2)})
    assert ("left and right together see the hands" in Bumps().problem(0)) == told


def test_another_persons_hands_may_be_why_their_size_changes():
    """No camera has moved: the words leave it open."""
    scene, before = Scene(angles=(-17.5, 17.5)), 65 * FRAME
    fusion, _ = run(scene, range(0, before, FRAME), both(scene))
    scene.betas = scene.betas + np.eye(10)[0] * 5.0  # a fifth larger
    run(scene, range(before, before + 58 * FRAME, FRAME), both(scene), fusion)
    (told,) = fusion.consistency.problems(fusion.newest()[0].stamp)
    assert "% larger than before: they are another person's, or a camera has moved" in told


def test_after_a_reset_no_estimate_comes_of_a_stamp_that_is_out():
    """As of an image that was in work: TF takes a stamp once. Where time goes back all the same, what comes then counts."""
    scene = Scene()
    fusion, results = run(scene, range(720, 730), lambda m: [scene.view(0, m)])
    fusion.reset(fusion.emitted)
    assert results and not fusion.add(scene.view(1, 729)) and not fusion.add(scene.view(0, 728))
    assert fusion.add(scene.view(0, 737)) or fusion.add(scene.view(1, 737))
    fusion.reset(fusion.emitted)
    assert any(fusion.add(scene.view(number, 737, stamp=1)) for number in (0, 1, 0))
    assert not HandFusion(ASSETS).emitted


def test_hands_are_not_valid_in_the_first_estimate_after_a_reset():
    """They jump there, by 27 mm where one camera is the first to deliver, and a robot that follows them is to know."""
    scene = Scene(seed=3)
    fusion, _ = run(scene, range(0, 30 * FRAME, FRAME), both(scene))
    fusion.add(scene.view(0, 30 * FRAME))
    fusion.reset(fusion.emitted)
    results = [fused.pair for fused in fusion.add(scene.view(1, 30 * FRAME + LATER))]
    results += [one.pair for one, _ in run(scene, range(31 * FRAME, 34 * FRAME, FRAME), both(scene), fusion)[1]]
    assert [hand.state for hand in results[0].hands] == [HELD, HELD] and len(results) > 2
    assert all(hand.valid for pair in results[1:] for hand in pair.hands)


def test_one_hand_of_each_of_two_persons_is_no_pair():
    """Both cameras see a right hand, which lie far apart: one of them was taken for the left hand, and both were valid."""
    scene = Scene(seed=3)
    views = lambda m: [scene.view(0, m, (RIGHT,)), scene.view(1, m, (RIGHT,), elsewhere=(0.25, 0.1, 0.1))]
    _, results = run(scene, range(0, 40 * FRAME, FRAME), views)
    together = [fused.pair for fused, _ in results if len(fused.views) > 1]
    assert len(together) > 30 and not any(hand.valid for pair in together for hand in pair.hands)
