"""HandSession: what becomes of each image, whatever its stamp, lens and the tracker do; resets that are one in every thread."""

import numpy as np
import pytest
from pipeline_support import CAMERA, IMAGE, Script, Truth, TruthDetector, clip  # noqa: F401 (clip is a fixture)

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.geometry.camera_source import CameraSource
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.perception.detector import Detector
from fourdhands_core.pipeline.session import INTERNAL, LENS, Counts, HandSession, Notes
from fourdhands_core.pipeline.tracker import HandPairTracker, TrackerSettings
from fourdhands_core.pipeline.types import ABSENT, TRACKED

PERIOD = 33_333_333
SMALL = np.zeros((240, 320, 3), np.uint8)


class Blind(Detector):
    """Sees no hand."""

    def detect(self, image):
        return []


def session_of(tracker, fov=64.0, **kwargs):
    return HandSession(tracker, CameraSource(65.0, fov=fov), Counts(), Notes(), **kwargs)


def given(image, stamp, companion=None):
    return lambda: (image, stamp, companion)


@pytest.fixture
def following():
    """Makes a session over a tracker that follows two hands without its detector, and the script that they move by."""

    def make(images=6, camera=None, **settings):
        script = Script()
        if camera is not None:
            script.landmarks = lambda number: camera.project(
                script.joints + np.array([[-0.22 - 0.001 * number, 0.0, 0.6], [0.22 + 0.001 * number, 0.0, 0.6]])[:, None]
            )
        tracker = HandPairTracker(TrackerSettings(detect_every=1000, **settings), script, Truth(script))
        session = session_of(tracker)
        for script.number in range(images):
            ((pair, _),) = session.process(given(SMALL, (script.number + 1) * PERIOD))
        assert pair.left.valid and pair.right.valid and script.looked == [0], "the hands are not followed"
        return session, script

    return make


def leave(script):
    """Both hands are gone, and the network, which looks where it is told to, would still see them there."""
    script.detect = lambda image: script.looked.append(script.number) or []


@pytest.mark.parametrize("how", ["reset", "a jump back", "a pause"])
@pytest.mark.parametrize("in_work", [0, 1])
def test_hands_from_before_a_reset_never_come_back(following, how, in_work):
    """`in_work` images are observed before the reset and estimated after the next one has been observed, as two threads do."""
    session, script = following()
    leave(script)
    stamp = 7 * PERIOD
    observed = []
    for _ in range(in_work):
        script.number += 1
        observed.append(session.observe(given(SMALL, stamp)))
        stamp += PERIOD
    if how == "reset":
        session.reset()
    stamp += {"reset": 0, "a jump back": -50 * 10**9, "a pause": 50 * 10**9}[how]
    states = []
    for _ in range(4):
        script.number += 1
        observed.append(session.observe(given(SMALL, stamp)))
        assert script.looked[-1] == script.number, "the detector did not look at an image after the reset"
        stamp += PERIOD
        if len(observed) > in_work:
            states.append([hand.state for pair, _ in session.estimate(observed.pop(0)) for hand in pair.hands])
    for rest in observed:
        states.append([hand.state for pair, _ in session.estimate(rest) for hand in pair.hands])
    assert states[in_work:] == [[ABSENT, ABSENT]] * 4


def test_a_tracker_that_is_reset_does_not_take_what_it_expected_before_for_seen(following):
    session, script = following()
    script.number += 1
    frame = session.tracker.observe(SMALL, 7 * PERIOD, CameraSource(65.0, fov=64.0).camera_for(320, 240))
    assert frame.followed and len(frame.found) == 2
    session.tracker.reset()
    assert [hand.state for hand in session.tracker.estimate(frame).hands] == [ABSENT, ABSENT]


def test_hands_that_the_detector_saw_before_a_reset_are_not_followed_after_it():
    """An image is looked at, another one begins anew, and only then the first one is estimated."""
    script = Script()
    session = session_of(HandPairTracker(TrackerSettings(detect_every=1000), script, Truth(script)))
    observed, states = [], []
    for script.number in range(4):
        if script.number == 1:
            session.reset()
            leave(script)
        observed.append(session.observe(given(SMALL, (script.number + 1) * PERIOD)))
        if script.number > 0:
            states.append([hand.state for pair, _ in session.estimate(observed.pop(0)) for hand in pair.hands])
    assert script.looked == [0, 1, 2, 3]
    assert states == [[TRACKED, TRACKED], [ABSENT, ABSENT], [ABSENT, ABSENT]]


@pytest.mark.parametrize("refused", [InputError("not finite"), RuntimeError("a bug in the network")])
def test_a_failure_is_followed_by_a_new_beginning(following, refused):
    session, script = following()
    regress = session.tracker.regressor.regress

    def failing(*arguments):
        raise refused

    session.tracker.regressor.regress = failing
    ahead = [session.observe(given(SMALL, (7 + k) * PERIOD)) for k in range(2)]
    assert session.estimate(ahead[0]) == []
    assert session.counts.refused == {INTERNAL if isinstance(refused, RuntimeError) else "input": 1}
    session.tracker.regressor.regress = regress
    leave(script)
    for observed in (ahead[1], session.observe(given(SMALL, 9 * PERIOD))):
        ((pair, _),) = session.estimate(observed)
        assert [hand.state for hand in pair.hands] == [ABSENT, ABSENT]


def test_after_a_bug_hands_are_looked_for_anew(following):
    """Nobody knows what it has left behind."""
    session, script = following()

    def load():
        raise RuntimeError("a bug in the decoder")

    assert session.process(load) == [] and session.counts.refused == {INTERNAL: 1}
    leave(script)
    script.number = 8
    ((pair, _),) = session.process(given(SMALL, 8 * PERIOD))
    assert [hand.state for hand in pair.hands] == [ABSENT, ABSENT] and script.looked == [0, 8]


@pytest.mark.parametrize("malformed", [SMALL[..., 0], SMALL.astype(float), SMALL[:, ::2]])
def test_a_reset_holds_for_the_next_image_that_can_be_used(following, malformed):
    session, script = following()
    leave(script)
    session.reset()
    assert session.process(given(malformed, 7 * PERIOD)) == [] and session.counts.refused == {"input": 1}
    script.number = 8
    ((pair, _),) = session.process(given(SMALL, 8 * PERIOD))
    assert [hand.state for hand in pair.hands] == [ABSENT, ABSENT] and script.looked == [0, 8]


@pytest.mark.parametrize("asked", [False, True])
def test_a_reset_is_not_forgotten_where_another_session_goes_on(following, asked):
    session, script = following()
    if asked:
        session.reset()
    other = session_of(session.tracker)
    other.restore(session.state())
    observed = other.observe(given(SMALL, 7 * PERIOD))
    assert observed.frame.first == asked
    assert other.process(given(SMALL, 7 * PERIOD)) == [] and other.counts.refused == {"repeated stamp": 1}


def test_each_image_is_placed_by_the_depth_of_its_own_stamp(clip):
    """Whatever becomes of the images between them; without one it is placed by colour alone."""
    motion, truth = clip
    wall, asked, results = np.full((48, 64), 0.5, np.float32), [], {}

    def depth(frame):
        asked.append(frame.stamp)
        return wall if frame.stamp in (int(motion.stamp[1]), int(motion.stamp[2])) else None

    for given_depth in (None, depth):
        session = session_of(HandPairTracker(TrackerSettings(), TruthDetector(truth)))
        for k in range(4):
            ((pair, companion),) = session.process(given(IMAGE, int(motion.stamp[k]), k), given_depth)
            assert pair.stamp == motion.stamp[k] and companion == k
            results.setdefault(k, []).append(pair.right.joints[0])
            session.process(given(IMAGE[..., 0], int(motion.stamp[k]) + 1000), given_depth)
    assert asked == motion.stamp[:4].tolist()
    assert np.linalg.norm(np.diff(results[0], axis=0)) == 0.0
    assert np.linalg.norm(np.diff(results[2], axis=0)) > 0.03  # the first one is withheld: it jumps


@pytest.mark.parametrize("offset", [0.0, 21.0, -40.0])
def test_mirrored_images_are_followed_where_the_hand_is_whatever_the_principal_point(following, offset):
    matrix = np.array([[260.0, 0.0, 159.5 + offset], [0.0, 260.0, 119.5 - offset], [0.0, 0.0, 1.0]])
    camera = Camera(320, 240, matrix)  # of the mirrored images
    seen = camera.mirrored()
    session, script = following(images=1, camera=seen, mirrored=True)
    session.cameras.camera_for = lambda width, height: camera
    session.reset()
    for script.number in range(2, 15):
        ((pair, _),) = session.process(given(SMALL, script.number * PERIOD))
        assert pair.left.valid == pair.right.valid == (script.number > 2)  # who follows them is not to follow what begins anew
        expected = script.landmarks(script.number) * (-1.0, 1.0) + (319.0, 0.0)
        for hand in filter(lambda hand: hand.valid, pair.hands):
            np.testing.assert_allclose(hand.joints_2d, expected[hand.side], atol=2.0)
            np.testing.assert_allclose(hand.joints[0, 0], (-1, 1)[hand.side] * (0.22 + 0.001 * script.number), atol=0.03)
    assert script.looked == [0, 2], "the hand was looked for where it is not"


def test_every_image_has_an_estimate_or_a_reason(clip):
    """With lookahead too: a failure takes the images with it that waited for later ones, and says so."""
    tracker = HandPairTracker(TrackerSettings(lookahead=4), TruthDetector(clip[1]))
    notes = Notes()
    session = HandSession(tracker, CameraSource(65.0, fov=64.0), Counts(), notes)
    regress, calls, results = tracker.regressor.regress, [], []

    def failing(*arguments):
        calls.append(1)
        if len(calls) == 20:
            raise RuntimeError("a bug in the network")
        return regress(*arguments)

    tracker.regressor.regress = failing
    for number, stamp in enumerate(clip[0].stamp[:60]):
        results += session.process(given(IMAGE, int(stamp), number))
    results += session.finish()
    assert session.counts.refused[INTERNAL] == 1 and session.counts.refused["lost"] == 4
    assert len(results) + session.counts.rejected == 60
    assert all(pair.stamp == clip[0].stamp[number] for pair, number in results)
    assert len({number for _, number in results}) == len(results)
    assert any("a bug in the network" in note for note in notes.kept)


@pytest.mark.parametrize("lookahead", [0, 4])
def test_stamps_that_go_back_lose_no_more_than_one_image_a_time(clip, lookahead):
    """A second of a clip, four times over, as a player that loops sends it; what waited when it began anew comes out."""
    tracker = HandPairTracker(TrackerSettings(lookahead=lookahead), TruthDetector(clip[1]))
    session = session_of(tracker)
    stamps, results = [int(stamp) for stamp in clip[0].stamp[:30]] * 4, []
    for number, stamp in enumerate(stamps):
        results += session.process(given(IMAGE, stamp, number))
    results += session.finish()
    assert [number for _, number in results] == [k for k in range(120) if k not in (30, 60, 90)]
    assert session.counts.refused == {"late": 3} and session.counts.events == {"stamps that went backwards": 3}


def test_what_is_wrong_is_said_once_and_counted_always(clip):
    notes = Notes()
    cameras = CameraSource(65.0, unknown="neither of two options was given")
    session = HandSession(HandPairTracker(TrackerSettings(), TruthDetector(clip[1])), cameras, Counts(), notes)

    def malformed():
        raise InputError("it is no image")

    for stamp in (0, 0, 0, PERIOD, PERIOD):
        session.process(given(IMAGE, stamp))
        session.process(malformed)
    assert session.counts.refused == {"repeated stamp": 3, "input": 5}
    assert len(notes.kept) == 3
    assert any("neither of two options" in note and "65 degrees" in note and "not metres" in note for note in notes.kept)
    assert any("driver has not set" in note for note in notes.kept) and any("it is no image" in note for note in notes.kept)


def test_an_image_that_waits_for_its_calibration_is_not_told_of(clip):
    notes = Notes()
    session = HandSession(
        HandPairTracker(TrackerSettings(), TruthDetector(clip[1])), CameraSource(65.0), Counts(), notes, patience=3
    )
    for number in range(2):
        session.process(given(IMAGE, number * PERIOD))
    assert not notes.kept
    session.process(given(IMAGE, 2 * PERIOD))
    assert len(notes.kept) == 1


@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_depth_in_mirrored_images_is_that_of_the_hand_whatever_the_principal_point(clip, side):
    """The same hands seen through a mirror come to the same positions, depth or not."""
    motion, truth = clip
    camera = Camera(640, 480, CAMERA.matrix + [[0, 0, 45.0], [0, 0, -20.0], [0, 0, 0]])
    shift = np.array([45.0, -20.0])
    truth = {**truth, "joints_2d": truth["joints_2d"] + shift}
    depth = np.full((480, 640), np.nan, np.float32)
    depth[:, :] = 0.9
    results = []
    for mirrored in (False, True):
        tracker = HandPairTracker(TrackerSettings(mirrored=mirrored), TruthDetector(truth))
        seen, pairs = camera.mirrored() if mirrored else camera, []
        for k, stamp in enumerate(motion.stamp[:40]):
            picture = depth.copy()
            for joints in truth["joints"][k][truth["valid"][k]]:
                for (u, v), z in zip(camera.project(joints), joints[:, 2]):
                    picture[max(0, int(v) - 12) : int(v) + 13, max(0, int(u) - 12) : int(u) + 13] = z - 0.01
            picture = picture[:, ::-1] if mirrored else picture
            pairs.append(tracker.process(IMAGE, int(stamp), seen, depth=np.ascontiguousarray(picture)))
        results.append(pairs)
    compared = 0
    for one, other in zip(*results):
        a, b = one.hands[side], other.hands[side]
        assert a.valid == b.valid
        if a.valid:
            compared += 1
            np.testing.assert_allclose(a.joints, b.joints, atol=1e-6)
            np.testing.assert_allclose(a.joints_2d * (-1, 1) + (639, 0), b.joints_2d, atol=1e-4)
    assert compared > 20


@pytest.mark.parametrize(
    "level, side, dark", [(0, 0, True), (12, 0, True), (13, 0, False), (128, 0, False), (5, 16, True), (5, 64, False)]
)
def test_images_that_are_nearly_black_are_counted_and_told_once(clip, level, side, dark):
    """A hand before a black wall is bright; a lamp far away does not light a scene."""
    image = np.full_like(IMAGE, level)
    image[:side, :side] = (200, 0, 0)
    session = session_of(HandPairTracker(TrackerSettings(), TruthDetector(clip[1])))
    session._logger = notes = Notes()
    for number in range(3):
        session.process(given(image, number * PERIOD))
    assert session.counts.events == ({"dark images": 3} if dark else {})
    assert ["nearly black" in note for note in notes.kept] == [True] * dark


@pytest.mark.parametrize(
    "stamps, taken, refused, events",
    [
        ([5, 0, 6], [5, 6], {"unset stamp": 1}, {}),
        ([5, 0, 0, 6], [5, 6], {"unset stamp": 2}, {}),
        ([5, 0, 1, 2], [5, 1, 2], {"unset stamp": 1}, {"stamps that went backwards": 1}),
        ([0, 1, 2], [0, 1, 2], {}, {}),
        ([0, 0, 0], [0], {"repeated stamp": 2}, {}),
    ],
    ids=["one among others", "two", "a simulation that begins anew", "a simulation that begins", "none is set"],
)
def test_stamps_that_a_driver_has_not_set(stamps, taken, refused, events):
    """One among others was taken for a jump in time: tracking began anew with it, and again with the next."""
    times = {0: 0, 1: PERIOD, 2: 2 * PERIOD, 5: 5 * 10**18, 6: 5 * 10**18 + PERIOD}
    session, bright = session_of(HandPairTracker(detector=Blind())), np.full((240, 320, 3), 200, np.uint8)
    pairs = [pair for stamp in stamps for pair, _ in session.process(given(bright, times[stamp]))]
    assert [pair.stamp for pair in pairs] == [times[stamp] for stamp in taken]
    assert session.counts.refused == refused and session.counts.events == events


@pytest.mark.parametrize(
    "stamps, taken, refused", [([0, 5, 6], [5, 6], 1), ([0, 1, 2], [1, 2], 1), ([0, 0, 0], [], 3), ([0, 5, 0, 6], [5, 6], 2)]
)
def test_a_running_camera_whose_first_stamp_is_not_set(stamps, taken, refused):
    """It was an estimate with the stamp 0, which to tf2 is the newest one of all, and the next image a new beginning."""
    times = {0: 0, 1: PERIOD, 2: 2 * PERIOD, 5: 5 * 10**18, 6: 5 * 10**18 + PERIOD}
    tracker, bright = HandPairTracker(detector=Blind()), np.full((240, 320, 3), 200, np.uint8)
    session = HandSession(tracker, CameraSource(65.0), Counts(), notes := Notes(), live=True)
    pairs = [pair for stamp in stamps for pair, _ in session.process(given(bright, times[stamp]))]
    assert [pair.stamp for pair in pairs] == [times[stamp] for stamp in taken]
    assert session.counts.refused == {"unset stamp": refused} and not session.counts.events
    assert sum("stamp 0, which the camera's driver has not set" in note for note in notes.kept) == 1


@pytest.mark.parametrize(
    "stamps, taken, refused",
    [
        ([0, 5, 6], [5, 6], {"unset stamp": 1}),
        ([0, 0, 0, 5, 6], [5, 6], {"unset stamp": 3}),
        ([0, 1, 2], [0, 1, 2], {}),
        ([0, 0, 1, 2], [0, 1, 2], {"repeated stamp": 1}),
    ],
)
def test_stamps_that_a_driver_has_not_set_at_a_recordings_start(stamps, taken, refused):
    """Each was an estimate with the stamp 0, but where a simulation begins there; a session that goes on knows, too."""
    times = {0: 0, 1: PERIOD, 2: 2 * PERIOD, 5: 5 * 10**18, 6: 5 * 10**18 + PERIOD}
    session, counts, bright, found = None, Counts(), np.full((240, 320, 3), 200, np.uint8), []
    for stamp in stamps:
        before = session
        session = session_of(HandPairTracker(detector=Blind()))
        session.counts = counts
        if before is None:
            session.foresee([times[stamp] for stamp in stamps])
        else:
            session.restore(before.state())
        found += [pair.stamp for pair, _ in session.process(given(bright, times[stamp]))]
    assert found == [times[stamp] for stamp in taken]
    assert counts.refused == refused and not counts.events


def test_a_lens_that_changes_is_counted(clip):
    """As where two cameras tell of theirs on one topic: no hand is valid in an image of another lens than the one before."""
    motion, truth = clip
    session = session_of(HandPairTracker(detector=TruthDetector(truth)))
    session.cameras.camera_for = lambda width, height: CAMERA if number < 4 or number % 2 else other
    other = Camera.from_fov(CAMERA.width, CAMERA.height, 50.0, calibrated=True)
    valid = []
    for number in range(8):
        ((pair, _),) = session.process(given(IMAGE, int(motion.stamp[number]) + 1))
        valid.append(pair.right.valid)
    assert session.counts.events == {LENS: 4} and valid == [True] * 4 + [False] * 4
