"""CompressedImage messages as image_transport and camera drivers write them: the colours that were packed, or the reason."""

import array
import struct
import zlib

import cv2
import numpy as np
import pytest
from program_support import python
from sensor_msgs.msg import CompressedImage
from test_ros_images import mosaic, smooth_picture

from fourdhands_ros.convert.images import ImageDecoder, MalformedImage


def decode_compressed(image_format: str, data: bytes) -> np.ndarray:
    """As the first image of a camera."""
    return ImageDecoder(compressed=True).image(CompressedImage(format=image_format, data=array.array("B", data)))


@pytest.mark.parametrize("suffix, tolerance", [(".jpg", 12), (".png", 0), (".bmp", 0)])
def test_compressed_images(suffix, tolerance):
    picture = smooth_picture()
    data = cv2.imencode(suffix, picture[..., ::-1])[1].tobytes()
    image = decode_compressed("jpeg", data)
    assert image.shape == picture.shape and image.flags.c_contiguous
    assert abs(image.astype(int) - picture).max() <= tolerance


def packed(image_format: str, numbers: np.ndarray) -> bytes:
    """What compressed_image_transport makes of a matrix of numbers: cv::imencode, for which three channels are blue, green
    and red."""
    suffix = "." + image_format.split("; ")[1].split()[0]
    return cv2.imencode(suffix, np.ascontiguousarray(numbers), [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()


WIDE = 257
"""From 8 bits to all of 16."""


@pytest.mark.parametrize(
    "image_format, order, scale",
    [
        *[
            (f"{encoding}; jpeg compressed bgr8", "bgr", 1)
            for encoding in "rgb8 bgr8 rgba8 bgra8 rgb16 bgr16 yuv422 yuv422_yuy2 uyvy yuyv nv21".split()
        ],
        *[(f"{encoding}; png compressed bgr8", "bgr", 1) for encoding in ("rgb8", "bgr8", "rgba8", "bgra8", "yuv422")],
        *[(f"{encoding}; png compressed bgr16", "bgr", WIDE) for encoding in ("rgb16", "bgr16", "rgba16", "bgra16")],
        # As the plugin reads them: its own of 2012, and other programs that pack an RGB matrix and say so.
        *[(f"{encoding}; jpeg compressed rgb8", "rgb", 1) for encoding in ("rgb8", "bgr8", "rgba8")],
        *[(f"{encoding}; png compressed rgb8", "rgb", 1) for encoding in ("rgb8", "bgr8")],
        ("rgb16; png compressed rgb16", "rgb", WIDE),
        ("rgb8; jpeg compressed ", "rgb", 1),
        ("bgr8; png compressed", "rgb", 1),
        # Numbers as they are in the raw image.
        ("rgb8; tiff compressed ", "rgb", 1),
        ("bgr8; tiff compressed ", "bgr", 1),
        ("rgba8; tiff compressed ", "rgba", 1),
        ("bgra8; tiff compressed ", "bgra", 1),
        ("rgb16; tiff compressed ", "rgb", WIDE),
        ("bgr16; tiff compressed ", "bgr", WIDE),
        ("8UC3; png compressed ", "bgr", 1),
        ("16UC3; png compressed ", "bgr", WIDE),
        ("8UC4; png compressed ", "bgra", 1),
        ("8UC3; tiff compressed ", "bgr", 1),
    ],
)
def test_compressed_colours_are_those_of_image_transport(image_format, order, scale):
    picture = smooth_picture()
    planes = {**dict(zip("rgb", np.moveaxis(picture, -1, 0))), "a": np.full(picture.shape[:2], 200, np.uint8)}
    numbers = np.stack([planes[colour] for colour in order], -1)
    if scale > 1:
        numbers = numbers.astype(np.uint16) * scale
    image = decode_compressed(image_format, packed(image_format, numbers))
    assert image.shape == picture.shape and image.flags.c_contiguous and image.dtype == np.uint8
    assert abs(image.astype(int) - picture).max() <= (8 if "jpeg" in image_format else 0)


@pytest.mark.parametrize("image_format", ["jpeg", "jpg", "png", "", "bgr8", "rgb8; jpeg", "image/webp", "tiff", "png; x"])
def test_a_format_that_tells_no_layout_is_a_picture_by_the_files_standard(image_format):
    """camera_ros, usb_cam and gscam write the codec alone; others anything."""
    picture = smooth_picture()
    suffix = next((f".{name}" for name in ("webp", "tiff", "png") if name in image_format), ".jpg")
    image = decode_compressed(image_format, cv2.imencode(suffix, picture[..., ::-1])[1].tobytes())
    assert abs(image.astype(int) - picture).max() <= 12


@pytest.mark.parametrize(
    "image_format, kind",
    [
        *[(f"{encoding}; jpeg compressed mono8", "u1") for encoding in ("mono8", "mono16", "bayer_rggb8")],
        ("mono8; png compressed ", "u1"),
        ("8UC1; png compressed ", "u1"),
        ("mono8; tiff compressed ", "u1"),
        ("mono16; png compressed ", "u2"),
        ("16UC1; png compressed ", "u2"),
        ("mono16; tiff compressed ", "u2"),
        ("png", "u2"),
    ],
)
@pytest.mark.parametrize("bits", [12, 16])
def test_compressed_grey(image_format, kind, bits):
    """Of 16 bits the fewest that hold the image are made visible, as of a raw one."""
    grey = smooth_picture()[..., 0]
    packed_as = image_format if ";" in image_format else "; png"
    data = packed(packed_as, grey if kind == "u1" else grey.astype(np.uint16) << (bits - 8))
    image = decode_compressed(image_format, data)
    assert abs(image.astype(int) - grey[..., None]).max() <= (4 if "jpeg" in image_format else 0)


@pytest.mark.parametrize("codec, bits", [("jpeg", 8), ("png", 8), ("png", 16), ("tiff", 8), ("tiff", 16)])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_compressed_mosaics_find_the_colours(pattern, bits, codec):
    """The plugin of ROS 1 packs a mosaic as it is, as do PNG and TIFF of ROS 2, whose JPEG is grey and says so."""
    picture, image_format = smooth_picture(), f"bayer_{pattern}{bits}; {codec} compressed "
    rows = mosaic(picture, pattern)
    image = decode_compressed(image_format, packed(image_format, rows if bits == 8 else rows.astype(np.uint16) << 8))
    assert abs(image[2:-2, 2:-2].astype(int) - picture[2:-2, 2:-2]).mean() <= (16 if codec == "jpeg" else 3)


def test_compressed_grey_and_turned():
    """Grey becomes RGB; an EXIF orientation does not turn the image away from its camera_info."""
    data = cv2.imencode(".jpg", smooth_picture()[..., 0])[1].tobytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    data = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    assert decode_compressed("jpeg", data).shape == (48, 64, 3)


JPEG = cv2.imencode(".jpg", smooth_picture())[1].tobytes()


@pytest.mark.parametrize(
    "data, image_format, reason",
    [
        (b"", "jpeg", "compressed"),
        (b"\xff\xd8", "jpeg", "compressed"),
        (JPEG[:20], "jpeg", "compressed"),
        (bytes(5000), "png", "compressed"),
        (JPEG, "16UC1; compressedDepth", "encoding"),
        (b"", "16UC1; jpeg compressed mono8", "compressed"),
        (bytes([0, 0, 0, 1, 9]) * 50, "h264", "encoding"),
        (bytes(50), "hevc", "encoding"),
        (bytes(50), "rgb8; zstd", "encoding"),
        (cv2.imencode(".tiff", np.zeros((48, 64), np.float32))[1].tobytes(), "32FC1; tiff compressed ", "encoding"),
        (cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes(), "png", "size"),
    ],
)
def test_malformed_compressed_images_are_named(data, image_format, reason):
    with pytest.raises(MalformedImage) as caught:
        decode_compressed(image_format, data)
    assert caught.value.reason == reason
    assert "object at" not in str(caught.value)


@pytest.mark.parametrize("side, reason", [(10_000, "compressed"), (20_000, "size")])
def test_a_header_of_a_size_beyond_measure_is_refused_in_words_of_ours(side, reason):
    """Pillow would warn of the one, with a line of its code, and raise at the other."""
    png = bytearray(cv2.imencode(".png", np.zeros((48, 64), np.uint8))[1].tobytes())
    png[16:24] = struct.pack(">II", side, side)
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    script = (
        "from fourdhands_ros.convert.images import ImageDecoder, MalformedImage\n"
        "from sensor_msgs.msg import CompressedImage\n"
        "import array\n"
        f"message = CompressedImage(format='png', data=array.array('B', {bytes(png)!r}))\n"
        "try: ImageDecoder(compressed=True).image(message)\n"
        "except MalformedImage as error: print(error.reason, error)"
    )
    done = python("-c", script)
    assert done.stdout.startswith(reason) and "bomb" not in (done.stdout + done.stderr).lower() and "Warning" not in done.stderr
