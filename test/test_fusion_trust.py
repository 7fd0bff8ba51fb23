"""What rays of several cameras meet in is a hand only where they see one person's, and stand where they are said to."""

from dataclasses import replace

import numpy as np
import pytest
from fusion_support import ASSETS, FRAME, LATER, STEP, Scene, wrist_errors

from fourdhands_core.fusion.fusion import HandFusion
from fourdhands_core.fusion.trust import Trust
from fourdhands_core.geometry.rigid import Rigid
from fourdhands_core.geometry.rotations import matrix_from_axis_angle
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.pipeline.types import HELD, TRACKED


def run(fusion, scene, frames, **second):
    """Fused estimates and the moments that they are of."""
    results = []
    for moment in (frame * FRAME for frame in frames):
        for view in (scene.view(0, moment), scene.view(1, moment + LATER, **second)):
            results += [(fused, round((fused.pair.stamp - 1) * 1e-9 * STEP)) for fused in fusion.add(view)]
    return results


def invented(scene, results, apart):
    """How many valid hands are neither person's."""
    count = 0
    for fused, moment in results:
        truth = scene.truth(moment)[:, 0]
        for hand in fused.pair.hands:
            if hand.valid:
                count += min(np.linalg.norm(hand.joints[0] - truth[hand.side] - of) for of in (0.0, apart)) > 0.07
    return count


@pytest.mark.parametrize("beside", [-0.15, -0.1, 0.1])
def test_hands_of_two_persons_at_one_height_are_not_taken_for_one_pair(beside):
    """Whose rays meet, always, from the start, in hands of no hand's size or shape: they were valid, 0.1 to 0.2 m off."""
    scene, apart = Scene(angles=(-17.5, 17.5)), np.array([beside, 0.0, 0.0])
    fusion = HandFusion(ASSETS)
    results = run(fusion, scene, range(20), elsewhere=apart)
    assert len(results) > 18 and not invented(scene, results[8:], apart)
    assert not any(h.valid for fused, _ in results[8:] for h in fused.pair.hands)


def test_of_two_persons_whose_right_hands_are_one_the_left_ones_are_not_taken_for_one():
    """What cameras agree on of one hand says nothing of the other: a hand of either person, or of both, was valid beside it."""
    scene, apart = Scene(angles=(-20.0, 20.0)), np.array([[[0.3, 0.1, 0.1]], [[0.0, 0.0, 0.0]]])
    fusion = HandFusion(ASSETS)
    results = run(fusion, scene, range(60), elsewhere=apart)[20:]
    assert all(fused.pair.right.valid for fused, _ in results) and not any(fused.pair.left.valid for fused, _ in results)
    told = fusion.consistency.problems(fusion.newest()[0].stamp)
    assert any("camera_0 and camera_1 see the left hand at different places" in one for one in told)
    results = run(fusion, scene, range(60, 90))
    assert np.max([wrist_errors(scene, *one) for one in results[-10:]]) < 0.012  # NaN is no less


def test_where_the_size_is_known_less_is_needed():
    scene, apart = Scene(), np.array([-0.1, 0.0, 0.0])
    known = HandFusion(ASSETS, betas=scene.betas[1])
    assert not invented(scene, run(known, scene, range(12), elsewhere=apart), apart)
    assert "smaller than this person's" in known.consistency.problems(known.newest()[0].stamp)[0]
    own = run(HandFusion(ASSETS, betas=scene.betas[1]), scene, range(12))
    assert all(h.valid for fused, _ in own for h in fused.pair.hands)


def test_where_a_pose_was_wrong_from_the_start_no_hand_is_valid_and_that_is_told():
    scene = Scene(angles=(-20.0, 20.0), seed=7)
    first, second = scene.poses
    far = Rigid(second.rotation, first.position + 1.3 * (second.position - first.position))
    fusion = HandFusion(ASSETS)
    results = run(fusion, scene, range(20), pose=far)
    assert not any(h.valid for fused, _ in results[2:] for h in fused.pair.hands)
    assert "no hand is valid" in fusion.consistency.problems(fusion.newest()[0].stamp)[0]
    results = run(fusion, scene, range(20, 50))
    assert np.max([wrist_errors(scene, *one) for one in results[-10:]]) < 0.012  # NaN is no less


def test_cameras_whose_rays_met_once_have_not_agreed():
    scene, apart = Scene(), (0.35, 0.1, 0.2)
    fusion = HandFusion(ASSETS)
    run(fusion, scene, range(2))
    results = run(fusion, scene, range(2, 14), elsewhere=apart)
    assert not any(h.valid for fused, _ in results[2:] for h in fused.pair.hands)


def test_sides_that_are_wrong_everywhere_from_the_start_teach_no_shape():
    scene = Scene(noise=0.7)
    fusion = HandFusion(ASSETS)
    views = lambda frame: [scene.view(k, frame * FRAME + k * LATER, exchanged=True) for k in (0, 1)]
    for frame in range(40):
        for view in views(frame):
            fusion.add(view)
    np.testing.assert_array_equal(fusion.betas, np.zeros(10))
    results = run(fusion, scene, range(40, 80))
    errors = np.array([wrist_errors(scene, *one) for one in results[-20:]])
    assert errors.max() < 0.012  # not NaN either


def test_doubt_passes_and_trust_is_earned_again():
    trust, step = Trust(), 33_000_000
    assert not trust.contradicted(0, together=True, apart=False, left_out=False) and not trust.proven
    assert trust.contradicted(step, together=False, apart=True, left_out=True)
    assert trust.contradicted(2 * step, together=True, apart=False, left_out=False)  # a moment later
    for k in range(20, 28):
        assert not trust.contradicted(k * step, together=True, apart=False, left_out=False)
    assert trust.proven and not trust.contradicted(30 * step, together=False, apart=True, left_out=True)
    assert trust.contradicted(30 * step + 11_000_000_000, together=False, apart=True, left_out=True) and not trust.proven


def test_cameras_that_are_doubted_are_not_believed_until_all_agree_anew():
    trust, step = Trust(), 33_000_000
    for k in range(9):
        trust.contradicted(k * step, together=True, apart=False, left_out=False)
    assert trust.proven
    trust.doubt(9 * step)
    for k in range(9, 40):
        assert trust.contradicted(k * step, together=True, apart=False, left_out=True)
    believed = [not trust.contradicted(k * step, together=True, apart=False, left_out=False) for k in range(40, 60)]
    assert believed.index(True) == 9 and all(believed[9:]) and trust.proven
    trust.doubt(60 * step)
    alone = [not trust.contradicted(k * step, together=False, apart=False, left_out=False) for k in range(60, 140)]
    assert alone.index(True) == 61 and all(alone[61:]) and not trust.proven


@pytest.mark.parametrize("beside", [(0.1, 0.0, 0.0), (-0.1, 0.0, 0.05)])
@pytest.mark.parametrize("since", [0, 45], ids=["from the start", "later"])
def test_of_three_cameras_the_one_that_sees_another_person_is_left_out(beside, since):
    """Any two of them see hands where their rays meet: which is right tell the hands' size, and where they were."""
    scene, errors = Scene(angles=(-30.0, 5.0, 35.0)), []
    fusion = HandFusion(ASSETS)
    for frame in range(90):
        for number in range(3):
            elsewhere = beside if number == 2 and frame >= since else None
            for fused in fusion.add(scene.view(number, frame * FRAME, elsewhere=elsewhere)):
                errors.append(wrist_errors(scene, fused, frame * FRAME))
    steps = np.abs(np.diff(errors[15:], axis=0))
    assert not np.isnan(errors).any() and np.nanmean(errors) < 0.012 and np.nanmax(steps) < 0.015


def test_depth_of_a_wrong_scale_is_told_and_not_believed():
    """Nor where that camera sees the hands alone, every second half a second."""
    scene, fusion, errors = Scene(wrong=0.1), HandFusion(ASSETS), []
    for frame in range(90):
        for number in range(1 if frame // 15 % 2 else 2):
            view = scene.view(number, frame * FRAME)
            left, right = (replace(hand, by_depth=number == 0) for hand in view.estimate.hands)
            view = replace(view, estimate=replace(view.estimate, left=left, right=right))
            for fused in fusion.add(view):
                errors.append(wrist_errors(scene, fused, round((fused.pair.stamp - 1) * 1e-9 * STEP)))
    assert (
        np.mean(errors[15:]) < 0.008
        and "camera_0 is left out: its depth images alone" in fusion.consistency.problems(fusion.newest()[0].stamp)[0]
    )


THREE = -35.0, 0.0, 35.0


@pytest.mark.parametrize(
    ("angles", "exchanged", "of_one"),
    [((-25.0, 25.0), (0, 1), False), *((THREE, pair, of_one) for pair in ((0, 1), (1, 2), (0, 2)) for of_one in (False, True))],
)
def test_topics_exchanged_while_hands_are_followed_make_no_hand_leap(angles, exchanged, of_one):
    """Until they are exchanged again. of_one: the left hand is seen by one of these cameras alone."""
    scene, fusion, valid = Scene(angles, noise=0.7), HandFusion(ASSETS), []
    for frame in range(140):
        for number, pose in enumerate(scene.poses):
            other = exchanged[1 - exchanged.index(number)] if 60 <= frame < 100 and number in exchanged else number
            sides = (RIGHT,) if of_one and other != exchanged[0] else (LEFT, RIGHT)
            for fused in fusion.add(scene.view(other, frame * FRAME, sides, name=f"camera_{number}", pose=pose)):
                valid.append([hand.valid for hand in fused.pair.hands])
        if frame == 99:
            assert "no hand is valid" in fusion.consistency.trust.problem(fusion.emitted)
    assert np.all(valid[10:59]) and not np.any(valid[60:99]) and np.all(valid[125:])


@pytest.mark.parametrize(
    ("angles", "swing", "often", "every"),
    [*(((-25.0, 25.0), *one) for one in ((0.06, 2.5, 1), (0.08, 3.0, 1), (0.06, 2.5, 2))), (THREE, 0.06, 2.5, 1)],
)
def test_hands_that_are_shaken_as_fast_as_people_can_are_followed(angles, swing, often, every):
    """In images of 30 or 15 a second."""
    scene, fusion = Scene(angles, noise=0.7), HandFusion(ASSETS)
    scene.wrists[..., 1] += swing * np.sin(2.0 * np.pi * often * np.arange(len(scene.wrists))[:, None] / STEP)
    for frame in range(0, 90, every):
        for number in range(len(angles)):
            for fused in fusion.add(scene.view(number, frame * FRAME + number * LATER)):
                assert frame < 10 * every or all(hand.valid for hand in fused.pair.hands), frame


@pytest.mark.parametrize("angles", [(-17.5, 17.5), (-35.0, 0.0, 35.0)])
def test_a_camera_that_lies_beside_the_others_shows_no_hand_alone_until_it_agrees_again(angles):
    """As where one that was bumped alone goes on to see a hand: valid, it was as far off as the camera was turned."""
    scene, fusion, last = Scene(angles=angles), HandFusion(ASSETS), len(angles) - 1
    turned = scene.poses[last] @ Rigid(matrix_from_axis_angle(np.radians((5.0, 0.0, 0.0))))

    def go(frames, sides=(LEFT, RIGHT), **wrong):
        """Of each frame the left hand: whether it is valid, and how far off. sides: which the cameras but the last one show."""
        found = []
        for moment in (frame * FRAME for frame in frames):
            for number in range(len(angles)):
                view = (
                    scene.view(number, moment + number, **wrong)
                    if number == last
                    else scene.view(number, moment + number, sides)
                )
                for fused in fusion.add(view):
                    truth = scene.truth(round((fused.pair.stamp - 1) * 1e-9 * STEP))[LEFT, 0]
                    left = fused.pair.left
                    found.append((left.valid, np.linalg.norm(left.joints[0] - truth) if left.valid else 0.0))
        return np.array(found)

    assert go(range(60))[2:, 0].all()
    assert go(range(60, 100), pose=turned)[:, 1].max() < 0.05
    lost = go(range(100, 150), (RIGHT,), pose=turned)
    assert not lost[2:, 0].any() and lost[:, 1].max() < 0.05
    told = [f"camera_{last} is left out: its landmarks lie beside the others'"]
    assert fusion.consistency.problems(fusion.emitted) == told
    assert go(range(150, 200), pose=scene.poses[last])[-15:, 0].all()
    assert go(range(200, 210), (RIGHT,))[:, 0].all()


def test_a_hand_that_no_camera_shows_is_held_and_not_contested():
    """The other one, which the only camera called by its side, was said to be it "at different places"."""
    scene, fusion = Scene(), HandFusion(ASSETS)
    for moment in range(0, 24 * FRAME, FRAME):
        lost = dict(sides=(RIGHT,), exchanged=True) if moment >= 20 * FRAME else {}
        for fused in fusion.add(scene.view(0, moment, **lost)):
            assert fused.pair.left.state == (HELD if lost else TRACKED) and fused.pair.right.valid
    assert fusion.consistency.trust.problem(fused.pair.stamp) == ""


def test_what_a_wrong_pose_made_of_the_cameras_is_forgotten_once_it_is_set_right():
    """That they see hands beside one another, or that their clocks are apart, was told for most of a minute afterwards."""
    scene, fusion = Scene(angles=(-25.0, 25.0, 0.0)), HandFusion(ASSETS)
    wrong = Rigid(scene.poses[2].rotation @ matrix_from_axis_angle(np.radians([6.0, 0.0, 0.0])), scene.poses[2].position)
    for moment in range(0, 90 * FRAME, FRAME):
        poses = [None, None, wrong if moment < 45 * FRAME else None]
        for number, pose in enumerate(poses):
            fusion.add(scene.view(number, moment + number, pose=pose))
        if moment == 44 * FRAME:
            assert "camera_2" in fusion.consistency.problems(scene.stamp(moment))[0]
    assert max(fusion.consistency.shifts().values()) < 0.01 and fusion.consistency.problems(scene.stamp(moment)) == []


def test_a_camera_that_is_carried_off_does_not_stand_elsewhere():
    scene = Scene()
    memory, told = HandFusion(ASSETS).memory, []
    for frame in range(12):  # at rest, then at 4 metres and 8 radians a second squared
        seconds = max(0.0, (frame - 4) / 30.0)
        turn = matrix_from_axis_angle(np.array([0.0, 4.0 * seconds**2, 0.0]))
        pose = Rigid(scene.poses[0].rotation @ turn, scene.poses[0].position + (2.0 * seconds**2, 0.0, 0.0))
        view = scene.view(0, frame * FRAME, pose=pose)
        told.append(memory.stands_elsewhere(view))
        memory.views[view.name] = view
    assert not any(told)
