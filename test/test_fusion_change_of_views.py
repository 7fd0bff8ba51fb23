"""Hands that now several cameras see, and now one, or one of them badly."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from fusion_support import ASSETS, FRAME, STEP, Scene

from fourdhands_core.fusion.fusion import HandFusion
from fourdhands_core.fusion.track import FusedTrack
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.pipeline.settings import TrackerSettings


def run(scene, frames, seen):
    """[(cameras of the left hand, its wrist's error (3,), metres)]. seen: from a frame to [View]."""
    fusion, results = HandFusion(ASSETS), []
    for frame in range(frames):
        for view in seen(frame):
            for fused in fusion.add(view):
                assert fused.pair.left.valid
                moment = round((fused.pair.stamp - 1) * 1e-9 * STEP)
                results.append((fused.pair.cameras[LEFT], fused.pair.left.joints[0] - scene.truth(moment)[LEFT, 0]))
    return results[10:]


def at_changes(results):
    """Metres by which the wrist steps beyond its motion where other cameras show it than before."""
    pairs = itertools.pairwise(results)
    return [np.linalg.norm(after - before) for (views, before), (now, after) in pairs if views != now]


def test_a_hand_that_is_unclear_to_one_camera_is_placed_by_the_other():
    scene = Scene(noise=0.7)

    def seen(frame):
        one, other = (scene.view(number, frame * FRAME) for number in (0, 1))
        if frame >= 30:  # a hand that is half out of the image: what the detector makes of it lies within
            rays = other.rays.copy()
            rays[LEFT, :, 0] += 0.06 / 0.5
            left = replace(other.estimate.left, joint_confidence=np.full(21, 0.2), confidence=0.4)
            other = replace(other, rays=rays, estimate=replace(other.estimate, left=left))
        return [one, other]

    results = run(scene, 45, seen)
    assert results[0][0] == ("camera_0", "camera_1") and results[-1][0] == ("camera_0",)
    assert max(np.linalg.norm(error) for _, error in results) < 0.025
    assert len(steps := at_changes(results)) == 1 and steps[0] < 0.005


def test_without_a_hold_hands_go_on_from_before_as_with_one():
    """All that is remembered of a hand was forgotten with each image: nothing kept it from a jump where views change."""
    scene = Scene(noise=1.0)
    held, plain = (HandFusion(ASSETS, TrackerSettings(hold=hold)) for hold in (0.3, 0.0))
    for frame in range(40):
        if frame == 30:
            held.reset(held.emitted), plain.reset(plain.emitted)
        for number in (0, 1)[: 1 if frame % 10 > 6 else 2]:
            view = scene.view(number, frame * FRAME)
            for one, other in zip(held.add(view), plain.add(view), strict=True):
                for hand, same in zip(one.pair.hands, other.pair.hands):
                    assert hand.valid == same.valid == (frame != 30), "first of a reset, where a robot is not to follow"
                    assert same.joints is None if frame == 30 else (hand.joints == same.joints).all()


def test_a_view_that_is_about_as_clear_as_one_that_is_left_out_does_not_come_and_go():
    scene = Scene(noise=0.3)

    def seen(frame):
        one, other = (scene.view(number, frame * FRAME) for number in (0, 1))
        if frame >= 20:
            left = replace(other.estimate.left, joint_confidence=np.full(21, 0.28 if frame % 2 else 0.33))
            other = replace(other, estimate=replace(other.estimate, left=left))
        return [one, other if frame < 40 else scene.view(1, frame * FRAME)]

    views = [cameras for cameras, _ in run(scene, 50, seen)]
    both, alone = ("camera_0", "camera_1"), ("camera_0",)
    assert [cameras for cameras, _ in itertools.groupby(views)] == [both, alone, both]


def test_a_wrist_goes_on_where_one_view_alone_would_have_it_elsewhere():
    scene = Scene(noise=0.3)

    def seen(frame):
        views = [scene.view(0, frame * FRAME), scene.view(1, frame * FRAME)]
        rays = views[0].rays
        larger = rays + 0.04 * (rays - rays.mean(1, keepdims=True))  # so large that a hand alone is 20 mm nearer
        views[0] = replace(views[0], rays=larger)
        return views[:1] if (frame // 15) % 2 else views

    results = run(scene, 90, seen)
    steps = at_changes(results)
    assert len(steps) == 5 and max(steps) < 0.005


def test_what_a_view_was_wrong_by_when_it_was_left_alone_does_not_stay_for_seconds():
    scene = Scene(noise=0.3)

    def seen(frame):
        alone = frame - 30
        views = [scene.view(0, frame * FRAME), scene.view(1, frame * FRAME)]
        rays = views[0].rays
        larger = rays + 0.08 * np.exp(-abs(alone) / 3.0) * (rays - rays.mean(1, keepdims=True))
        views[0] = replace(views[0], rays=larger)
        return views if alone < 0 else views[:1]

    results = run(scene, 60, seen)
    assert max(at_changes(results)) < 0.005
    assert np.linalg.norm([error for _, error in results[-10:]], axis=1).mean() < 0.008


def test_what_one_view_drifts_by_in_a_few_images_is_taken_back_gently():
    scene, track, interval, places = Scene(), FusedTrack(LEFT, 0.3, 0.3, 10.0), 1.0 / 30.0, []
    shown = [one for number in (0, 1) for one in scene.view(number, 0).sightings() if one.label == LEFT]
    for frame in range(60):
        alone = 30 <= frame < 37
        wrist = np.array([0.0, 0.0, 0.003 * (frame - 29) if alone else 0.0])
        wrist = wrist + track.join(shown[:1] if alone else shown, wrist, interval)
        track.joints = np.tile(wrist, (21, 1))
        places.append(wrist[2])
    assert 0.015 < places[36] and abs(places[37] - places[36]) < 0.005
    assert abs(places[-1]) < 0.001


@pytest.mark.parametrize(("grows", "swing", "most"), [(0.003, 0.0, 0.005), (0.0, 0.1, 0.016)])
def test_a_hand_goes_on_as_it_moves_and_not_as_the_distance_of_one_view_drifts(grows, swing, most):
    """Of a hand that is alone a camera makes another distance, the more so the longer. Where it really goes to and fro along
    that ray, by up to 23 mm an image, it is not held back."""
    scene = Scene(noise=0.3)
    ways = swing * np.sin(2.0 * np.pi * 1.1 * np.arange(len(scene.wrists)) / STEP)
    scene.wrists = scene.wrists + ways[:, None, None] * scene.poses[0].rotation[:, 2]

    def seen(frame):
        views = [scene.view(0, frame * FRAME), scene.view(1, frame * FRAME)]
        rays = views[0].rays
        larger = rays + (0.02 + grows * (frame % 15)) * (rays - rays.mean(1, keepdims=True))
        return [replace(views[0], rays=larger), *views[1:]][: 1 + (frame // 15 + 1) % 2]

    steps = at_changes(run(scene, 120, seen))
    assert len(steps) == 7 and max(steps) < most


def test_a_hand_that_a_camera_sees_every_second_time_loses_nothing_of_its_motion():
    scene = Scene(noise=0.3)

    def seen(frame):
        return [scene.view(0, frame * FRAME), scene.view(1, frame * FRAME, (LEFT, RIGHT) if frame % 2 else (RIGHT,))]

    results = run(scene, 60, seen)
    assert len(at_changes(results)) > 40
    assert np.median([np.linalg.norm(error) for _, error in results]) < 0.006


@pytest.mark.parametrize(("lost", "confidence", "called"), [(20, 0.25, LEFT), (4, 0.6, RIGHT)])
def test_a_hand_comes_back_only_where_a_view_sees_it_well_and_calls_it_by_its_side(lost, confidence, called):
    """The left hand is lost to both cameras; then one takes what it sees there badly, or calls a right hand, for it."""
    scene, fusion, valid = Scene(noise=0.3), HandFusion(ASSETS), []
    for frame in range(24 + lost):
        for number in (0, 1):
            back = frame >= 20 + lost and number == 0
            alone = () if frame >= 20 + lost and called == RIGHT else (RIGHT,)
            view = scene.view(number, frame * FRAME, sides=(LEFT, RIGHT) if frame < 20 or back else alone)
            if back:
                left = replace(view.estimate.left, joint_confidence=np.full(21, confidence))
                estimate = replace(view.estimate, left=left)
                if called == RIGHT:
                    estimate = replace(view.estimate, left=replace(left, valid=False), right=replace(left, side=RIGHT))
                    view = replace(view, rays=view.rays[[LEFT, LEFT]])
                view = replace(view, estimate=estimate)
            valid += [(frame, fused.pair.left.valid) for fused in fusion.add(view)]
    assert all(known for frame, known in valid if frame < 20) and not any(known for frame, known in valid if frame >= 20)


@pytest.mark.parametrize("seed", [3, 4, 5, 6])
def test_a_view_that_comes_counts_from_its_second_image_on(seed):
    """Its first one tells no motion, and what one camera alone tells of a hand that moves along its ray is not enough."""
    scene = Scene(noise=0.7, seed=seed, nods=0.05)
    ways = 0.05 * np.sin(2.0 * np.pi * 0.9 * np.arange(len(scene.wrists)) / STEP)
    scene.wrists = scene.wrists + ways[:, None, None] * scene.poses[0].rotation[:, 2]
    shown = lambda frame: (LEFT, RIGHT) if frame // 10 % 2 else (RIGHT,)
    results = run(scene, 150, lambda frame: [scene.view(0, frame * FRAME), scene.view(1, frame * FRAME, shown(frame))])
    views = [one for one, _ in results]
    alone, both = ("camera_0",), ("camera_0", "camera_1")
    assert views[10:] == [both if n % 20 and n // 10 % 2 == 0 else alone for n in range(10, len(views))]
    comes = [np.linalg.norm(results[n][1] - results[n - 1][1]) for n in range(21, len(views), 20)]

    assert len(comes) == 6 and max(comes) < 0.006


@pytest.mark.parametrize(("every", "hidden"), [(5, 0), (2, 0), (2, 1)])
def test_a_slow_camera_that_comes_to_a_quick_one_counts_from_its_second_image_on(every, hidden):
    """Of 6 or 15 images a second beside 30; also where it sees the hand in every second image alone."""
    scene = Scene(noise=0.7)

    def seen(frame):
        shown = frame > 40 and (not hidden or frame // every % 2)
        second = [scene.view(1, frame * FRAME, (LEFT, RIGHT) if shown else (RIGHT,))]
        return [scene.view(0, frame * FRAME), *(second if frame % every == 0 else [])]

    views = [one for one, _ in run(scene, 90, seen)]
    first, second = [frame for frame in range(41, 90) if frame % every == 0 and (not hidden or frame // every % 2)][:2]
    assert next(n for n, one in enumerate(views) if "camera_1" in one) == second - 10 > first - 10


def leaps(results, scene):
    """Metres by which wrists that are valid in two estimates in a row step beyond their motion. results: of `Fused`."""
    steps, before = [], [None, None]
    for fused in results:
        truth = scene.truth(round((fused.pair.stamp - 1) * 1e-9 * STEP))
        now = [hand.joints[0] - truth[hand.side, 0] if hand.valid else None for hand in fused.pair.hands]
        steps += [np.linalg.norm(new - old) for new, old in zip(now, before) if new is not None and old is not None]
        before = now
    return steps


@pytest.mark.parametrize("apart", [(0.17, 0.0, 0.0), (-0.1, 0.1, 0.1), (0.0, -0.25, 0.0)])
def test_a_camera_that_comes_back_and_shows_other_hands_makes_none_leap_that_is_valid(apart):
    """As one whose driver was started anew and plays its video from the start, where the other camera loses a hand: all views
    say that it is elsewhere, 0.1 to 0.3 m away, and which are right nobody knows."""
    scene, fusion, results = Scene(noise=0.7), HandFusion(ASSETS), []
    for frame in range(60):
        lost = frame % 10 > 5 and frame >= 30
        results += fusion.add(scene.view(0, frame * FRAME, (RIGHT,) if lost else (LEFT, RIGHT)))
        if not 20 <= frame < 30:
            elsewhere = apart if frame >= 30 else None
            results += fusion.add(scene.view(1, frame * FRAME, (LEFT,) if lost else (LEFT, RIGHT), elsewhere=elsewhere))
    steps = leaps(results, scene)
    assert len(steps) > 50 and max(steps) < 0.02
    assert not any(hand.valid for fused in results if fused.pair.stamp > scene.stamp(36 * FRAME) for hand in fused.pair.hands)
    assert "no hand is valid" in fusion.consistency.trust.problem(fusion.emitted)


def test_hands_whose_sides_are_exchanged_are_not_valid_in_that_image():
    scene, fusion, results = Scene(noise=0.7), HandFusion(ASSETS), []
    for frame in range(40):
        if frame == 20:
            for track in fusion.memory.tracks:
                track.votes = -20.0  # as where views have long called them otherwise
        for number in (0, 1):
            results += fusion.add(scene.view(number, frame * FRAME))
    valid = [fused.pair.left.valid and fused.pair.right.valid for fused in results]
    assert all(valid[10:20]) and not all(valid[20:]) and max(leaps(results, scene)) < 0.06


@pytest.mark.parametrize(("rate", "leap"), [(30, 0.07), (15, 0.085), (10, 0.11)])
def test_what_a_hand_may_do_from_one_image_to_the_next(rate, leap):
    """One that swings by 0.15 m each second is valid, one that leaps is not, once; 0.16 m in a tenth of a second were."""
    track, one, valid = FusedTrack(LEFT, 0.3, 0.3, 10.0), Scene().view(0, 0).estimate.left, []
    for k in range(3 * rate):
        swing = 0.15 * np.sin(2.0 * np.pi * k / rate)
        way = np.array([swing, leap if k >= 2 * rate else 0.0, 0.0])
        valid.append(track.without_leap(replace(one, joints=one.joints + way), 1 + k * 10**9 // rate).valid)
    assert np.flatnonzero(~np.array(valid)).tolist() == [2 * rate]
