"""cv_bridge decodes what it is right for, and changes nothing of an image's result: with made-up ones, and the real one."""

import sys
import types
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import Image
from test_ros_images import message_of, refusal, smooth_picture

from fourdhands_ros.convert import cv_bridge_decoder
from fourdhands_ros.convert.images import ImageDecoder, MalformedImage

CODES = {"bgr8": cv2.COLOR_BGR2RGB, "rgba8": cv2.COLOR_RGBA2RGB, "bgra8": cv2.COLOR_BGRA2RGB, "mono8": cv2.COLOR_GRAY2RGB}
CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1, "sharp8": 3}


class MadeUpBridge:
    """Right for the encodings of CHANNELS without padding, as cv_bridge's pure Python form is. calls: (encoding, width)."""

    calls: list[tuple[str, int]] = []

    def imgmsg_to_cv2(self, message, desired):
        self.calls.append((message.encoding, message.width))
        assert desired == "rgb8" and len(message.data) == message.step * message.height, "it was given a malformed image"
        channels = CHANNELS[message.encoding]
        image = np.ndarray((message.height, message.width, channels), np.uint8, buffer=message.data)
        return cv2.cvtColor(image, CODES[message.encoding]) if message.encoding in CODES else image


class SwapsColours(MadeUpBridge):
    def imgmsg_to_cv2(self, message, desired):
        return super().imgmsg_to_cv2(message, desired)[..., ::-1]


class FailsOnRealImages(MadeUpBridge):
    def imgmsg_to_cv2(self, message, desired):
        image = super().imgmsg_to_cv2(message, desired)
        if message.width != 16:
            raise RuntimeError("out of memory")
        return image


class OfOtherShape(MadeUpBridge):
    def imgmsg_to_cv2(self, message, desired):
        return super().imgmsg_to_cv2(message, desired).astype(np.float64)


@pytest.fixture
def installed(monkeypatch):
    """Makes a class the CvBridge that imports; None for one that does not."""

    def install(bridge):
        cv_bridge_decoder._bridge.cache_clear()
        monkeypatch.setitem(sys.modules, "cv_bridge", bridge and types.SimpleNamespace(CvBridge=bridge))
        MadeUpBridge.calls = []

    yield install
    cv_bridge_decoder._bridge.cache_clear()


def picture_of(encoding, padding=0, bigendian=0) -> Image:
    picture = smooth_picture()
    codes = {
        "rgb8": None,
        "bgr8": cv2.COLOR_RGB2BGR,
        "rgba8": cv2.COLOR_RGB2RGBA,
        "bgra8": cv2.COLOR_RGB2BGRA,
        "mono8": cv2.COLOR_RGB2GRAY,
    }
    rows = picture if codes[encoding] is None else cv2.cvtColor(picture, codes[encoding])
    return message_of(rows, encoding, padding, bigendian)


def test_it_decodes_what_it_is_right_for(installed):
    installed(MadeUpBridge)
    decoder = ImageDecoder(compressed=False)
    for encoding in CODES:
        for _ in range(3):
            image = decoder.image(picture_of(encoding))
        assert image.flags.c_contiguous
        assert MadeUpBridge.calls.count((encoding, 64)) == 3 and MadeUpBridge.calls.count((encoding, 16)) == 1


@pytest.mark.parametrize("encoding", CODES)
@pytest.mark.parametrize("padding", [0, 1, 12])
@pytest.mark.parametrize("bridge", [None, MadeUpBridge, SwapsColours, FailsOnRealImages, OfOtherShape])
def test_images_are_the_same_whatever_cv_bridge_makes_of_them(installed, bridge, padding, encoding):
    """Padding that it ignores, colours that it confuses, exceptions, arrays of another kind."""
    message = picture_of(encoding, padding)
    installed(None)
    expected = ImageDecoder(compressed=False).image(message)
    installed(bridge)
    np.testing.assert_array_equal(ImageDecoder(compressed=False).image(message), expected)


def test_rgb8_is_a_view_and_16_bits_are_not_for_it(installed):
    installed(MadeUpBridge)
    decoder = ImageDecoder(compressed=False)
    message = picture_of("rgb8")
    assert np.shares_memory(decoder.image(message), np.frombuffer(message.data, np.uint8))
    rows = np.full((48, 64), 1000, np.uint16)
    assert decoder.image(message_of(rows, "mono16")).max() == 250 and decoder.visible.bits == 10  # a camera of 10 bits
    assert not MadeUpBridge.calls


@pytest.mark.parametrize(
    "change, reason",
    [(dict(step=100), "step"), (dict(height=47), "data"), (dict(width=8), "size"), (dict(encoding="bgr7"), "encoding")],
)
def test_it_is_given_no_malformed_image(installed, change, reason):
    installed(MadeUpBridge)
    assert refusal(picture_of("bgr8"), change).reason == reason and ("bgr8", 64) not in MadeUpBridge.calls


def test_an_encoding_that_only_it_knows(installed):
    message = picture_of("rgb8")
    message.encoding = "sharp8"
    installed(MadeUpBridge)
    np.testing.assert_array_equal(ImageDecoder(compressed=False).image(message), smooth_picture())
    for bridge in (None, OfOtherShape):
        installed(bridge)
        with pytest.raises(MalformedImage, match="'sharp8' is not supported"):
            ImageDecoder(compressed=False).image(message)


def test_damaged_messages_do_not_fill_the_memory(installed):
    installed(MadeUpBridge)
    decoder = ImageDecoder(compressed=False)
    for padding in range(300):
        decoder.image(picture_of("bgr8", padding))
    assert len(decoder._bridge._right) <= 64


@pytest.fixture
def real():
    cv_bridge_decoder._bridge.cache_clear()
    return pytest.importorskip("cv_bridge", reason="cv_bridge is not installed")


@pytest.mark.parametrize("bigendian", [0, 1])
@pytest.mark.parametrize("padding", [0, 1, 12])
def test_the_real_one_changes_nothing(real, monkeypatch, padding, bigendian):
    rng = np.random.default_rng(0)
    for encoding, channels in {
        **CHANNELS,
        "bayer_rggb8": 1,
        "bayer_grbg8": 1,
        "yuv422": 2,
        "yuv422_yuy2": 2,
        "8UC3": 3,
    }.items():
        if encoding == "sharp8":
            continue
        message = message_of(rng.integers(0, 256, (48, 64, channels), np.uint8), encoding, padding, bigendian)
        decoder = ImageDecoder(compressed=False)
        np.testing.assert_array_equal(decoder.image(message), decoder._own(message))


def test_threads_share_the_real_one(real):
    messages = [picture_of(encoding) for encoding in CODES] * 8
    expected = [ImageDecoder(compressed=False)._own(message) for message in messages]
    with ThreadPoolExecutor(4) as pool:
        for image, wanted in zip(pool.map(lambda message: ImageDecoder(compressed=False).image(message), messages), expected):
            np.testing.assert_array_equal(image, wanted)
