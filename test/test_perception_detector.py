"""The detector: sides, pixel convention, errors a user can cause, threads."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import onnxruntime
import pytest

from fourdhands_core.errors import DependencyError, InputError
from fourdhands_core.hand_model.skeleton import RIGHT
from fourdhands_core.perception import hand_detector, hand_networks
from fourdhands_core.perception.confidence import inside_hull, landmark_confidence
from fourdhands_core.perception.detector import HandDetection, check_image, hand_size, image_scale
from fourdhands_core.perception.hand_detector import SEARCHES, HandDetector, make_detector
from fourdhands_core.perception.hand_networks import HandNetworks, Look
from fourdhands_core.perception.palms import Palm
from fourdhands_core.perception.squares import Square
from fourdhands_core.perception.tone import AS_IT_IS, tone_of
from fourdhands_core.pipeline.checkpoint import load_memory, save_memory
from fourdhands_core.pipeline.tracker import HandPairTracker


@pytest.fixture(scope="module")
def right_hand(real_data):
    """Twenty frames, a second apart, of one right hand."""
    video = cv2.VideoCapture(str(real_data / "video" / "right_hand.mp4"))
    frames = []
    for number in range(600):
        assert video.grab()
        if number % 30 == 0:
            frames.append(np.ascontiguousarray(video.retrieve()[1][:, :, ::-1]))
    return frames


@pytest.fixture(scope="module")
def detector():
    detector = HandDetector(single_images=True)
    yield detector
    detector.close()


@pytest.mark.parametrize(
    "image",
    [
        None,
        [[1, 2, 3]],
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 0, 3), np.uint8),
        np.zeros((8, 8, 3), np.uint8)[:, ::2],
        np.zeros((2, 32767, 3), np.uint8),
        np.zeros((32767, 2, 3), np.uint8),
    ],
)
def test_malformed_images_are_named(detector, image):
    with pytest.raises(InputError, match="image"):
        check_image(image)
    with pytest.raises(InputError, match="image"):
        detector.detect(image)


def test_a_device_that_onnxruntime_lacks_says_what_to_install():
    with pytest.raises(InputError, match="cpu, onnx, cuda, tensorrt"):
        HandNetworks("tpu")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(DependencyError, match="pip install 'onnxruntime-gpu"):
            make_detector(device="cuda")
        with pytest.raises(DependencyError, match="pip install 'onnxruntime-gpu"):
            make_detector(device="tensorrt")


@pytest.fixture
def none_kept():
    """No session of another test, and none for another."""
    kept = hand_networks._session, hand_networks._find_cuda
    for function in kept:
        function.cache_clear()
    yield
    for function in kept:
        function.cache_clear()


def test_pips_libraries_of_cuda_are_found_and_where_they_fail_the_cpu_goes_on(none_kept, monkeypatch, capsys, caplog):
    """No linker looks where pip puts them."""
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: print("Failed to load libcudart.so.13"), raising=False)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    make = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda path, options, providers: make(path, options, ["CPUExecutionProvider"])
    )
    HandNetworks("cpu")
    assert not any(capsys.readouterr())
    assert HandNetworks("cuda").looks(np.zeros((48, 64, 3), np.uint8), [Square(32, 24, 40)])
    out, said = capsys.readouterr()
    assert out == "" and said.count("libcudart") == 1 and "could not be started for device cuda" in caplog.text


def test_on_a_gpu_no_image_waits_for_a_first_run_or_another_number_of_hands(none_kept, monkeypatch, right_hand):
    """On an H100 each took 0.1 to 4 s."""
    make, runs, asked = onnxruntime.InferenceSession, [], []

    class OnTheCpu:
        def __init__(self, path, options, providers):
            asked.append(dict(providers))
            self._session = make(path, options, ["CPUExecutionProvider"])
            self.get_inputs, self.get_providers = self._session.get_inputs, lambda: list(asked[-1])

        def run(self, wanted, given):
            runs.append(given["image"].shape)
            return self._session.run(wanted, given)

    monkeypatch.setattr(hand_networks, "_find_cuda", lambda: None)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    squares = [Square(960.0, 540.0, 500.0), Square(900.0, 500.0, 600.0, 0.3)]
    together = HandNetworks("cpu").looks(right_hand[0], squares)
    monkeypatch.setattr(onnxruntime, "InferenceSession", OnTheCpu)
    networks = HandNetworks("cuda")
    assert [each["CUDAExecutionProvider"]["cudnn_conv_algo_search"] for each in asked] == ["HEURISTIC"] * 2
    shapes = [(1, 3, 192, 192), (1, 3, 224, 224)]
    assert runs == shapes
    alone = networks.looks(right_hand[0], squares)
    assert networks.looks(right_hand[0], []) == [] and set(runs) == set(shapes)
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.landmarks, other.landmarks, atol=0.01)
        np.testing.assert_allclose(one.world, other.world, atol=1e-5)
        assert abs(one.presence - other.presence) < 1e-4 and abs(one.right - other.right) < 1e-4


def test_a_closed_detector_says_so():
    detector = HandDetector()
    detector.close()
    detector.close()
    with pytest.raises(InputError, match="closed"):
        detector.detect(np.zeros((64, 64, 3), np.uint8))


def test_an_image_without_hands_has_none_and_one_pixel_is_an_image(detector):
    assert detector.detect(np.full((480, 640, 3), 127, np.uint8)) == []
    assert detector.detect(np.zeros((1, 1, 3), np.uint8)) == []


def test_the_right_hand_of_an_ordinary_image_is_right_and_its_fields_are_as_documented(detector, right_hand):
    for frame in right_hand:
        (hand,) = detector.detect(frame)
        assert isinstance(hand, HandDetection) and hand.side == RIGHT and 0.5 <= hand.score <= 1.0
        assert hand.landmarks.shape == (21, 2) and hand.world.shape == (21, 3)
        assert hand.confidence.shape == (21,) and hand.confidence.mean() > 0.6
        assert (hand.confidence >= 0.0).all() and (hand.confidence <= 1.0).all()
        assert 150 < hand_size(hand) < 450


def test_pixel_centres_are_at_integers(detector, right_hand):
    """Halving an image by averaging puts pixel 2 x + 0.5 at x; with pixel edges at integers it would be 2 x."""
    shifts = []
    for frame in right_hand:
        (whole,) = detector.detect(frame)
        half = detector.detect(cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
        if len(half) == 1:
            shifts.append((2.0 * half[0].landmarks - whole.landmarks).mean(axis=0))
    assert len(shifts) > 15
    np.testing.assert_allclose(np.mean(shifts, axis=0), [-0.5, -0.5], atol=0.25)


def test_images_of_changing_size_are_taken(right_hand):
    detector = HandDetector()
    for number, size in enumerate([(1280, 720), (640, 360), (320, 240), (1280, 720)] * 2):
        hands = detector.detect(cv2.resize(right_hand[number], size, interpolation=cv2.INTER_AREA))
        for hand in hands:
            assert (hand.landmarks.mean(axis=0) < size).all()
    assert len(hands) == 1
    detector.close()


def test_detectors_in_several_threads_leave_the_process_its_stderr(right_hand):
    before, seen = os.fstat(2), set()

    def work():
        detector = HandDetector()
        for frame in right_hand[:3]:
            detector.detect(frame)
        detector.close()

    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(work) for _ in range(4)]
        while not all(future.done() for future in running):
            now = os.fstat(2)
            seen.add((now.st_dev, now.st_ino))
            time.sleep(0.001)
        [future.result() for future in running]
    assert seen == {(before.st_dev, before.st_ino)} and os.path.samestat(os.fstat(2), before)


def test_a_reset_detector_starts_as_a_new_one(right_hand):
    """Whatever it followed before: the same hands to the last digit."""
    detector, new = HandDetector(), HandDetector()
    for frame in right_hand[:3]:
        detector.detect(frame)
    detector.reset()
    for frame in right_hand[5:8]:
        for hand, other in zip(detector.detect(frame), new.detect(frame), strict=True):
            np.testing.assert_array_equal(hand.landmarks, other.landmarks)


@pytest.mark.parametrize("kind", ["dark", "very dark", "grey", "dark and grey"])
def test_hands_in_the_dark_and_without_colour_are_where_they_were(right_hand, kind):
    """A twelfth and a 25th of the light with a sensor's noise: without brightening none of them is found."""
    rng = np.random.default_rng(0)
    seen, detector, as_it_is = HandDetector(), HandDetector(), HandDetector(rules=replace(SEARCHES["thorough"], toned=False))
    off, missed = [], 0
    for frame in right_hand[:8]:
        changed = frame
        if "dark" in kind:
            changed = frame * (0.04 if "very" in kind else 1 / 12) + rng.normal(0.0, 1.5, frame.shape)
            changed = np.clip(np.rint(changed), 0, 255).astype(np.uint8)
        if "grey" in kind:
            changed = cv2.cvtColor(cv2.cvtColor(changed, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        [truth] = seen.detect(frame)
        missed += not as_it_is.detect(changed)
        for hand in detector.detect(changed):
            off.append(np.linalg.norm(hand.landmarks - truth.landmarks, axis=1).mean() / hand_size(truth))
    assert len(off) >= 7 and np.mean(off) < 0.05
    assert missed == (0 if kind == "grey" else 8)


def test_bright_and_coloured_images_are_seen_as_they_are(right_hand):
    assert tone_of(right_hand[0]) == AS_IT_IS
    assert tone_of(np.zeros((48, 64, 3), np.uint8)).gains[1] <= 60.0  # nothing is made of nothing
    rng = np.random.default_rng(0)
    noise = np.clip(np.rint(rng.normal(0.0, 1.5, (480, 640, 3))), 0, 255).astype(np.uint8)
    detector = HandDetector()
    assert not any(detector.detect(noise) for _ in range(5))


class Found(list):
    """Palms, the surest first."""

    def above(self, threshold):
        return [palm for palm in self if palm.score >= threshold]


class Networks:
    """What is asked for, in `squares`; a hand of some size wherever a palm is found."""

    at_once = False

    def __init__(self, *hands):
        self.hands, self.squares = hands, []

    def palms(self, image, square, tone):
        self.squares.append(square)
        found = []
        for x, y, length in self.hands:
            centre = np.array([x - square.x, y - square.y]) / square.side + 0.5
            half = length / square.side / 6.0
            points = np.tile(centre, (7, 1)) + np.array([[0.0, half]] + 6 * [[0.0, -half]])
            found.append(Palm(0.9, np.concatenate([centre - half, centre + half]), points))
        return Found(found if square.angle == 0.0 else [])

    def looks(self, image, squares, tone, pictures=1):
        found = []
        for square in squares:
            x, y, length = min(self.hands, key=lambda hand: np.hypot(hand[0] - square.x, hand[1] - square.y))
            shape = np.array([[0.0, 0.4], *([0.12 * f - 0.24, 0.15 - 0.2 * k] for f in range(5) for k in range(4))])
            world = np.concatenate([0.18 * shape, np.zeros((21, 1))], axis=1)
            found.append(Look(shape * length + (x, y), world, 0.9, 0.9))
        return found

    def mirrored(self, image, square, tone):
        (look,) = self.looks(image, [square], tone)
        return look.presence


def test_fingers_of_a_hand_are_no_second_hand_and_a_small_hand_beside_it_is():
    image = np.zeros((480, 640, 3), np.uint8)
    assert len(HandDetector(Networks((300, 240, 200))).detect(image)) == 1
    for second, hands in (((300, 160, 50), 1), ((470, 240, 50), 2), ((300, 160, 150), 2)):
        detector = HandDetector(Networks((300, 240, 200), second))
        detector.detect(image)
        assert len(detector.detect(image)) == hands, second


def test_a_quick_hand_is_looked_for_where_it_goes_on_to_and_a_slow_one_where_it_was():
    """A hand beside the middle of its square is drawn towards there by the real network: by 17 mm in 15 images a second."""
    image, networks = np.zeros((480, 640, 3), np.uint8), Networks((100, 240, 200))
    detector, asked, followed, looks = HandDetector(networks), [], [], networks.looks
    networks.looks = lambda image, squares, *more: asked.append(squares) or looks(image, squares, *more)
    for x in (100, 104, 108, 112, 192, 272, 352):
        networks.hands = ((x, 240, 200),)
        asked.clear()
        detector.detect(image)
        followed += asked[0]  # none in the first image
    still = SEARCHES["thorough"].still * followed[0].side
    np.testing.assert_allclose(np.diff([square.x for square in followed]), [4.0, 4.0, 4.0, 160.0 - still, 80.0], atol=1e-6)
    assert all(square.y == followed[0].y for square in followed)


def test_beside_one_hand_that_is_followed_searches_in_vain_become_rare():
    """Each costs as much as a look at the hand. A hand that comes is found all the same, and after a reset all is as it was."""
    image = np.zeros((480, 640, 3), np.uint8)
    networks = Networks((300, 240, 200))
    detector = HandDetector(networks)
    searched = []
    for _ in range(60):
        networks.squares.clear()
        (_,) = detector.detect(image)
        searched.append(bool(networks.squares))
    assert all(searched[:24]) and sum(searched[28:]) == 8
    networks.hands = (*networks.hands, (480, 240, 150))
    assert 2 in [len(detector.detect(image)) for _ in range(8)]
    networks.hands = networks.hands[:1]
    detector.reset()
    networks.squares.clear()
    for _ in range(3):
        detector.detect(image)
    assert len(networks.squares) == 3


def test_a_detector_that_is_shown_few_images_searches_in_all_of_them(monkeypatch):
    """Beside the image network it sees every fifth."""
    networks = Networks((300, 240, 200))
    monkeypatch.setattr(hand_detector, "HandNetworks", lambda *_: networks)
    detector = hand_detector.detector_beside_torch("thorough", "cpu", 1)
    for _ in range(40):
        detector.detect(np.zeros((480, 640, 3), np.uint8))
    assert len(networks.squares) == 40


@pytest.mark.parametrize("search", ["thorough", "fast"])
def test_a_tracker_that_goes_on_from_a_file_searches_where_the_other_would_have(tmp_path, search):
    """While one hand of two is missing, which square is searched depends on how many were."""
    image = np.zeros((480, 640, 3), np.uint8)

    def trackers():
        networks = Networks((300, 240, 200))
        return HandPairTracker(detector=HandDetector(networks, rules=SEARCHES[search])), networks

    (one, whole), (before, _), (after, resumed) = trackers(), trackers(), trackers()
    for k in range(7):
        one.process(image, k + 1)
        before.process(image, k + 1)
    save_memory(tmp_path / "state.npz", before.memory())
    after.recall(load_memory(tmp_path / "state.npz"))
    whole.squares.clear()
    for k in range(7, 20):
        expected, found = one.process(image, k + 1), after.process(image, k + 1)
        np.testing.assert_allclose(expected.right.joints, found.right.joints, rtol=0, atol=1e-9)
    assert whole.squares == resumed.squares and len(resumed.squares) > 1


def test_a_hand_that_lies_on_its_side_is_found_in_a_video(right_hand):
    """The palm network sees upright hands; a search in turned squares finds the others within its schedule."""
    turned = np.ascontiguousarray(np.rot90(right_hand[0], 2))
    detector = HandDetector()
    assert any(len(detector.detect(turned)) == 1 for _ in range(24))
    (hand,) = detector.detect(turned)
    assert hand.side == RIGHT and hand.presence > 0.8
    (upright,) = HandDetector(single_images=True).detect(right_hand[0])
    height, width = turned.shape[:2]
    np.testing.assert_allclose((width - 1, height - 1) - hand.landmarks, upright.landmarks, atol=12.0)


def test_scale_and_confidence_of_a_hand_that_is_its_own_projection():
    rng = np.random.default_rng(0)
    world = rng.normal(size=(21, 3)) * 0.05
    landmarks = world[:, :2] * 1500.0 + (300.0, 200.0)
    scale, residual = image_scale(landmarks, world)
    assert scale == pytest.approx(1500.0) and residual.max() < 1e-9
    np.testing.assert_allclose(landmark_confidence(landmarks, world, 0.8, (2000, 2000)), 0.8)
    moved = landmarks.copy()
    moved[4] += 60.0
    confidence = landmark_confidence(moved, world, 0.8, (2000, 2000))
    assert confidence[4] < 0.3 and np.delete(confidence, 4).min() > 0.7
    # Landmarks left of the image are guesses.
    outside = landmark_confidence(landmarks - (300.0, 0.0), world, 1.0, (2000, 2000))
    assert (outside[landmarks[:, 0] < 250.0] < 0.3).all() and (outside[landmarks[:, 0] > 300.0] == 1.0).all()


def test_hull_agrees_with_opencv():
    rng = np.random.default_rng(1)
    for _ in range(50):
        points, other = rng.normal(size=(21, 2)) * 100 + 300, rng.normal(size=(21, 2)) * 100 + 350
        hull = cv2.convexHull(other.astype(np.float32))
        expected = [cv2.pointPolygonTest(hull, (float(x), float(y)), False) >= 0 for x, y in points]
        np.testing.assert_array_equal(inside_hull(points, other), expected)
    assert not inside_hull(points, np.zeros((21, 2))).any()
