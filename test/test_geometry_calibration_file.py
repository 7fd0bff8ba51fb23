"""Calibration files in the shapes that calibration tools, drivers and `ros2 topic echo` write."""

import os
import re
import threading

import cv2
import numpy as np
import pytest

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.calibration_file import read_views
from fourdhands_core.geometry.camera_source import CALIBRATED, CameraSource

K = "[256, 0, 159.5, 0, 257.0, 119.5, 0, 0, 1]"
ROS = f"""image_width: 320
image_height: 240
camera_name: narrow_stereo
camera_matrix: {{rows: 3, cols: 3, data: {K}}}
distortion_model: plumb_bob
distortion_coefficients: {{rows: 1, cols: 5, data: [-0.1, 0.01, 0.0, 0.0, 0.0]}}
rectification_matrix: {{rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}}
projection_matrix: {{rows: 3, cols: 4, data: [200, 0, 160, 0, 0, 201, 120, 0, 0, 0, 1, 0]}}
"""
ECHO = (
    """header:
  stamp: {sec: 1, nanosec: 0}
  frame_id: cam
height: 240
width: 320
distortion_model: plumb_bob
d:
- -0.1
- 0.01
- 0.0
- 0.0
- 0.0
k: """
    + K
    + """
r: [1, 0, 0, 0, 1, 0, 0, 0, 1]
p: [200, 0, 160, 0, 0, 201, 120, 0, 0, 0, 1, 0]
binning_x: 0
binning_y: 0
roi: {x_offset: 0, y_offset: 0, height: 0, width: 0, do_rectify: false}
---
"""
)
OPENCV = """%YAML:1.0
---
image_width: 320
image_height: 240
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 2.56e+02, 0., 1.595e+02, 0., 2.57e+02, 1.195e+02, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 5
   cols: 1
   dt: d
   data: [ -1.e-01, 1.e-02, 0., 0., 0. ]
"""
KALIBR = """cam0:
  cam_overlaps: []
  camera_model: pinhole
  distortion_coeffs: [-0.1, 0.01, 0.0, 0.0]
  distortion_model: radtan
  intrinsics: [256.0, 257.0, 159.5, 119.5]
  resolution: [320, 240]
  rostopic: /cam/image_raw
"""


@pytest.fixture
def file(tmp_path):
    def write(text, name="lens.yaml"):
        path = tmp_path / name
        path.write_text(text) if isinstance(text, str) else path.write_bytes(text)
        return path

    return write


@pytest.mark.parametrize(
    "text, told",
    [
        (ROS, ""),
        (ROS.replace("distortion_model: plumb_bob\n", ""), "plumb_bob is assumed"),
        (ROS.replace("distortion_model: plumb_bob", "distortion_model: ''"), "plumb_bob is assumed"),
        (ROS.replace("cols: 5", "cols: 8").replace("0.0]", "0.0, 0, 0, 0]"), ""),
        (ROS.replace("distortion_model", "camera_model"), ""),
        ("\ufeff# a comment\n---\n" + ROS + "\n...\n", ""),
        (ECHO, ""),
        (ECHO + ECHO, ""),
        (ECHO + "a message was lost!: [", ""),
        (ECHO.replace("\nd:", "\nD:").replace("\nk:", "\nK:").replace("\np:", "\nP:"), ""),  # ROS 1
        (OPENCV, "plumb_bob is assumed"),
        (OPENCV.replace("%YAML:1.0", "%YAML 1.2"), "plumb_bob is assumed"),
        (OPENCV.replace("%YAML:1.0\n---\n", ""), "plumb_bob is assumed"),
        (OPENCV + "distortion_model: plumb_bob\n", ""),
        (KALIBR, ""),
        (KALIBR.replace("cam0", "cam1"), ""),
        (KALIBR.replace("cam0:\n", ""), ""),
        ('{"width": 320, "height": 240, "K": ' + K + ', "D": [-0.1, 0.01, 0, 0, 0], "distortion_model": "plumb_bob"}', ""),
    ],
)
def test_every_shape_is_the_same_lens(text, told, file):
    path = file(text)
    view = read_views(path)[0]
    camera = view.camera
    assert (camera.width, camera.height, camera.distortion_model) == (320, 240, "plumb_bob") and camera.calibrated
    np.testing.assert_allclose(camera.matrix, [[256, 0, 159.5], [0, 257, 119.5], [0, 0, 1]])
    np.testing.assert_allclose(np.append(camera.distortion, 0.0)[:5], [-0.1, 0.01, 0, 0, 0])
    assert [told in remark for remark in view.remarks] == ([True] if told else [])
    source = CameraSource(65.0, intrinsics=path)
    assert source.camera_for(640, 480).matrix[0, 0] == 512.0 and source.state == CALIBRATED and source.remarks == view.remarks


@pytest.mark.parametrize("fisheye", [False, True])
@pytest.mark.parametrize("name", ["lens.yml", "lens.json"])
def test_what_opencv_writes(tmp_path, name, fisheye):
    """Matrices in its own types, from its own writer; a fisheye's coefficients are those of the equidistant model."""
    storage = cv2.FileStorage(str(tmp_path / name), cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", 320)
    storage.write("image_height", 240)
    storage.write("fisheye_model", int(fisheye))
    storage.write("camera_matrix", np.array([[256.0, 0, 159.5], [0, 257.0, 119.5], [0, 0, 1]]))
    storage.write("distortion_coefficients", np.array([[-0.1], [0.01], [1e-5], [2e-15]]))
    storage.release()
    (view,) = read_views(tmp_path / name)
    assert view.camera.distortion_model == ("equidistant" if fisheye else "plumb_bob")
    np.testing.assert_array_equal(view.camera.distortion, [-0.1, 0.01, 1e-5, 2e-15])
    assert view.camera.matrix[1, 1] == 257.0 and bool(view.remarks) != fisheye


def test_other_programs_of_opencv(file):
    (view,) = read_views(
        file(
            "%YAML:1.0\n---\ncameraResolution: [320, 240]\ncameraMatrix: !!opencv-matrix\n   rows: 3\n   cols: 3\n"
            f"   dt: d\n   data: {K}\ndist_coeffs: !!opencv-matrix\n   rows: 1\n   cols: 5\n   dt: d\n"
            "   data: [ -1e-1, .01, 0., 0., 0. ]\n"
        )
    )
    assert (view.camera.width, view.camera.height, view.camera.distortion[0], view.camera.distortion[1]) == (
        320,
        240,
        -0.1,
        0.01,
    )


@pytest.mark.parametrize("name", ["dist_coeff", "dist", "distortion", "distortion_coefficents"])
def test_other_names_of_distortion_coefficients(file, name):
    """Of OpenCV's users' scripts, and misspelt as in the wild: they were left out, and the lens taken to have none."""
    text = '{"width": 320, "height": 240, "camera_matrix": ' + K + ', "NAME": [[-0.1, 0.01, 0, 0, 0]]}'
    (view,) = read_views(file(text.replace("NAME", name)))
    np.testing.assert_array_equal(view.camera.distortion, [-0.1, 0.01, 0, 0, 0])
    assert f"its {name} are taken for those" in view.remarks[-1]


@pytest.mark.parametrize("line", ['"distance": 0.5', '"distortion": "none"', '"distorted": true', '"dist": [[1, 2], 3]'])
def test_what_only_begins_like_distortion_is_none(file, line):
    (view,) = read_views(file('{"width": 320, "height": 240, "camera_matrix": ' + K + ", " + line + "}"))
    assert not view.camera.distortion.any() and "the lens is taken to have none" in view.remarks[-1]


@pytest.mark.parametrize("text", [ROS, ECHO])
def test_rectified_is_the_projection_matrix(text, file):
    (view,) = read_views(file(text), rectified=True)
    np.testing.assert_array_equal(view.camera.matrix, [[200, 0, 160], [0, 201, 120], [0, 0, 1]])
    assert not view.camera.distortion.any() and not view.remarks
    source = CameraSource(65.0, intrinsics=file(text), rectified=True)
    assert source.camera_for(320, 240).matrix[0, 0] == 200
    (view,) = read_views(file(KALIBR), rectified=True)
    assert view.camera.matrix[0, 0] == 256 and "P is missing" in view.remarks[0]


def test_a_region_in_what_was_echoed(file):
    text = ECHO.replace("x_offset: 0, y_offset: 0, height: 0, width: 0", "x_offset: 100, y_offset: 50, height: 120, width: 160")
    camera = read_views(file(text))[0].camera
    assert (camera.width, camera.height) == (160, 120) and camera.matrix[0, 2] == pytest.approx(59.5)


def test_kalibr_fisheye(file):
    (view,) = read_views(file(KALIBR.replace("radtan", "equidistant")))
    assert view.camera.distortion_model == "equidistant" and not view.remarks
    (view,) = read_views(file(KALIBR.replace("radtan", "none").replace("[-0.1, 0.01, 0.0, 0.0]", "[]")))
    assert view.camera.distortion_model == ""


def test_a_file_without_distortion_is_told(file):
    (view,) = read_views(file(ROS.replace("distortion_coefficients", "coefficients")))
    assert not view.camera.distortion.any() and "has no distortion coefficients" in view.remarks[0]


@pytest.mark.parametrize(
    "text, words",
    [
        (
            KALIBR + KALIBR.replace("cam0", "cam1").replace("/cam/", "/other/"),
            r"Kalibr's, of several cameras, cam0 \(/cam/image_raw\), cam1 \(/other",
        ),
        (KALIBR.replace("pinhole", "omni"), "camera model 'omni', which is not known"),
        (KALIBR.replace("radtan", "fov"), "'fov' is not known; known are"),
        (KALIBR.replace("resolution", "size"), "has no resolution"),
        (
            "# oST version 5.0 parameters\n\n\n[image]\n\nwidth\n320\n\nheight\n240\n",
            "an INI of camera_calibration_parsers; .* convert",
        ),
        ('<?xml version="1.0"?>\n<opencv_storage>\n</opencv_storage>\n', "is XML; have OpenCV write it as .yml"),
        ("%YAML:1.0\n---\nCamera.fx: 256.0\nCamera.fy: 256.0\n", "has no image_width; it needs"),
        ("%YAML:1.0\n---\nM1: !!opencv-matrix\n   data: [1]\n", "has no image_width"),
        (ROS.replace("camera_matrix", "matrix"), "has no camera_matrix"),
        (ROS.replace("257.0, ", ""), "8 numbers as camera_matrix, not 9"),
        (ROS.replace("-0.1", "many"), "distortion_coefficients that is not numbers"),
        (ROS.replace("320", "[1, 2]"), "2 numbers as image_width"),
        (ROS.replace("320", ".nan"), "image size 0x240"),
        (ROS.replace("320", "-4"), "image size 0x240"),
        (ROS.replace("256", "0").replace("257.0", "0"), "uncalibrated"),
        (ROS.replace("plumb_bob", "fancy"), "'fancy' is not known"),
        (ROS.replace("0.01", ".inf"), "finite"),
        ("", "is not a camera_info YAML; it needs"),
        ("[]", "is not a camera_info"),
        ("---\n", "is not a camera_info"),
        ("text", "is not a"),
        ("a: [", "is not a camera_info YAML .ParserError"),
        ("[" * 5000, "is not a camera_info YAML"),
        ("a: !!python/name:os.system", "is not a"),
        (b"\xff\xfe\x00", "is not text"),
        (b"\x00", "is not text"),
    ],
)
def test_what_cannot_be_read_is_named_in_one_line(text, words, file):
    path = file(text)
    with pytest.raises(InputError, match=f"^intrinsics file {re.escape(str(path))}.*{words}") as caught:
        read_views(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_what_is_no_file_is_named(tmp_path):
    with pytest.raises(InputError, match="none.yaml does not exist; give a camera_info YAML"):
        CameraSource(65.0, intrinsics=tmp_path / "none.yaml")
    with pytest.raises(InputError, match="is a folder; give"):
        read_views(tmp_path)
    np.savez(tmp_path / "calib.npz", mtx=np.eye(3))  # as tutorials of OpenCV do
    with pytest.raises(InputError, match=r"is a numpy archive \(npz\); give a YAML of ROS .*, OpenCV or Kalibr$"):
        read_views(tmp_path / "calib.npz")
    with pytest.raises(InputError, match="cannot be read"):
        read_views(tmp_path / ("a" * 300))
    pipe = tmp_path / "pipe"  # as from a shell's <(...)
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(ROS), daemon=True)
    writer.start()
    assert read_views(pipe)[0].camera.matrix[0, 0] == 256
    writer.join()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_files_as_editors_on_windows_write_them(tmp_path, encoding, end):
    text = f"# Kamera für die Küche{'' if encoding == 'utf-8-sig' else ' ö'}\n{ROS}".replace("\n", end)
    (tmp_path / "lens.yaml").write_bytes(text.encode(encoding))
    assert read_views(tmp_path / "lens.yaml")[0].camera.matrix[0, 0] == 256


@pytest.mark.parametrize(
    "content, words",
    [
        (b"<?xml version='1.0' encoding='UTF-8'?>\n<!DOCTYPE html PUBLIC '-'>\n<html>", "is a web page; log in"),
        (b"<!-- saved from url=(0014)about:internet -->\n<html lang='en'>", "is a web page"),
        (b"\n\n<head><title>Sign in</title>", "is a web page"),
        ("<html>Anmeldung für</html>".encode("latin-1"), "is a web page"),
        ("<!doctype html>".encode("utf-16"), "is a web page"),
        (b"<?xml version='1.0'?>\n<opencv_storage>", "is XML; have OpenCV write it as .yml"),
        (b"\x89PNG\r\n\x1a\n\0\0", "is a picture"),
        (bytes(range(256)), "is not text"),
        ("Küche".encode("latin-1"), "is not a camera_info YAML"),
    ],
)
def test_what_is_no_calibration_is_named(tmp_path, content, words):
    (tmp_path / "lens.yaml").write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_views(tmp_path / "lens.yaml")


def test_images_that_are_turned_against_the_calibration(file):
    with pytest.raises(InputError, match=r"are for 320x240, the images are 480x640: they are turned by a quarter"):
        CameraSource(65.0, intrinsics=file(ROS)).camera_for(480, 640)


def test_a_file_of_another_shape_than_the_images(file):
    source = CameraSource(65.0, intrinsics=file(ROS))
    with pytest.raises(InputError, match="lens.yaml are for 320x240, the images are 640x360: other proportions"):
        source.camera_for(640, 360)
    assert source.camera_for(160, 120).calibrated and source.state == CALIBRATED
    with pytest.raises(InputError, match="give one of them"):
        CameraSource(65.0, fov=60.0, intrinsics=file(ROS))
