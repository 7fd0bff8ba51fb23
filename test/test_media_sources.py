"""What the name of a video may be: folders, patterns and images are read; for the rest one right sentence."""

import os
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image
from video_support import picture, write_video

from fourdhands_core.errors import InputError
from fourdhands_core.media.images import read_image, write_image
from fourdhands_core.media.sources import camera_index, pictures_of
from fourdhands_core.media.video import VideoReader


@pytest.fixture
def folder(tmp_path):
    """Images 1 to 12 without leading zeros, of which each one's brightness is its number, and other files."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(1, 13):
        write_image(folder / f"frame_{number}.png", np.full((48, 64, 3), 10 * number, np.uint8))
    (folder / "times.txt").write_text("0.1\n")
    (folder / "._frame_1.png").write_bytes(b"\0\5\26\7")
    return folder


@pytest.mark.parametrize("source", ["{}", "{}/", "{}/frame_%d.png", "{}/frame_*.png", "{}/frame_%02d.png"])
def test_images_are_read_in_natural_order(folder, source):
    with VideoReader(source.format(folder)) as reader:
        assert (reader.width, reader.height, reader.fps, reader.frame_count) == (64, 48, 30.0, 12)
        frames = list(reader)
        assert reader.missing == 0 and not reader.is_camera and len(reader.files) == 12
    assert [int(image.mean()) for _, image in frames] == [10 * number for number in range(1, 13)]
    np.testing.assert_allclose([stamp for stamp, _ in frames], np.arange(12) / 30 * 1e9, atol=1)


def test_one_image_is_one_frame_also_under_a_name_that_is_not_utf8(tmp_path):
    write_image(tmp_path / "hand\udce9.jpg", picture(64, 48))
    with VideoReader(tmp_path / "hand\udce9.jpg") as reader:
        assert len(list(reader)) == 1
    assert read_image(tmp_path / "hand\udce9.jpg").shape == (48, 64, 3)


@pytest.mark.parametrize("ending", ["webp", "png", "tiff"])
def test_one_file_of_several_images_is_refused(tmp_path, ending):
    """Only the first was tracked. A thumbnail behind an image is none of them, nor what a phone puts into a JPEG."""
    first, *others = (Image.fromarray(picture(64, 48, phase)) for phase in range(6))
    first.save(tmp_path / f"moving.{ending}", save_all=True, append_images=others)
    with pytest.raises(InputError, match=f"moving.{ending} is one file of 6 images; make a video of them"):
        VideoReader(tmp_path / f"moving.{ending}")
    first.save(tmp_path / "small.tiff", save_all=True, append_images=[first.resize((32, 24))])
    first.save(tmp_path / "phone.jpg", "MPO", save_all=True, append_images=others[:1])
    for name in ("small.tiff", "phone.jpg"):
        with VideoReader(tmp_path / name) as reader:
            assert len(list(reader)) == 1


@pytest.mark.parametrize(
    "kind, full", [*((np.uint16, 2**bits - 1) for bits in (8, 10, 12, 16)), (np.int32, 4095), (np.float32, 1)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_deeper_images_are_as_bright_as_those_of_8_bits(tmp_path, kind, full, channels):
    seen = picture(64, 48) if channels == 3 else np.repeat(picture(64, 48)[..., :1], 3, axis=2)
    seen[:4, :4] = 255
    exact = kind != np.float32 or channels == 1  # of which OpenCV writes the logarithms
    lights = 1.0, 1.0, 1.0, 0.25  # the last is darker, and stays it
    for number, light in enumerate(lights):
        deep = (seen[..., :channels] * (light * full / 255)).astype(kind)
        cv2.imwrite(str(tmp_path / f"{number}.tiff"), np.ascontiguousarray(deep[..., ::-1]))
    with VideoReader(tmp_path) as reader:
        for light, (_, image) in zip(lights, reader):
            np.testing.assert_allclose(image, seen * light, atol=1.5 if exact else 8)


def test_defective_pixels_and_no_numbers_do_not_darken_an_image(tmp_path):
    deep = np.full((200, 200), 4000, np.uint16)
    deep[5, 5] = 65535
    cv2.imwrite(str(tmp_path / "a.png"), deep)
    assert read_image(tmp_path / "a.png")[100, 100].tolist() == [250, 250, 250]
    fractions = np.full((200, 200), 0.5, np.float32)
    fractions[:2] = 1.1
    fractions[0, 0] = np.nan
    fractions[5, 5] = np.inf
    cv2.imwrite(str(tmp_path / "a.tiff"), fractions)
    image = read_image(tmp_path / "a.tiff")[..., 0]
    assert (image[0, 0], image[0, 1], image[100, 100]) == (0, 255, 127)


def test_a_damaged_image_is_passed_over_and_another_size_is_named(folder):
    (folder / "frame_5.png").write_bytes(b"\x89PNG\r\n")
    (folder / "frame_6.png").write_bytes(b"")
    with VideoReader(folder) as reader:
        stamps = [stamp for stamp, _ in reader]
        assert len(stamps) == 10 and reader.missing == 2
    assert stamps[4] == round(6 / 30 * 1e9)  # frame_7, in its own time
    write_image(folder / "frame_12.png", np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(InputError, match="frame_12.png is 10x10, .*frame_1.png is 64x48; give"), VideoReader(folder) as reader:
        list(reader)


@pytest.mark.parametrize(
    "source, words",
    [
        ("{}/none", "none does not exist"),
        ("{}/none/frame_%04d.png", "the folder .*none does not exist"),
        ("{}/frames/depth_%04d.png", "no image in .*frames has a name like depth_%04d.png"),
        ("{}/empty", "empty is a folder without images"),
        ("{}/bag", "bag is a bag of ROS, not a video; run: fourdhands bag"),
        ("{}/set", "set is a dataset, not a video; bags of it are: fourdhands episodes import .*set --out BAGS"),
        ("{}/videos", "videos is a folder without images .*; give the video in it: .*one.mp4"),
        ("{}/results", "results is a folder of results .contact_sheet.png, hands.npz, overlay.mp4., .*results/hands.npz"),
        ("{}/demo", "demo is a folder of results .contact_sheet.png, overlay.mp4., not of .* video that they are of$"),
        ("", "the name of the video is empty"),
        ("{}/phone", "phone has no image that is read: .*IMG_1.HEIC is a picture in HEIC or AVIF.*heif-convert"),
        ("{}/phone/IMG_1.HEIC", "IMG_1.HEIC is a picture in HEIC or AVIF, not a video; convert it"),
        ("{}/pipe", "is a device or a pipe"),
        ("/dev/null", "is a device or a pipe"),
        ("/dev/video77", "camera /dev/video77 cannot be opened"),
        ("rtsp://127.0.0.1/x", "rtsp://127.0.0.1/x is an address, which is not read"),
        ("https://example.org/a.mp4?b=c&d", "ffmpeg -i 'https://example.org/a.mp4"),
        ("file:///a.mp4", "video /a.mp4 does not exist"),
        ("{}/link.mp4", "link.mp4 is a link to a file that does not exist"),
        ("{}/cameras.mcap", "cameras.mcap is an mcap recording, not a video; run: fourdhands bag .*cameras.mcap OUT"),
        ("{}/page.mp4", "page.mp4 is a web page, not a video; log in"),
        ("{}/notes.txt", "notes.txt is a text, not a video, though its letters could be drawn as one"),
        ("{}/list.txt", "list.txt is a playlist, a text that names other files, not a video; give the video that it names"),
        ("{}/list.mp4", "list.mp4 is a playlist"),
        ("{}/song.mp4", "song.mp4 is an audio file, not a video; give a video file"),
        ("{}/lfs.mp4", "lfs.mp4 is a Git LFS pointer.*git lfs pull"),
        ("{}/empty.mp4", "empty.mp4 is empty, not a video"),
        (
            "{}/packed.zip",
            "packed.zip is a zip archive, not a video; unpack it and give the file in it .it holds notes/readme.txt",
        ),
        ("{}/page.png", "page.png cannot be read: it is a web page"),
        ("{}/moving.png", "moving.png cannot be read: it is a video; give it the name of one, such as .*moving.mp4$"),
        ("{}/" + 300 * "x", "cannot be opened .File name too long"),
    ],
)
def test_what_cannot_be_read_is_told_as_what_it_is(folder, tmp_path, source, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bag").mkdir()
    (tmp_path / "set" / "meta").mkdir(parents=True)
    (tmp_path / "set" / "meta" / "info.json").write_text("{}")
    (tmp_path / "bag" / "b_0.mcap").write_bytes(b"\x89MCAP0\r\n")
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "one.mp4", [picture(64, 48)])
    write_video(tmp_path / "moving.mp4", [picture(64, 48)]).rename(tmp_path / "moving.png")
    for name, files in (("results", ("hands.npz", "overlay.mp4")), ("demo", ("overlay.mp4",))):
        (tmp_path / name).mkdir()
        write_image(tmp_path / name / "contact_sheet.png", picture(64, 48))
        for file in files:
            (tmp_path / name / file).touch()
    (tmp_path / "phone").mkdir()
    (tmp_path / "phone" / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link.mp4").symlink_to("gone.mp4")
    for name in ("page.mp4", "page.png"):
        (tmp_path / name).write_text("<!DOCTYPE html><html><body>Please log in</body></html>")
    (tmp_path / "lfs.mp4").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("To do: wash hands.\n" * 60)
    (tmp_path / "list.txt").write_text("ffconcat version 1.0\nfile 'moving.png'\n")  # which FFmpeg follows
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1.0,\nmoving.png\n#EXT-X-ENDLIST\n")
    cover = cv2.imencode(".png", picture(64, 48))[1].tobytes()  # of a song, which FFmpeg shows as a video
    (tmp_path / "song.mp4").write_bytes(b"ID3\x03\0\0\0\0\x0f\x7fAPIC" + cover)
    images = [cv2.imencode(".jpg", picture(64, 48))[1].tobytes() for _ in range(4)]  # which FFmpeg finds
    (tmp_path / "cameras.mcap").write_bytes(b"\x89MCAP0\r\n" + b"".join(images))
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.writestr("notes/readme.txt", 50 * "text ")
    with pytest.raises(InputError, match=words) as raised:
        VideoReader(source.format(tmp_path))
    assert "does not exist" not in str(raised.value) or not os.path.exists(source.format(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_and_folders_without_permission_are_told(folder, tmp_path):
    video = write_video(tmp_path / "mine.mp4", [picture(64, 48)])
    video.chmod(0)
    folder.chmod(0)
    try:
        for source in (video, folder, folder / "frame_1.png"):
            with pytest.raises(InputError, match="may not be read|cannot be opened"):
                VideoReader(source)
    finally:
        folder.chmod(0o700)


def test_a_number_is_a_camera_and_a_file_of_that_name_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert camera_index("3") == camera_index(3) == camera_index("/dev/video3") == 3
    assert camera_index("\u00b2") is None and camera_index("/dev/video") is None and camera_index("-1") is None
    write_video(tmp_path / "in.mp4", [picture(64, 48)]).rename(tmp_path / "3")
    assert camera_index("3") is None and pictures_of("3") is None
    with VideoReader("3") as reader:
        assert len(list(reader)) == 1


@pytest.mark.parametrize("name, words", [("picture.txt", "has no ending"), ("file/picture.png", "cannot be made")])
def test_images_that_cannot_be_written_are_told(tmp_path, name, words):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=words):
        write_image(tmp_path / name, picture(8, 8))
