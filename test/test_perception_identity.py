"""Which hand is which, on simulated detections whose truth is known: crossing, loss, phantoms, flipped labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.perception.confidence import landmark_confidence
from fourdhands_core.perception.detector import HAND_LENGTH, HandDetection, hand_size
from fourdhands_core.perception.identity import HandIdentity, _assign

SIZE = (1280, 720)
LENGTH = 200.0  # pixels
FRAME = 33_333_333  # nanoseconds

_ROWS = [(0.0, 0.0)] + [
    (x, y)
    for x, tip in ((0.05, 0.09), (0.025, 0.165), (0.0, 0.18), (-0.02, 0.165), (-0.04, 0.14))
    for y in np.linspace(0.45 * tip, tip, 4)
]
RIGHT_PALM = np.array([(x, 0.09 - y, 0.0) for x, y in _ROWS])
"""(21, 3) metres: a flat right hand, palm to the camera, fingers up (x right, y down)."""


def seen(truth, centre, label=None, score=0.95, length=LENGTH, turn=0.0):
    """What a detector would say of a hand: truth its side, label the side the detector takes it for."""
    world = RIGHT_PALM * (1.0 if truth == RIGHT else -1.0, 1.0, 1.0)
    c, s = np.cos(turn), np.sin(turn)
    world = (world - world.mean(axis=0)) @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    label = truth if label is None else label
    landmarks = world[:, :2] / HAND_LENGTH * length + np.asarray(centre, float)
    return HandDetection(label, score, landmarks, world, np.ones(21))


def follow(frames, identity=None, step=FRAME, start=0):
    """Run lists of detections through; returns the (left, right) of each frame."""
    identity = identity or HandIdentity()
    return [identity.update(detections, start + i * step, SIZE) for i, detections in enumerate(frames)]


def centre(detection):
    return None if detection is None else detection.landmarks.mean(axis=0)


def assert_is(detection, truth_centre):
    assert detection is not None
    np.testing.assert_allclose(centre(detection), truth_centre, atol=1e-6)


def test_simulated_hand_has_its_size():
    assert hand_size(seen(RIGHT, (300, 300))) == pytest.approx(LENGTH)


@pytest.mark.parametrize("step", [FRAME, 2 * FRAME])
@pytest.mark.parametrize("flipped", ["none", "left", "right", "both"])
def test_crossing_hands_keep_their_sides_while_labels_flip(step, flipped):
    frames, truth = [], []
    for time in np.arange(0.0, 2.0, step * 1e-9):
        x = 250.0 * np.cos(np.pi * time / 2.0)  # they exchange their places in two seconds
        right, left = np.array([600.0 - x, 330.0]), np.array([600.0 + x, 400.0])
        wrong = abs(x) < 100.0
        frames.append(
            [
                seen(RIGHT, right, LEFT if wrong and flipped in ("right", "both") else RIGHT, turn=0.4),
                seen(LEFT, left, RIGHT if wrong and flipped in ("left", "both") else LEFT, turn=-0.4),
            ]
        )
        truth.append((left, right))
    for (left, right), (true_left, true_right) in zip(follow(frames, step=step), truth):
        assert_is(left, true_left)
        assert_is(right, true_right)
        assert left.side == LEFT and right.side == RIGHT


def test_a_hand_hidden_while_crossing_comes_back_as_itself():
    frames, truth = [], []
    for i in range(60):
        x = 300.0 * np.cos(np.pi * i / 59.0)
        right, left = np.array([640.0 - x, 360.0]), np.array([640.0 + x, 380.0])
        hidden = abs(x) < 150.0
        # The detector's region for the hidden hand slides on to the other one: it is seen twice.
        frames.append([seen(RIGHT, right), seen(LEFT, right + 5.0, score=0.8) if hidden else seen(LEFT, left)])
        truth.append((None if hidden else left, right))
    for (left, right), (true_left, true_right) in zip(follow(frames), truth):
        assert_is(right, true_right)
        if true_left is None:
            assert left is None
        else:
            assert_is(left, true_left)


@pytest.mark.parametrize("shape", [LEFT, RIGHT])
@pytest.mark.parametrize("label", [LEFT, RIGHT])
def test_a_phantom_on_a_hand_is_removed(shape, label):
    for shift, length, turn in (((0, 0), LENGTH, 0.0), ((8, -5), 180, 0.1), ((0, -30), 120, 0.0)):
        frames = [
            [
                seen(RIGHT, (400 + i, 300)),
                seen(label, (400 + i + shift[0], 300 + shift[1]), score=0.9, length=length, turn=turn),
            ]
            for i in range(20)
        ]
        for i, (left, right) in enumerate(follow(frames)):
            assert left is None
            assert right is frames[i][0] or np.allclose(centre(right), (400 + i, 300), atol=50)


def test_a_third_hand_is_dropped_and_does_not_take_over_in_a_short_loss():
    frames = []
    for i in range(90):
        hands = [seen(LEFT, (900, 400)), seen(RIGHT, (100 + i, 150), score=0.99)]
        if not 40 <= i < 48:
            hands.insert(0, seen(RIGHT, (400, 400)))
        frames.append(hands if i > 5 else [hands[0], seen(LEFT, (900, 400))])
    for i, (left, right) in enumerate(follow(frames)):
        assert_is(left, (900, 400))
        if 40 <= i < 48:
            assert right is None
        else:
            assert_is(right, (400, 400))


def test_two_hands_of_one_label_are_not_made_a_pair():
    frames = [[seen(RIGHT, (300, 300), score=0.9), seen(RIGHT, (800, 300), score=0.99)] for _ in range(30)]
    for left, right in follow(frames):
        assert left is None
        assert_is(right, (800, 300))


def test_a_hand_returns_as_itself_after_a_short_loss_whatever_its_first_label():
    frames = [[seen(RIGHT, (400, 300)), seen(LEFT, (800, 300))] for _ in range(30)]
    frames += [[seen(LEFT, (800, 300))]] * 9
    frames += [[seen(RIGHT, (430, 320), LEFT), seen(LEFT, (800, 300))] for _ in range(3)]
    for left, right in follow(frames)[-3:]:
        assert_is(left, (800, 300))
        assert_is(right, (430, 320))


def test_one_hand_leaves_and_the_other_stays():
    frames = [[seen(RIGHT, (400 - 12 * i, 300)), seen(LEFT, (700, 300))] for i in range(30)]
    frames += [[seen(LEFT, (700 - 10 * i, 300))] for i in range(60)]  # the left hand moves to where the right one was
    result = follow(frames)
    for i, (left, right) in enumerate(result):
        assert left is not None and (right is None) == (i >= 30)
    assert_is(result[-1][LEFT], (110, 300))


@pytest.mark.parametrize("missing, x", [(0, 420), (2, 480), (3, 1000), (15, 1000), (60, 1000)])
def test_the_other_hand_entering_elsewhere_is_the_other_hand(missing, x):
    frames = [[seen(RIGHT, (200, 300))]] * 30 + [[]] * missing + [[seen(LEFT, (x, 300))]] * 10
    result = follow(frames)
    assert all(pair == (None, None) for pair in result[30 : 30 + missing])
    for left, right in result[30 + missing :]:
        assert_is(left, (x, 300))
        assert right is None


def test_a_hand_that_returns_far_away_after_its_memory_has_expired_takes_its_side():
    frames = [[seen(RIGHT, (200, 300))]] * 30 + [[]] * 40 + [[seen(RIGHT, (1000, 500))]]
    assert_is(follow(frames)[-1][RIGHT], (1000, 500))


def test_a_wrong_first_label_is_corrected_within_a_sixth_of_a_second():
    frames = [[seen(RIGHT, (400, 300), LEFT, score=0.9)]] + [[seen(RIGHT, (400 + i, 300))] for i in range(1, 15)]
    result = follow(frames)
    assert result[0][LEFT] is not None and result[0][RIGHT] is None
    for left, right in result[5:]:
        assert left is None and right is not None


def test_two_wrong_first_labels_are_exchanged():
    frames = [
        [seen(RIGHT, (400, 300), LEFT if i < 1 else RIGHT), seen(LEFT, (800, 300), RIGHT if i < 1 else LEFT)] for i in range(15)
    ]
    for left, right in follow(frames)[6:]:
        assert_is(left, (800, 300))
        assert_is(right, (400, 300))


def test_half_a_second_of_contradicting_labels_does_not_flip_an_established_hand():
    frames = [[seen(RIGHT, (400, 300), LEFT if 60 <= i < 75 else RIGHT)] for i in range(120)]
    for left, right in follow(frames):
        assert left is None and right is not None


def test_stamps_that_repeat_or_step_back_a_little_change_no_identity():
    identity = HandIdentity()
    follow([[seen(RIGHT, (400, 300)), seen(LEFT, (800, 300))]] * 10, identity)
    for stamp in (9 * FRAME, 9 * FRAME, 7 * FRAME, 8 * FRAME, 8 * FRAME):
        left, right = identity.update([seen(RIGHT, (402, 300), LEFT), seen(LEFT, (798, 300))], stamp, SIZE)
        assert_is(left, (798, 300))
        assert_is(right, (402, 300))
    assert identity.update([], 8 * FRAME, SIZE) == (None, None)


@pytest.mark.parametrize("stamp, size", [(0, SIZE), (61 * FRAME, (640, 480))])
def test_a_jump_back_in_time_or_another_image_size_is_a_new_beginning(stamp, size):
    identity = HandIdentity()
    follow([[seen(RIGHT, (400, 300))]] * 60, identity)
    left, right = identity.update([seen(LEFT, (400, 300))], stamp, size)
    assert right is None and left is not None


def test_detections_that_are_not_finite_are_ignored():
    broken = seen(RIGHT, (np.nan, 300))
    assert HandIdentity().update([broken, seen(LEFT, (800, 300))], 0, SIZE)[RIGHT] is None


def test_confidence_falls_where_a_landmark_is_hidden_jumps_or_is_misread():
    identity = HandIdentity()
    follow([[seen(RIGHT, (400, 300)), seen(LEFT, (900, 300), length=300)]] * 10, identity)
    jumping = seen(RIGHT, (402, 300))
    jumping.landmarks[8] += (60.0, 0.0)
    _, right = identity.update([jumping, seen(LEFT, (900, 300), length=300)], 10 * FRAME, SIZE)
    assert right.confidence[8] < 0.5 and np.delete(right.confidence, 8).min() > 0.99

    _, right = identity.update([seen(RIGHT, (402, 300), LEFT), seen(LEFT, (900, 300), length=300)], 11 * FRAME, SIZE)
    assert np.delete(right.confidence, 8).max() < 0.6

    # The larger, so nearer, left hand lies over the right one's fingers.
    pair = HandIdentity().update([seen(RIGHT, (400, 300)), seen(LEFT, (400, 180), length=300)], 0, SIZE)
    assert pair[RIGHT].confidence[12] < 0.3 and pair[RIGHT].confidence[0] == 1.0
    assert pair[LEFT].confidence.min() > 0.9


anything = st.lists(
    st.builds(
        seen,
        st.sampled_from([LEFT, RIGHT]),
        st.tuples(st.floats(-100, 1400), st.floats(-100, 800)),
        st.sampled_from([LEFT, RIGHT]),
        st.floats(0.3, 1.0),
        st.floats(20, 600),
        st.floats(-3, 3),
    ),
    max_size=4,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(anything, st.integers(-2, 60)), max_size=12))
def test_whatever_is_seen_no_detection_is_both_hands(frames):
    identity, stamp = HandIdentity(), 10**9
    for detections, steps in frames:
        stamp += steps * FRAME
        left, right = identity.update(detections, stamp, SIZE)
        for side, hand in ((LEFT, left), (RIGHT, right)):
            assert hand is None or (hand.side == side and any(hand.landmarks is d.landmarks for d in detections))
            assert hand is None or ((hand.confidence >= 0.0).all() and (hand.confidence <= 1.0).all())
        assert left is None or right is None or left.landmarks is not right.landmarks
        if detections:
            assert left is not None or right is not None or len(identity._hands) > 0


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2]))
def test_sides_are_right_under_label_noise(seed, every):
    """One label in five is wrong, one hand in ten unseen; the hands pass within 0.75 hand lengths; 30 or 15 Hz."""
    noise = np.random.default_rng(seed)
    phase = noise.uniform(0.0, 2.0 * np.pi, 4)
    frames, truth = [], []
    for time in np.arange(0.0, 6.0, every * FRAME * 1e-9):
        sway = 150.0 * np.sin(np.array([1.9, 1.3, 1.7, 1.1]) * time + phase)
        centres = {
            RIGHT: np.array([560.0, 250.0]) + sway[:2] * (1.0, 0.3),
            LEFT: np.array([700.0, 490.0]) + sway[2:] * (1.0, 0.3),
        }
        present = [side for side in (LEFT, RIGHT) if noise.random() > 0.1]
        frames.append([seen(side, centres[side], 1 - side if noise.random() < 0.2 else side) for side in present])
        truth.append([centres[side] if side in present else None for side in (LEFT, RIGHT)])
    settled = int(1.5 * 30 / every)
    for pair, true_centres in list(zip(follow(frames, step=every * FRAME), truth))[settled:]:
        for hand, true_centre in zip(pair, true_centres):
            if true_centre is None:
                assert hand is None
            else:
                assert_is(hand, true_centre)


@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([0.0, 0.3, 0.9]))
@settings(max_examples=300, deadline=None)
def test_the_assignment_is_scipys(rows, columns, seed, ties, impossible):
    """As many pairs, of the same cost; the same pairs where no two assignments cost the same."""
    rng = np.random.default_rng(seed)
    costs = rng.integers(0, 4, (rows, columns)).astype(float) if ties else rng.exponential(5.0, (rows, columns))
    costs[rng.random((rows, columns)) < impossible] = np.inf
    expected = [
        (r, c) for r, c in zip(*linear_sum_assignment(np.where(np.isfinite(costs), costs, 1e6))) if np.isfinite(costs[r, c])
    ]
    got = _assign(costs)
    assert len(got) == len({row for row, _ in got}) == len({column for _, column in got}) == len(expected)
    assert sum(costs[pair] for pair in got) == pytest.approx(sum(costs[pair] for pair in expected))
    assert ties or got == expected


@pytest.mark.parametrize("missing, free", [(5, False), (12, True)])
def test_an_unseen_hand_s_side_is_kept_for_it_for_a_moment_only(missing, free):
    """A hand elsewhere that cannot be the unseen one takes its side, if it has its label, after `reserve` seconds."""
    frames = [[seen(RIGHT, (100, 300), length=60)]] * 30 + [[]] * missing + [[seen(RIGHT, (1000, 300), length=60)]]
    left, right = follow(frames)[-1]
    assert left is None and (right is not None) == free


def test_what_the_labels_said_of_an_unseen_hand_fades():
    """After a second a hand in the same place may be another one, of another person: it is named by its own labels."""
    frames = [[seen(RIGHT, (400, 300))]] * 60 + [[]] * 27 + [[seen(LEFT, (400, 300))]] * 10
    for left, right in follow(frames)[-4:]:
        assert_is(left, (400, 300))
        assert right is None


@pytest.mark.parametrize("missing", [2, 4, 6, 8])
def test_hands_that_may_have_been_exchanged_are_named_by_the_labels_that_follow(missing):
    """They come back half-way between their places, with two labels alike: position decides, and is wrong."""
    frames = [[seen(LEFT, (560, 360)), seen(RIGHT, (720, 360))]] * 60 + [[]] * missing
    frames += [[seen(LEFT, (645, 290)), seen(RIGHT, (635, 430), LEFT if i == 0 else RIGHT)] for i in range(14)]
    for left, right in follow(frames)[-5:]:
        assert_is(left, (645, 290))
        assert_is(right, (635, 430))


def test_labels_tell_hands_apart_that_come_back_where_both_may_be():
    frames = [[seen(RIGHT, (400, 300)), seen(LEFT, (800, 300))]] * 30 + [[]] * 6
    frames += [[seen(RIGHT, (640, 300)), seen(LEFT, (560, 300))]]
    left, right = follow(frames)[-1]
    assert_is(left, (560, 300))
    assert_is(right, (640, 300))


@pytest.mark.parametrize("speed", [25, 35])
def test_a_moving_hand_that_is_lost_is_looked_for_nearby(speed):
    """Hands stop: what is seen there a fifth of a second later is this one, not the one that it was moving towards."""
    lost = 300 + 19 * speed
    frames = [[seen(RIGHT, (300 + speed * i, 300)), seen(LEFT, (lost + 350, 300))] for i in range(20)]
    frames += [[]] * 6 + [[seen(RIGHT, (lost + 60, 300), LEFT)]]
    left, right = follow(frames)[-1]
    assert left is None
    assert_is(right, (lost + 60, 300))


def test_two_images_at_almost_the_same_time_throw_no_hand_away():
    """Two pixels in a nanosecond are no speed to go on with."""
    identity = HandIdentity()
    follow([[seen(RIGHT, (400, 300))]] * 30, identity)
    for stamp, x in ((29 * FRAME + 1, 402), (30 * FRAME, 404), (31 * FRAME, 406)):
        left, right = identity.update([seen(RIGHT, (x, 300), LEFT)], stamp, SIZE)
        assert left is None
        assert_is(right, (x, 300))


def test_a_hand_that_was_not_seen_for_longer_than_its_memory_is_forgotten():
    frames = [[seen(RIGHT, (400, 300))]] * 60 + [[]] * 31 + [[seen(LEFT, (400, 300))]]
    left, right = follow(frames)[-1]
    assert_is(left, (400, 300))
    assert right is None


@settings(max_examples=50, deadline=None)
@given(st.integers(4, 20), st.floats(0.0, 150.0), st.floats(0.0, 2.0 * np.pi))
def test_a_hand_that_moves_as_a_whole_is_not_doubted(step, distance, direction):
    """However suddenly it begins to, in a frame or more: only what moves within the hand contradicts its past."""
    identity = HandIdentity()
    follow([[seen(RIGHT, (600, 300))]] * 10, identity)
    moved = np.array([600, 300]) + distance * np.array([np.cos(direction), np.sin(direction)])
    _, right = identity.update([seen(RIGHT, moved)], 9 * FRAME + step * FRAME // 4, SIZE)
    assert right.confidence.min() > 0.999


@pytest.mark.parametrize("field", ["landmarks", "world"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_hand_with_a_number_that_is_none_is_not_seen(field, value):
    broken = seen(RIGHT, (400, 300))
    getattr(broken, field)[7, 1] = value
    left, right = HandIdentity().update([broken, seen(LEFT, (800, 300))], 0, SIZE)
    assert right is None
    assert_is(left, (800, 300))


@settings(max_examples=100, deadline=None)
@given(st.integers(64, 2000), st.integers(64, 2000), st.floats(-0.5, 1.5), st.floats(-0.5, 1.5), st.floats(0.1, 1.0))
def test_a_landmark_outside_the_image_is_a_guess(width, height, x, y, score):
    """By how far it is outside, in hand lengths; inside all are as sure as their hand is."""
    hand = seen(RIGHT, (x * width, y * height), length=100.0)
    found = landmark_confidence(hand.landmarks, hand.world, score, (width, height))
    outside = np.maximum(-hand.landmarks, hand.landmarks - (width - 1, height - 1)).max(axis=1)
    np.testing.assert_allclose(found[outside <= 0.0], score)
    assert (found[outside > 30.0] < 0.1 * score).all() and (found[outside > 1e-6] < score).all()
