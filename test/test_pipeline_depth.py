"""Depth beside colour: the wrist is where the skin was measured, and what is no skin of this hand does no harm."""

import numpy as np
import pipeline_support
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_support import TruthDetector, shown

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.hand_model.assets import load_generic_hand, pair_of
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.media.choreography import demo_motion
from fourdhands_core.media.clips import clip_truth, pose_hands
from fourdhands_core.media.render import render_meshes
from fourdhands_core.pipeline import depth
from fourdhands_core.pipeline.depth import DepthImage, measure
from fourdhands_core.pipeline.tracker import HandPairTracker, TrackerSettings
from fourdhands_core.pipeline.types import HELD

CAMERA = Camera.from_fov(320, 240, 64.0, calibrated=True)
IMAGE = np.zeros((240, 320, 3), np.uint8)
GENERIC = pair_of(load_generic_hand())
FRAMES, BEHIND, LARGER = 40, 2.0, 1.1


@pytest.fixture(scope="module")
def clip():
    """Two hands a tenth larger than the model, as the colour image cannot know: everything in it is a tenth further away."""
    motion = demo_motion(2.0, 30.0, 0)
    vertices, joints = pose_hands(motion, load_generic_hand())
    truth = clip_truth(motion, CAMERA, joints)
    faces, colours = load_generic_hand().faces, np.ones((778, 3))
    depths = []
    for k in range(FRAMES):
        meshes = [(vertices[k, side] * LARGER, faces, colours) for side in (LEFT, RIGHT) if truth["valid"][k, side]]
        depths.append(np.where(np.isfinite(z := render_meshes(IMAGE, meshes, CAMERA)[1]), z, BEHIND))
    return motion, truth, joints * LARGER, depths


def errors(clip, change=lambda k, depth: depth, **settings):
    """Distances (T, 2) of the wrists from the truth, metres, NaN where a hand is not valid; and the estimates."""
    motion, truth, joints, depths = clip
    tracker = HandPairTracker(
        TrackerSettings(hand_model="generic", **settings), TruthDetector(truth, lens=CAMERA, hands=GENERIC)
    )
    result, pairs = np.full((FRAMES, 2), np.nan), []
    for k in range(FRAMES):
        depth = change(k, depths[k].copy())
        pairs.append(tracker.process(IMAGE, int(motion.stamp[k]), CAMERA, depth=depth))
        for side, hand in enumerate(pairs[-1].hands):
            if hand.valid:
                result[k, side] = np.linalg.norm(hand.joints[0] - joints[k, side, 0])
    return result, pairs


@pytest.fixture(scope="module")
def colour_alone(clip):
    return errors(clip, lambda k, depth: None)[0]


def noisy(k, depth):
    """Noise that grows with the square of the distance, and holes, as of structured light (Nguyen et al., 3DIMPVT 2012)."""
    rng = np.random.default_rng(k)
    depth = depth + rng.normal(size=depth.shape) * (0.0012 + 0.0019 * (depth - 0.4) ** 2)
    edges = np.hypot(*np.gradient(depth)) > 0.03
    depth[(rng.random(depth.shape) < 0.05) | (edges & (rng.random(depth.shape) < 0.6))] = 0.0
    return np.round(1000.0 * depth).astype(np.uint16)


@pytest.mark.parametrize(
    "change",
    [lambda k, depth: depth.astype(np.float32), noisy, lambda k, depth: noisy(k, depth)[::2, ::2]],
    ids=["metres", "noisy millimetres", "half the resolution"],
)
def test_depth_says_how_far_away_the_wrists_are(clip, colour_alone, change):
    found, _ = errors(clip, change)
    assert np.array_equal(np.isnan(found), np.isnan(colour_alone))
    later = slice(5, None)
    assert np.nanmean(found[later]) < 0.35 * np.nanmean(colour_alone[later])
    assert np.nanmean(found[later]) < 0.015


def test_single_images_gain_from_depth_too(clip, colour_alone):
    found, _ = errors(clip, noisy, temporal=False)
    assert np.nanmean(found) < 0.5 * np.nanmean(colour_alone)


def jumps(pairs):
    """Largest second difference of a wrist's position between frames, metres."""
    return max(
        np.linalg.norm(np.diff(np.array([pair.hands[side].joints[0] for pair in pairs]), 2, axis=0), axis=-1).max()
        for side in (LEFT, RIGHT)
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda k, depth: None if 15 <= k < 25 else noisy(k, depth),
        lambda k, depth: np.zeros((240, 320), np.uint16) if 15 <= k < 25 else noisy(k, depth),
        lambda k, depth: np.where(np.arange(320) < 320 * (15 <= k < 25), 0.25, depth).astype(np.float32),
        lambda k, depth: noisy(k, np.minimum(depth, 0.35)) if 15 <= k < 25 else noisy(k, depth),
    ],
    ids=["no image", "a hole", "an object close in front", "a sheet in front of everything"],
)
def test_where_depth_fails_for_a_while_nothing_jumps(clip, colour_alone, change):
    found, pairs = errors(clip, change)
    assert np.nanmean(found[5:]) < 0.5 * np.nanmean(colour_alone[5:])
    assert jumps(pairs[5:]) < jumps(errors(clip, noisy)[1][5:]) + 0.02


def test_depth_of_another_moment_is_no_worse_than_none(clip, colour_alone):
    depths = clip[3]
    found, _ = errors(clip, lambda k, depth: depths[max(0, k - 15)].astype(np.float32))
    assert np.nanmean(found) < 1.1 * np.nanmean(colour_alone)


def test_without_depth_or_intrinsics_nothing_changes(clip):
    motion, truth, _, depths = clip
    results = []
    for image in (None, depths[0].astype(np.float32)):
        tracker = HandPairTracker(TrackerSettings(hand_model="generic"), TruthDetector(truth))
        results.append([tracker.process(IMAGE, int(motion.stamp[k]), None, depth=image).right.joints for k in range(5)])
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize(
    "values, message",
    [
        (np.zeros((4, 4, 3), np.uint16), r"\(4, 4, 3\)"),
        (np.zeros((4, 4), np.uint8), "uint8"),
        ([1.0], "list"),
        (np.zeros((0, 4), np.uint16), "(0, 4)"),
    ],
)
def test_what_is_no_depth_image(values, message):
    with pytest.raises(InputError, match=message):
        DepthImage.of(values)


def test_holes_are_holes():
    values = np.array([[0.0, np.nan, np.inf, -1.0, 0.05, 20.0, 0.7]], np.float32)
    np.testing.assert_array_equal(DepthImage.of(values).metres, [[np.nan] * 6 + [np.float32(0.7)]])
    assert DepthImage.of(np.array([[700]], np.uint16)).metres[0, 0] == pytest.approx(0.7)


def test_the_noise_of_the_evaluation_is_what_it_says():
    from fourdhands_core.learning.evaluation.depth import depth_image

    true = np.full((200, 200), np.inf, np.float32)
    true[:, :100] = 0.8
    seen = depth_image(np.random.default_rng(0), true, 1.6)
    near, wall = seen[:, 10:90], seen[:, 110:190]
    for part, metres in ((near, 0.8), (wall, 1.6)):
        known = part[part > 0] / 1000.0
        assert 0.01 < (part == 0).mean() < 0.03 and known.mean() == pytest.approx(metres, abs=0.001)
        assert known.std() == pytest.approx(0.0012 + 0.0019 * (metres - 0.4) ** 2, rel=0.1)
    assert (seen[:, 98:102] == 0).mean() > 0.2  # holes along the edge


class Resting(TruthDetector):
    """Sees the first frame again and again."""

    def detect(self, image):
        self.frame = -1
        return super().detect(image)


@pytest.fixture(scope="module")
def still():
    """Tracks two hands that rest half a metre away, in depth images that say that they are so many times as far away.

    A hand that is larger and further away is the same in the colour image. The function takes of each image the times
    of (left, right), one number for both, or None where there is no depth image; whether the tracker is reset before
    one; and which sides are seen. It returns the pairs.
    """
    lens, picture = pipeline_support.CAMERA, pipeline_support.IMAGE
    motion, truth = shown(np.zeros(10), count=1, sides=(LEFT, RIGHT), asset=load_generic_hand())
    vertices, hands = pose_hands(motion, load_generic_hand())[0], pair_of(load_generic_hand())
    near = [
        render_meshes(picture, [(vertices[0, side], hands[side].faces, np.ones((778, 3)))], lens)[1].astype(np.float32)
        for side in (LEFT, RIGHT)
    ]

    def pairs(further, reset_before=None, sides=(LEFT, RIGHT), **settings):
        detector, found = Resting(truth, lens=lens, hands=GENERIC), []
        detector.blind = {(0, side) for side in (LEFT, RIGHT) if side not in sides}
        tracker = HandPairTracker(TrackerSettings(hand_model="generic", **settings), detector)
        for k, times in enumerate(further):
            depth = None
            if times is not None:
                depth = np.minimum(*(np.array(times) * np.ones(2))[:, None, None] * near)
                depth = np.where(np.isfinite(depth), depth, BEHIND).astype(np.float32)
            if k == reset_before:
                tracker.reset()
            found.append(tracker.process(picture, (k + 1) * 33_333_333, lens, depth=depth))
        return found

    return pairs


def distances(pairs, sides=(LEFT, RIGHT)):
    """(T, sides) the wrists' distances, metres."""
    return np.array([[pair.hands[side].joints[0, 2] for side in sides] for pair in pairs])


def test_depth_that_contradicts_the_past_for_good_is_believed(still):
    """It was the past that was wrong: within 1.2 s the hand is where it is, and it stays there."""
    found = distances(still([1.0] * 15 + [1.3] * 40))
    np.testing.assert_allclose(found[5:30], 0.49, atol=0.01)
    np.testing.assert_allclose(found[-3:] / found[14], 1.3, atol=0.02)


@pytest.mark.parametrize("times, images", [(1.3, 20), (1.26, 4), (0.74, 4)])
def test_contradictions_that_are_interrupted_do_not_add_up(still, times, images):
    """Nearer or further: something in front of the hand, a depth image of another moment."""
    found = distances(still([1.0] * 15 + ([times] * images + [1.0]) * 3))
    np.testing.assert_allclose(found[5:], np.broadcast_to(found[14], found[5:].shape), atol=0.015)


@pytest.mark.parametrize("once", [0.68, 0.8, 1.2, 1.32])
def test_one_depth_image_hardly_moves_the_hand_s_size(still, once):
    """Of single images each is believed: what the next ones without depth are placed by is the size that all have told."""
    found = distances(still([1.0] * 12 + [once] + [None] * 2, temporal=False))
    np.testing.assert_allclose(found[12] / found[11], once, atol=0.06)
    np.testing.assert_allclose(found[13:] / found[11], 1.0, atol=0.033)
    assert ((found[13] - found[11]) * (once - 1.0) > 0.0).all()


@pytest.mark.parametrize("left, right", [(1.1, 1.0), (1.0, 1.1)])
def test_each_hand_has_its_own_size(still, left, right):
    """Where depth ends, the one that is further away stays so."""
    found = distances(still([(left, right)] * 30 + [None] * 10))
    np.testing.assert_allclose(found[29], np.array([left, right]) * 0.492, atol=0.015)
    assert ((found[30:, LEFT] - found[30:, RIGHT]) * (left - right) > 0.015 * 0.1).all()


def test_a_reset_forgets_the_hands_size(still):
    """What comes after may be another person; another tracker says the same."""
    found = distances(still([1.25] * 20 + [None] * 3, reset_before=20))
    np.testing.assert_allclose(found[20:], distances(still([None] * 3)))
    assert (found[19] > 1.15 * found[20]).all()


@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_the_size_of_a_hand_alone_is_its_own(still, side):
    found = distances(still([1.2] * 30 + [None] * 10, sides=(side,)), (side,))
    np.testing.assert_allclose(found[29:, 0] / found[29, 0], 1.0, atol=0.03)


@pytest.mark.parametrize("times", [0.85, 1.2])
def test_image_points_are_where_the_hand_is_seen_whatever_its_size(still, times):
    pair = still([times] * 15)[-1]
    seen = pipeline_support.CAMERA.project(
        shown(np.zeros(10), count=1, sides=(LEFT, RIGHT), asset=load_generic_hand())[1]["joints"][0]
    )
    for side, hand in enumerate(pair.hands):
        wrong = np.linalg.norm(hand.joints_2d - seen[side], axis=-1)
        assert wrong.mean() < 5.0, wrong


def test_a_size_is_learned_again_after_any_time(still):
    """Another person's hand, after ten seconds: a second after it is believed it is most of the way there."""
    found = distances(still([1.0] * 300 + [1.3] * 65 + [None] * 3))
    np.testing.assert_allclose(found[-3:] / found[299], 1.3, atol=0.09)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 50),
    st.integers(1, 50),
    st.integers(1, 4),
    st.integers(-5, 55),
    st.integers(-5, 55),
    st.floats(0.01, 0.99),
    st.floats(0.01, 0.99),
)
def test_depth_is_looked_up_where_the_pixel_is(width, height, times, column, row, right, down):
    """In a picture of any shape, `times` as large as the depth image; there is none outside."""
    values = np.random.default_rng(0).permutation(width * height).reshape(height, width).astype(np.float32) / 1000 + 0.2
    camera = Camera.from_fov(times * width, times * height, 60.0)
    (found,) = DepthImage.of(values).at(times * np.array([[column + right, row + down]]) - 0.5, camera)
    inside = 0 <= column < width and 0 <= row < height
    np.testing.assert_equal(found, values[row, column] if inside else np.nan)


@pytest.mark.parametrize("distance, aside", [(0.40, 0.0), (0.40, 0.04), (0.43, 0.04), (0.45, 0.04)])
def test_a_hand_behind_the_other_is_not_placed_by_the_others_skin(distance, aside):
    """Most of it is hidden: what is to be seen of it says where it is, or nothing does."""
    lens, picture = pipeline_support.CAMERA, pipeline_support.IMAGE
    motion, _ = shown(np.zeros(10), count=1, sides=(LEFT, RIGHT), asset=load_generic_hand())
    motion.wrist[0] = [[-0.02 + aside, 0.08, distance], [0.02, 0.08, 0.50]]
    hands, vertices = pair_of(load_generic_hand()), pose_hands(motion, load_generic_hand())[0][0]
    meshes, faces = list(vertices), [hand.faces for hand in hands]
    depth = render_meshes(picture, [(mesh, hand.faces, np.ones((778, 3))) for mesh, hand in zip(meshes, hands)], lens)[1]
    palm = hands[RIGHT].weights[:, 0] > 0.5
    front, behind = measure(DepthImage.of(depth.astype(np.float32)), lens, meshes, faces, palm)
    assert abs(front.offset) < 0.005
    assert behind is None or abs(behind.offset) < 0.01


@pytest.mark.parametrize(
    "agree, total, believed", [(60, 100, True), (30, 100, True), (20, 100, False), (29, 29, False), (40, 400, False)]
)
def test_a_few_points_of_skin_are_no_depth(agree, total, believed):
    """As many as a quarter of the skin in view, and thirty: a strap or an edge is fewer, and holes are none."""
    offsets = np.full(total, np.nan)
    offsets[:agree] = 0.02
    measured = depth._agreed(offsets, np.ones(total, bool), 0.5)
    assert (measured is not None) == believed and (measured is None or measured.offset == pytest.approx(0.02))


@pytest.mark.parametrize(
    "further, first",
    [([None] * 20 + [1.1] * 5, 20), ([None] * 20 + [0.8] * 5, 20), ([1.0] * 12 + [1.3] * 34, 42)],
    ids=["late, further", "late, nearer", "contradicts for long"],
)
def test_who_follows_a_hand_does_not_follow_it_to_where_depth_says_at_last_that_it_is(still, further, first):
    """It is not valid in that one image: a robot arm made 4 to 14 cm of what was no motion, and holds so, and goes on there."""
    pairs = still(further)
    for side in (LEFT, RIGHT):
        assert [k for k, pair in enumerate(pairs) if not pair.hands[side].valid] == [first]
        assert pairs[first].hands[side].state == HELD and pairs[first].hands[side].age == pytest.approx(1 / 30)
    found = distances(pairs)
    np.testing.assert_array_equal(found[first], found[first - 1])
    assert (np.abs(found[first + 1] - found[first]) > 0.04).all()
    assert pairs[first].left_root_relative is None and pairs[first + 1].left_root_relative is not None
