"""Image messages: every encoding against its definition, every way of being malformed by its name."""

import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image

from fourdhands_core.errors import InputError
from fourdhands_ros.convert.images import ImageDecoder, MalformedImage, stamp_of, unpack


def decode_image(message: Image) -> np.ndarray:
    """As the first image of a camera."""
    return ImageDecoder(compressed=False).image(message)


def refusal(message, change, decode=decode_image) -> MalformedImage:
    """Of a message that is so changed."""
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(MalformedImage) as caught:
        decode(message)
    return caught.value


def smooth_picture(width=64, height=48) -> np.ndarray:
    """An RGB picture without edges, so that colour subsampling and mosaics change it little."""
    y, x = np.mgrid[:height, :width]
    return np.stack([40 + 2 * x, 200 - 2 * y, 60 + x + y], axis=-1).astype(np.uint8)


def message_of(rows: np.ndarray, encoding: str, padding: int = 0, bigendian: int = 0) -> Image:
    """An Image with the rows (H, W) or (H, W, C) of one number type, and padding bytes at the end of each."""
    height, width = rows.shape[:2]
    data = np.ascontiguousarray(rows).view(np.uint8).reshape(height, -1)
    data = np.hstack([data, np.full((height, padding), 255, np.uint8)])
    return Image(
        height=height,
        width=width,
        encoding=encoding,
        step=data.shape[1],
        is_bigendian=bigendian,
        data=array.array("B", data.tobytes()),
    )


@settings(max_examples=50)
@given(st.text(max_size=9), st.text(max_size=9), st.integers(0, 2**32 - 1), st.integers(0, 255), st.binary(max_size=9))
def test_a_serialised_image_is_read_as_rclpy_reads_it_and_not_copied(frame, encoding, number, endian, pixels):
    message = Image(height=number, width=7, encoding=encoding, is_bigendian=endian, step=number, data=array.array("B", pixels))
    message.header.frame_id, message.header.stamp.sec, message.header.stamp.nanosec = frame, -3, number
    data = serialize_message(message)
    read, expected = unpack(data, Image), deserialize_message(data, Image)
    assert (stamp := read.header.stamp).sec == -3 and stamp.nanosec == number
    assert read.header.frame_id == expected.header.frame_id and bytes(read.data) == pixels
    for name in ("height", "width", "encoding", "is_bigendian", "step"):
        assert getattr(read, name) == getattr(expected, name)
    assert not pixels or np.shares_memory(np.frombuffer(data, np.uint8), read.data)
    with pytest.raises(Exception, match="deserialize"):
        unpack(data[: len(data) - 1], Image)


def mosaic(picture: np.ndarray, pattern: str) -> np.ndarray:
    """What a sensor with that pattern (its upper left 2x2 pixels, row by row) sees of an RGB picture."""
    out = np.empty(picture.shape[:2], np.uint8)
    for place, colour in enumerate(pattern):
        y, x = divmod(place, 2)
        out[y::2, x::2] = picture[y::2, x::2, "rgb".index(colour)]
    return out


@pytest.mark.parametrize("padding", [0, 1, 7, 64])
@pytest.mark.parametrize(
    "encoding, kind, bigendian",
    [
        *[(encoding, "u1", 0) for encoding in ("rgb8", "bgr8", "rgba8", "bgra8", "8UC3", "8UC4")],
        *[
            (encoding, kind, kind[0] == ">")
            for encoding in ("rgb16", "bgr16", "rgba16", "bgra16", "16UC3", "16UC4")
            for kind in ("<u2", ">u2")
        ],
    ],
)
def test_colour_is_exact(encoding, kind, bigendian, padding):
    picture = smooth_picture()
    layout = {"UC3": "bgr", "UC4": "bgra"}.get(encoding[-3:], encoding.strip("168"))
    planes = {**dict(zip("rgb", np.moveaxis(picture, -1, 0))), "a": np.full(picture.shape[:2], 9, np.uint8)}
    rows = np.stack([planes[c] for c in layout], -1)
    if kind != "u1":
        rows = (rows.astype(np.uint16) * 256 + 77).astype(kind)
    image = decode_image(message_of(rows, encoding, padding, bigendian))
    assert image.flags.c_contiguous and image.dtype == np.uint8
    np.testing.assert_array_equal(image, picture)


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize(
    "encoding, kind, bigendian",
    [
        ("mono8", "u1", 0),
        ("8UC1", "u1", 0),
        ("mono16", "<u2", 0),
        ("mono16", ">u2", 1),
        ("16UC1", "<u2", 0),
        ("16UC1", ">u2", 1),
    ],
)
def test_grey_is_exact(encoding, kind, bigendian, padding):
    grey = smooth_picture()[..., 0]
    rows = grey if kind == "u1" else (grey.astype(np.uint16) * 256 + 77).astype(kind)
    image = decode_image(message_of(rows, encoding, padding, bigendian))
    np.testing.assert_array_equal(image, np.repeat(grey[..., None], 3, axis=-1))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_finds_the_colours(pattern, bits):
    picture = smooth_picture()
    rows = mosaic(picture, pattern)
    message = message_of(rows if bits == 8 else (rows.astype(np.uint16) << 8), f"bayer_{pattern}{bits}")
    difference = decode_image(message)[2:-2, 2:-2].astype(int) - picture[2:-2, 2:-2]
    assert abs(difference).max() <= 3


def luma_and_chroma(picture: np.ndarray) -> np.ndarray:
    """Y, U, V (3, H, W) as numbers by ITU-R BT.601, video range."""
    red, green, blue = np.moveaxis(picture.astype(float), -1, 0)
    return np.stack(
        [
            16 + 0.257 * red + 0.504 * green + 0.098 * blue,
            128 - 0.148 * red - 0.291 * green + 0.439 * blue,
            128 + 0.439 * red - 0.368 * green - 0.071 * blue,
        ]
    )


@pytest.mark.parametrize("encoding, order", [("yuv422", "uyvy"), ("uyvy", "uyvy"), ("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv")])
def test_yuv_finds_the_colours(encoding, order):
    picture = smooth_picture()
    luma, u, v = luma_and_chroma(picture)
    chroma = np.where(np.arange(picture.shape[1]) % 2 == 0, u, v)
    rows = np.stack([luma, chroma] if order == "yuyv" else [chroma, luma], -1).round().astype(np.uint8)
    difference = decode_image(message_of(rows, encoding, padding=4)).astype(int) - picture
    assert abs(difference).max() <= 6


def planes_of(picture: np.ndarray, encoding: str, padding: int) -> Image:
    """An Image of luma, then chroma, as libcamera's and Video4Linux' drivers lay them out.

    padding: bytes at the end of each row of luma; twice as many where a row of chroma has twice the numbers (nv24).
    """
    luma, u, v = luma_and_chroma(picture).round().astype(np.uint8)
    height, width = luma.shape
    every = 1 if encoding == "nv24" else 2
    first, second = (v, u) if encoding == "nv21" else (u, v)
    chroma = np.stack([first, second], -1)[::every, ::every].reshape(height // every, -1)

    def padded(rows, count):
        return np.hstack([rows, np.full((len(rows), count), 255, np.uint8)]).tobytes()

    data = padded(luma, padding) + padded(chroma, padding * (2 if encoding == "nv24" else 1))
    return Image(height=height, width=width, encoding=encoding, step=width + padding, data=array.array("B", data))


@pytest.mark.parametrize("padding", [0, 8, 48])
@pytest.mark.parametrize("counts_all_rows", [False, True])
@pytest.mark.parametrize("encoding", ["nv12", "nv21", "nv24"])
def test_planes_find_the_colours(encoding, padding, counts_all_rows):
    picture = smooth_picture()
    message = planes_of(picture, encoding, padding)
    if counts_all_rows:
        message.height = len(message.data) // message.step
    image = decode_image(message)
    assert image.shape == picture.shape and image.flags.c_contiguous
    assert abs(image.astype(int) - picture).max() <= 6


@pytest.mark.parametrize(
    "encoding, change, reason, words",
    [
        ("nv12", dict(width=63), "size", "63x48 is odd, but nv12"),
        ("nv21", dict(height=47), "size", "64x47 is odd"),
        ("nv21", dict(step=63), "step", "step 63 is below the 64 bytes of 64 nv21 pixels"),
        ("nv12", dict(step=128), "data", "4608 bytes of data are not the 9216 of nv12 64x48 with step 128"),
        ("nv24", dict(data=array.array("B", bytes(4608))), "data", "4608 bytes of data are not the 9216 of nv24"),
        ("nv21", dict(data=array.array("B", bytes(64 * 48 * 3 // 2 - 1))), "data", "4607 bytes"),
        ("nv12", dict(height=18, width=64, data=array.array("B", bytes(64 * 18))), "size", "64x12"),
    ],
)
def test_malformed_planes_are_named(encoding, change, reason, words):
    error = refusal(planes_of(smooth_picture(), encoding, 0), change)
    assert error.reason == reason and words in str(error)


def test_every_encoding_of_sensor_msgs_is_decoded_or_named_as_one_that_is_not():
    """sensor_msgs/image_encodings.hpp of Rolling; what is neither colour nor grey is refused for that, not as damaged."""
    pictures = [
        f"{name}{bits}"
        for bits in (8, 16)
        for name in ("rgb", "rgba", "bgr", "bgra", "mono", "bayer_rggb", "bayer_bggr", "bayer_gbrg", "bayer_grbg")
    ]
    pictures += ["uyvy", "yuv422", "yuyv", "yuv422_yuy2", "nv12", "nv21", "nv24"]
    pictures += [f"{bits}UC{channels}" for bits in (8, 16) for channels in (1, 3, 4)]
    for encoding in pictures:
        message = message_of(np.full((48, 64 * 8), 7, np.uint8), encoding)  # rows that are long enough for all of them
        message.width = 64
        if encoding.startswith("nv"):
            message = planes_of(smooth_picture(), encoding, 0)
        assert decode_image(message).shape == (48, 64, 3), encoding
    for encoding in [
        "8UC2",
        "16UC2",
        "jpeg",
        "h264",
        "Y10",
        *(f"{kind}C{channels}" for kind in ("8S", "16S", "32S", "32F", "64F") for channels in range(1, 5)),
    ]:
        error = refusal(message_of(np.full((48, 64 * 32), 7, np.uint8), encoding), {"width": 64})
        assert error.reason == "encoding" and all(name in str(error) for name in pictures)
        assert f"{encoding!r}" in str(error) and "is not supported; use one of" in str(error)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "mono16", "8UC3", "bayer_rggb8", "uyvy", "nv12"])
def test_capitals_do_not_matter(encoding):
    """RGB8 and NV12, as some drivers write them, and even 8uc3."""
    message = planes_of(smooth_picture(), encoding, 0)
    if encoding != "nv12":
        message = message_of(np.random.default_rng(0).integers(0, 255, (48, 64 * 3), np.uint8), encoding)
        message.width = 16
    expected = decode_image(message)
    for other in (encoding.upper(), encoding.lower(), encoding.title(), f" {encoding} "):
        message.encoding = other
        np.testing.assert_array_equal(decode_image(message), expected)


@pytest.mark.parametrize("encoding, of_width", [("nv12", 1.5), ("nv21", 1.5), ("nv24", 3)])
def test_a_step_that_counts_all_planes(encoding, of_width):
    """Some drivers set step to all bytes by the height."""
    message = planes_of(smooth_picture(), encoding, 0)
    expected = decode_image(message)
    message.step = int(of_width * message.width)
    assert message.step * message.height == len(message.data)
    np.testing.assert_array_equal(decode_image(message), expected)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("encoding, bigendian", [("mono16", 0), ("mono16", 1), ("16UC1", 0), ("rgb16", 0), ("bayer_rggb16", 0)])
def test_few_bits_in_16_are_as_bright_as_all(encoding, bigendian, bits):
    """Drivers of 10- and 12-bit sensors put the numbers into the lower bits, or into the upper ones."""
    picture = smooth_picture() + np.uint8(40)
    rows = {"mono16": picture[..., 0], "16UC1": picture[..., 0], "rgb16": picture, "bayer_rggb16": mosaic(picture, "rggb")}[
        encoding
    ].astype(np.uint16)
    whole = decode_image(message_of((rows << 8).astype("<u2"), encoding))
    image = decode_image(message_of((rows << (bits - 8)).astype(">u2" if bigendian else "<u2"), encoding, 4, bigendian))
    np.testing.assert_array_equal(image, whole)


def test_brightness_does_not_flicker():
    """A dark image after a bright one is as dark as it is; one pixel that is stuck at white does not make all dark."""
    decoder, grey = ImageDecoder(compressed=False), np.full((240, 320), 1000, np.uint16)
    for level, bits, seen in [
        (1000, 10, 250),
        (900, 10, 225),
        (2000, 11, 250),
        (1000, 11, 125),
        (4000, 12, 250),
        (100, 12, 6),
        (4000, 12, 250),
    ]:
        grey[:] = level
        grey[7, 9] = 65535
        for _ in range(3):
            image = decoder.image(message_of(grey, "mono16"))
        assert (decoder.visible.bits, image[0, 0, 0], image[7, 9, 0]) == (bits, seen, 255)
    other = ImageDecoder(compressed=False)
    assert other.image(message_of(np.full((48, 64), 3, np.uint16), "mono16")).max() == 3  # a lens that is covered


@pytest.mark.parametrize("first", [0, 1, 5])
def test_damaged_images_make_no_later_one_dark(first):
    """Noise, the other order of bytes, or an overexposed stripe: after one such a camera of 10 bits was blind for good."""
    decoder, grey = ImageDecoder(compressed=False), message_of(np.full((48, 64), 1000, np.uint16), "mono16")
    noise = message_of(np.random.default_rng(0).integers(0, 65536, (48, 64), dtype=np.uint16), "mono16")
    for _ in range(first):
        decoder.image(grey)
    for damaged in (noise, grey, noise, grey):
        seen = decoder.image(damaged)
    assert seen.max() == 250
    for _ in range(5):
        decoder.image(noise)
    assert decoder.image(grey).max() < 10  # as of a camera of 16 bits
    assert min(decoder.image(grey).max() for _ in range(299)) < 10 and decoder.image(grey).max() == 250


def test_rgb_is_not_copied():
    message = message_of(smooth_picture(), "rgb8")
    image = decode_image(message)
    message.data[0] = 123
    assert image[0, 0, 0] == 123


@pytest.mark.parametrize(
    "change, reason, words",
    [
        (dict(width=0), "size", "0x48"),
        (dict(height=0), "size", "64x0"),
        (dict(width=3, height=2, step=9, data=array.array("B", bytes(18))), "size", "3x2"),
        (dict(width=2**31, height=2**31), "size", "2147483648"),
        (dict(width=16384, height=16384), "size", "16384"),
        (dict(step=191), "step", "step 191 is below the 192 bytes"),
        (dict(step=0), "step", "step 0"),
        (dict(step=2**32 - 1), "data", "4294967295"),
        (dict(step=200), "data", "200"),
        (dict(data=array.array("B")), "data", "0 bytes"),
        (dict(data=array.array("B", bytes(64 * 48 * 3 - 1))), "data", "9215 bytes"),
        (dict(data=array.array("B", bytes(64 * 48 * 3 + 1))), "data", "9217 bytes"),
        (dict(encoding=""), "encoding", "''"),
        (dict(encoding="RGB"), "encoding", "'RGB'"),
        (dict(encoding="mono12"), "encoding", "'mono12' (depth, or packed bits)"),
        (dict(encoding="Z16"), "encoding", "'Z16' (depth"),
        (dict(encoding="depth16"), "encoding", "'depth16' (depth"),
        (dict(encoding="bayer_rggb12"), "encoding", "packed bits"),
        (dict(encoding="jpeg", step=0, data=array.array("B", b"abc")), "encoding", "'jpeg' (a compressed image in an Image)"),
        (dict(encoding="JPG", width=0, height=0), "encoding", "'JPG' (a compressed image"),
        (dict(encoding="h265", step=0), "encoding", "(a compressed image"),
        (
            dict(encoding="i420", data=array.array("B", bytes(64 * 72))),
            "encoding",
            "'i420' (planes of colour in another order)",
        ),
        (dict(encoding="yv12", step=1), "encoding", "(planes"),
        (dict(encoding="x", width=100_000), "encoding", "'x' is not"),
        (dict(encoding="32FC1"), "encoding", "'32FC1'"),
        (dict(encoding="32FC3"), "encoding", "'32FC3' (fractions"),
        (dict(encoding="h264"), "encoding", "h264"),
        (dict(encoding="rgb8; rm -rf"), "encoding", "rgb8"),
        (dict(encoding="\U0001f44b" * 50), "encoding", "not supported"),
        (dict(encoding="mono16", width=63, step=125), "step", "126 bytes"),
        (dict(encoding="yuyv", width=63), "size", "odd"),
    ],
)
def test_malformed_images_are_named(change, reason, words):
    error = refusal(message_of(smooth_picture(), "rgb8"), change)
    assert error.reason == reason and words in str(error) and isinstance(error, InputError)


@settings(max_examples=300, deadline=None)
@given(
    width=st.integers(0, 2**32 - 1) | st.integers(0, 80),
    height=st.integers(0, 2**32 - 1) | st.integers(0, 80),
    step=st.integers(0, 2**32 - 1) | st.integers(0, 400),
    size=st.integers(0, 40000),
    bigendian=st.integers(0, 255),
    encoding=st.sampled_from(
        ["rgb8", "mono16", "bayer_rggb8", "yuyv", "nv12", "nv21", "nv24", "rgb16", "16UC4", "64FC999", "x"]
    ),
)
def test_any_header_is_decoded_or_named(width, height, step, size, bigendian, encoding):
    message = Image(
        width=width, height=height, step=step, encoding=encoding, is_bigendian=bigendian, data=array.array("B", bytes(size))
    )
    try:
        image = decode_image(message)
    except MalformedImage:
        return
    heights = {height} if not encoding.startswith("nv") else {height, height // 3 * (1 if encoding == "nv24" else 2)}
    assert image.shape[0] in heights and image.shape[1:] == (width, 3)


@pytest.mark.parametrize("sec, nanosec", [(-1, 0), (0, 10**9), (5, 2**32 - 1)])
def test_malformed_stamps_are_named(sec, nanosec):
    message = Image()
    message.header.stamp.sec, message.header.stamp.nanosec = sec, nanosec
    with pytest.raises(MalformedImage, match="is not a time"):
        stamp_of(message.header)


def test_a_stamp_is_exact():
    message = Image()
    message.header.stamp.sec, message.header.stamp.nanosec = 2**31 - 1, 999_999_999
    assert stamp_of(message.header) == 2_147_483_647_999_999_999
