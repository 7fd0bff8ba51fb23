"""The image network over a stream: equal to the window computed from scratch, and followed without the detector."""

import numpy as np
import pytest
import torch
from network_support import small_network
from pipeline_support import HANDS, Script, Truth
from pipeline_support import SMALL_CAMERA as CAMERA

from fourdhands_core.errors import CheckpointError, DependencyError, InputError
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.network.checkpoint import SHIPPED, save_weights
from fourdhands_core.perception.detector import HandDetection
from fourdhands_core.pipeline.frame import Frame
from fourdhands_core.pipeline.image_regression import ImageRegressor, square_of
from fourdhands_core.pipeline.regression import Regression
from fourdhands_core.pipeline.tracker import HandPairTracker, TrackerSettings
from fourdhands_core.runtime.crops import crop_hands
from fourdhands_core.runtime.image import TorchImage


def detection(side, centre, rng):
    landmarks = np.array(centre) + rng.normal(0, 18, (21, 2))
    return HandDetection(side, 1.0, landmarks, rng.normal(0, 0.03, (21, 3)), np.ones(21))


def stream(stamps, seed=0):
    """Frames of noise with hands, the left one gone in some."""
    rng = np.random.default_rng(seed)
    for number, stamp in enumerate(stamps):
        left = None if number % 5 == 3 else detection(LEFT, (220, 120), rng)
        frame = Frame(int(stamp * 1e9), CAMERA, [], detections=(left, detection(RIGHT, (100, 120), rng)))
        frame.image = rng.integers(0, 255, (240, 320, 3), dtype=np.uint8)
        yield frame


@pytest.mark.parametrize("relation, root, mean", [("concatenate", 0, False), ("add", 9, True)])
@pytest.mark.parametrize("stamps", [np.arange(60) / 30, np.arange(30) / 14, np.delete(np.arange(60) / 30, [10, 11, 30, 41])])
def test_streaming_equals_the_window_from_scratch(relation, root, mean, stamps):
    """Whatever the rate of the camera and the frames that were dropped: nine frames 5/30 s apart, ended by the newest."""
    made = small_network(relation=relation, root=root, mean_pose=mean)
    regressor = ImageRegressor(TorchImage(made), HANDS, np.linspace(-0.2, 0.2, 45))
    frames, images = [], []
    for frame in stream(stamps):
        images.append(frame.image)
        regressor.encode(frame)
        frames.append(frame)
    assert all(frame.image is None for frame in frames)
    for target in (len(frames) - 1, 20, 3):
        got = regressor.regress(frames[: target + 1], frames[target])
        wanted = stamps[target] + (np.arange(9) - 4) * 5 / 30
        picked = [int(np.abs(stamps[: target + 1] - at).argmin()) for at in wanted]
        crops, squares, present = [], np.zeros((9, 2, 4), np.float32), np.zeros((9, 2), bool)
        for row, k in enumerate(picked):
            for side, seen in enumerate(frames[k].detections):
                if seen is not None:
                    squares[row, side], present[row, side] = square_of(seen.landmarks), True
                    crops.append(crop_hands(images[k], square_of(seen.landmarks)[None], [side == LEFT]))
        with torch.inference_mode():
            tokens = made.encode(torch.from_numpy(np.concatenate(crops)), torch.from_numpy(squares), torch.from_numpy(present))
            hands = made.reason(tokens.transpose(0, 1)[None], torch.from_numpy(present.T)[None])
        side = RIGHT
        np.testing.assert_allclose(got.rotations[side, 0], hands.rotations[0, side, 0].numpy(), atol=1e-4)
        if not mean:
            np.testing.assert_allclose(got.rotations[side], hands.rotations[0, side].numpy(), atol=1e-4)
        np.testing.assert_allclose(got.betas[side], hands.betas[0, side].numpy(), atol=1e-4)
        joints = HANDS.joints(got.rotations[:, 0], got.rotations[:, 1:], got.betas)
        np.testing.assert_allclose(
            got.relative + joints[LEFT, root] - joints[RIGHT, root], hands.left_root_relative[0].numpy(), atol=1e-4
        )


def test_the_weak_perspective_camera_puts_the_root_where_it_says():
    made = small_network(root=9)
    frame = next(stream([0.0]))
    regressor = ImageRegressor(TorchImage(made), HANDS, np.zeros(45))
    regressor.encode(frame)
    regression = regressor.regress([frame], frame)
    with torch.inference_mode():
        hands = made.reason(frame.tokens.hands[None, :, None].expand(-1, -1, 9, -1))
    for side in (LEFT, RIGHT):
        s, x, y = hands.camera[0, side].tolist()
        square = frame.tokens.squares[side]
        offset = 5000 * np.array([x, y]) / (2 * 5000 / (256 * s)) / 256 * square[2]  # the crop's pixels are the square's
        offset[0] *= -1 if side == LEFT else 1
        np.testing.assert_allclose(regression.landmarks[side, 9], square[:2] + square[2:] / 2 + offset, atol=1e-3)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_stays_within_a_millimetre(precision):
    results = []
    for kind in ("float32", precision):
        regressor = ImageRegressor(TorchImage(small_network(), precision=kind), HANDS, np.zeros(45))
        frames = list(stream(np.arange(12) / 30))
        for frame in frames:
            regressor.encode(frame)
        got = regressor.regress(frames, frames[-1])
        results.append(HANDS.joints(got.rotations[:, 0], got.rotations[:, 1:], got.betas))
    assert 0 < np.linalg.norm(results[0] - results[1], axis=-1).max() < 1e-3


@pytest.fixture
def followed():
    script = Script()
    return HandPairTracker(TrackerSettings(detect_every=5), script, Truth(script)), script


def test_hands_beyond_doubt_are_followed_without_the_detector(followed):
    tracker, script = followed
    for number in range(40):
        script.number = number
        pair = tracker.process(np.zeros((240, 320, 3), np.uint8), (number + 1) * 33_333_333, CAMERA)
        assert pair.right.valid
        assert pair.left.valid == (number < 20)
        np.testing.assert_allclose(pair.right.joints_2d, script.landmarks(number)[RIGHT], atol=2.0)
    assert len([n for n in script.looked if n < 20]) <= 5
    assert {21, 22, 23} <= set(script.looked), "the detector looks for a hand that was just lost"
    assert len([n for n in script.looked if n >= 32]) <= 2


def test_with_doubt_the_detector_looks_at_every_image(followed):
    """An untrained network sees nothing where the hands are: the detector's landmarks place them."""
    tracker, script = followed
    script.regression = lambda frame: Regression(
        script.rotations.copy(),
        np.zeros((2, 10)),
        np.full((2, 21), 0.008),
        np.array([-0.44, 0, 0]),
        0.02,
        np.full((2, 21, 2), np.nan),
    )
    for number in range(10):
        script.number = number
        pair = tracker.process(np.zeros((240, 320, 3), np.uint8), (number + 1) * 33_333_333, CAMERA)
        assert pair.left.valid and pair.right.valid
        np.testing.assert_allclose(pair.left.joints_2d, script.landmarks(number)[LEFT], atol=2.0)
    assert script.looked == list(range(10))


def test_settings_that_do_not_go_together(tmp_path):
    image = str(tmp_path / "image.safetensors")
    save_weights(small_network(), image)
    for settings, error, message in (
        (dict(model="image"), InputError, "import-weights"),
        (dict(weights=image), CheckpointError, "use model image"),
        (dict(model="image", device="onnx", weights="none"), CheckpointError, "fourdhands export"),
        (dict(model="paper"), InputError, "landmark, image"),
        (dict(precision="int4"), InputError, "float32, float16"),
        (dict(precision="float16"), InputError, "float32 or int8"),
        (dict(precision="int8", device="cuda"), InputError, "on a GPU leave it at float32"),
        (dict(precision="int8", model="image", weights=image), InputError, "model image and on a GPU leave it at float32"),
        (dict(looks=4, model="image", weights=image), InputError, "looks = 4 is for model landmark"),
        (dict(looks=5), InputError, "from 1 to 4"),
        (dict(detect_every=0), InputError, "detect_every"),
    ):
        with pytest.raises(error, match=message):
            HandPairTracker(TrackerSettings(**settings))
    with pytest.raises(CheckpointError, match="use model landmark"):
        HandPairTracker(TrackerSettings(model="image", weights=str(SHIPPED)))
    if not torch.cuda.is_available():
        with pytest.raises(DependencyError, match="no CUDA device"):
            HandPairTracker(TrackerSettings(model="image", weights=image, device="cuda"))
