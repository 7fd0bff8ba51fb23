"""Calibrations that are no camera's are refused, those that hardly are one are told, and every real camera is taken."""

import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.calibration import Calibration
from fourdhands_core.geometry.calibration_file import read_views
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.geometry.camera_source import CALIBRATED, INVALID, CameraSource

SIZES = (320, 240), (640, 480), (848, 480), (1280, 720), (1920, 1080), (480, 640), (1080, 1920), (1024, 1024), (4056, 3040)
WIDTH, HEIGHT = 640, 480
GOOD = (500.0, 0.0, 322.0, 0.0, 501.0, 236.0, 0.0, 0.0, 1.0)
REAL_LENSES = (
    (1280, 720, (640.0, 0.0, 642.0, 0.0, 640.0, 359.0), "plumb_bob", (-0.0557, 0.0657, -0.0004, 0.0005, -0.0208)),
    (640, 480, (400.0, 0.0, 318.0, 0.0, 401.0, 244.0), "plumb_bob", (-0.36, 0.15, 0.0004, -0.0005, -0.03)),
    (
        1920,
        1080,
        (913.0, 0.0, 959.0, 0.0, 913.0, 551.0),
        "rational_polynomial",
        (0.5, -2.7, 4e-4, -1e-4, 1.55, 0.38, -2.5, 1.48),
    ),
    (640, 576, (504.0, 0.0, 320.0, 0.0, 504.0, 330.0), "rational_polynomial", (3.5, 2.4, 5e-5, 2e-5, 0.12, 3.9, 3.7, 0.63)),
    (848, 800, (286.0, 0.0, 420.0, 0.0, 286.0, 403.0), "equidistant", (-0.0085, 0.045, -0.042, 0.0078)),
    (1280, 800, (415.0, 0.0, 640.0, 0.0, 415.0, 400.0), "equidistant", (0.03, -0.01, 0.004, -0.001)),
    (4000, 3000, (12000.0, 0.0, 2010.0, 0.0, 12010.0, 1490.0), "plumb_bob", (0.9, -8.0, 0.0, 0.0, 0.0)),
)
"""Numbers of the size that depth cameras, action cameras, time-of-flight cameras, fisheyes and telephoto lenses have."""


def matrix(fx, fy, cx, cy):
    return (fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0)


def of_fov(width, fov, fisheye):
    """The focal length, pixels."""
    half = np.radians(fov) / 2
    return width / 2 / (half if fisheye else np.tan(half))


@st.composite
def real(draw):
    """Calibrations of cameras with fields of view of 20 to 175 degrees, fisheyes up to 220; the principal point 6 % aside."""
    (width, height), fisheye = draw(st.sampled_from(SIZES)), draw(st.booleans())
    fov = draw(st.floats(60.0, 220.0) if fisheye else st.floats(20.0, 175.0))
    focal, aside = of_fov(width, fov, fisheye), st.floats(-0.06, 0.06)
    k = matrix(focal, focal * draw(st.floats(0.95, 1.05)), width * (0.5 + draw(aside)), height * (0.5 + draw(aside)))
    d = draw(st.tuples(*(st.floats(-bound, bound) for bound in (0.05, 0.01, 3e-3, 5e-4)))) if fisheye else ()
    # k1 of -0.25 alone reaches 0.77 focal lengths from the middle of the image, and the principal point may stand aside
    if not fisheye and np.hypot(width, height) / 2 / focal < 0.65 and draw(st.booleans()):
        d = draw(st.tuples(st.floats(-0.25, 0.25), st.floats(0.0, 0.1), st.floats(-2e-3, 2e-3), st.floats(-2e-3, 2e-3)))
    return width, height, k, "equidistant" if fisheye else "plumb_bob", d


@settings(max_examples=300, deadline=None)
@given(real(), st.data())
def test_every_real_camera_is_taken(calibration, data):
    """Whole, in a region of interest, with pixels binned; nothing is told of it unless it sees nearly all there is."""
    width, height, k, model, d = calibration
    roi, binning = (0, 0, 0, 0), (0, 0)
    if data.draw(st.booleans(), "region"):
        across, down = data.draw(st.integers(32, width)), data.draw(st.integers(32, height))
        roi = data.draw(st.integers(0, width - across)), data.draw(st.integers(0, height - down)), across, down
        # A fisheye sees nothing but its own black edge farther out.
        corner = np.abs([roi[0] + across / 2 - k[2], roi[1] + down / 2 - k[5]]) + 0.1 * np.array([across, down])
        assume(model != "equidistant" or np.linalg.norm(corner) < 1.2 * k[0])
    if data.draw(st.booleans(), "binned"):
        binning = data.draw(st.sampled_from([(1, 1), (2, 2), (2, 1), (1, 2), (4, 4)]))
    views = Calibration(width, height, k, model, d, roi=roi, binning=binning).views()
    assert views[0].camera.calibrated
    if k[0] > 0.2 * max(width, height):
        folded = ["without an image" in remark for remark in views[0].remarks]  # near 90 degrees off axis a fisheye may
        assert not folded or (folded == [True] and model == "equidistant")


@settings(max_examples=200, deadline=None)
@given(real(), st.data())
def test_a_part_of_an_image_without_its_region_is_taken(calibration, data):
    """K of the part, its principal point anywhere but where that of another resolution is."""
    width, height, k, model, d = calibration
    across, down = data.draw(st.integers(32, width)), data.draw(st.integers(32, height))
    x, y = data.draw(st.integers(0, width - across)), data.draw(st.integers(0, height - down))
    cx, cy = k[2] - x, k[5] - y
    assume(model == "equidistant" or k[0] > 0.36 * width)  # 110 degrees
    assume(abs(cx / across - cy / down) > 0.04 * abs(cx / across + cy / down))
    assume(max(k[0], k[4]) < 200 * max(across, down) and not d)
    assume(np.hypot(max(-cx, cx - across, 0.0) / k[0], max(-cy, cy - down, 0.0) / k[4]) < 1.2)
    (view,) = Calibration(across, down, (*k[:2], cx, *k[3:5], cy, *k[6:]), model, d).views()
    assert view.camera.calibrated
    centred = max(abs(cx / across - 0.5), abs(cy / down - 0.5)) <= 0.25 and max(k[0], k[4]) < 10 * max(across, down)
    assert bool(view.remarks) != centred or k[0] < 0.2 * width


@pytest.mark.parametrize("width, height, k, model, d", REAL_LENSES)
def test_lenses_of_real_cameras_are_taken(width, height, k, model, d):
    (view,) = Calibration(width, height, (*k, 0.0, 0.0, 1.0), model, d).views()
    assert view.camera.calibrated and not view.remarks


def test_a_circle_in_a_wide_image_is_a_fisheyes():
    """Most of the picture is black then, which no fold makes."""
    (view,) = Calibration(1920, 1080, matrix(300.0, 300.0, 960.0, 540.0), "equidistant", (0.01, 0.0, 0.0, 0.0)).views()
    assert not view.remarks


WRONG = {
    "far outside": (matrix(500.0, 500.0, 3000.0, 240.0), "", (), "cx=3000, cy=240, far outside of 640x480"),
    "far above": (matrix(500.0, 500.0, 320.0, -2000.0), "", (), "cy=-2000, far outside"),
    "of a fisheye": (matrix(300.0, 300.0, 2000.0, 240.0), "equidistant", (0.01, 0.0, 0.0, 0.0), "far outside"),
    "flat pixels": (matrix(500.0, 50.0, 320.0, 240.0), "", (), "fy=50, of pixels 10 times as long as wide"),
    "tall pixels": (matrix(100.0, 500.0, 320.0, 240.0), "", (), "5 times as long as wide"),
    "twice": (matrix(1000.0, 1000.0, 640.0, 480.0), "", (), "that of an image of about 1280x960 pixels, and says 640x480"),
    "half": (matrix(250.0, 250.0, 160.0, 120.0), "", (), "that of an image of about 320x240"),
    "1.5 times": (matrix(750.0, 750.0, 481.0, 355.0), "", (), "that of an image of about 962x710"),
    "a third": (matrix(170.0, 170.0, 106.0, 81.0), "", (), "another|that of an image of about 212x162"),
    "scaled": (tuple(2.0 * number for number in GOOD), "", (), "last number is 2 and not 1: it is scaled; divide"),
    "scaled down": (tuple(number / 500.0 for number in GOOD), "", (), "last number is 0.002 and not 1"),
    "negative scale": (tuple(-number for number in GOOD), "", (), "fx=-500"),
    "transposed": (tuple(np.reshape(GOOD, (3, 3)).T.ravel()), "", (), "transposed; give it row by row"),
    "upside down": (matrix(-500.0, -500.0, 320.0, 240.0), "", (), "fx=-500.0, fy=-500.0 are not positive"),
    "negative": (matrix(500.0, -500.0, 320.0, 240.0), "", (), "not positive"),
    "not a number": (matrix(500.0, 500.0, float("nan"), 240.0), "", (), "finite"),
    "infinite": (matrix(float("inf"), 500.0, 320.0, 240.0), "", (), "finite"),
    "other rows": ((500.0, 0.0, 320.0, 30.0, 500.0, 240.0, 0.0, 0.0, 1.0), "", (), "no camera's; give it row by row"),
    "projective": ((500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.1, 0.0, 1.0), "", (), "no camera's; give it row by row"),
    "skewed": ((500.0, 200.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0), "", (), "pixels that are not rectangular"),
    "millimetres": (matrix(4.2, 4.2, 320.0, 240.0), "", (), "fx=4.2, fy=4.2, very short for 640x480.*give them in pixels"),
    "metres": (matrix(0.0042, 0.0042, 0.003, 0.002), "", (), "very short"),
    "micrometres": (matrix(4.2e5, 4.2e5, 320.0, 240.0), "", (), "very long"),
    "folds": (GOOD, "plumb_bob", (-5.0, 0.0, 0.0, 0.0, 0.0), "-5 0 0 0 0 of plumb_bob folds or tears"),
    "folds a fisheye": (matrix(300.0, 300.0, 320.0, 240.0), "equidistant", (-1.0, 0.0, 0.0, 0.0), "folds or tears"),
    "huge": (GOOD, "plumb_bob", (1e3, 0.0, 0.0, 0.0, 0.0), "folds or tears"),
    "huger": (GOOD, "plumb_bob", (1e10, -1e12, 0.0, 0.0, 0.0), "distortion"),
    "pixels as coefficients": (GOOD, "plumb_bob", (500.0, 500.0, 320.0, 240.0, 0.0), "distortion"),
    "tangential": (GOOD, "plumb_bob", (0.0, 0.0, 2.0, 0.0, 0.0), "distortion"),
    "other order": (GOOD, "plumb_bob", (0.0, 0.0, -0.3, 3.0, 0.0), "distortion"),
    "a pole": (GOOD, "rational_polynomial", (0.0, 0.0, 0.0, 0.0, 0.0, -20.0, 0.0, 0.0), "distortion"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_cameras_is_refused(kind, tmp_path):
    """In one sentence that says what was given: as CameraInfo the images go on without scale, a file is refused."""
    k, model, d, words = WRONG[kind]
    calibration = Calibration(WIDTH, HEIGHT, k, model, d)
    with pytest.raises(InputError, match=words) as caught:
        calibration.views()
    assert "\n" not in str(caught.value) and "; " in str(caught.value)
    source = CameraSource(60.0)
    source.update(Calibration(WIDTH, HEIGHT, GOOD))
    source.update(calibration)
    assert not source.camera_for(WIDTH, HEIGHT).calibrated and source.state == INVALID
    assert source.problem == f"CameraInfo is malformed: {caught.value}"
    lens = tmp_path / "lens.yaml"
    lens.write_text(
        f"image_width: {WIDTH}\nimage_height: {HEIGHT}\ncamera_matrix: {{data: {yaml(k)}}}\n"
        f"distortion_model: {model or 'plumb_bob'}\ndistortion_coefficients: {{data: {yaml(d)}}}\n"
    )
    with pytest.raises(InputError, match=f"^intrinsics file {re.escape(str(lens))}: .*({words})"):
        read_views(lens)


def yaml(numbers):
    return str(list(map(float, numbers))).replace("nan", ".nan").replace("inf", ".inf").replace("e+", "e").replace("-.", "-.")


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SIZES), st.floats(20.0, 110.0), st.data())
def test_no_wrong_matrix_of_a_real_camera_is_taken(size, fov, data):
    """Whatever the camera: its matrix scaled, transposed, of another resolution, with one focal length times five."""
    width, height = size
    focal, aside = of_fov(width, fov, False), st.floats(-0.015, 0.015)
    k = np.reshape(matrix(focal, focal, width * (0.5 + data.draw(aside)), height * (0.5 + data.draw(aside))), (3, 3))
    scale = data.draw(st.floats(1.5, 4.0) | st.floats(0.25, 0.66))
    stretched, elsewhere = k.copy(), k.copy()
    stretched[data.draw(st.sampled_from([0, 1]))] *= [data.draw(st.sampled_from([0.2, 5.0])), 1.0, 1.0]
    stretched[1, 1] = focal if stretched[0, 0] != focal else stretched[1, 1] * 5.0
    elsewhere[0, 2] += data.draw(st.sampled_from([-1, 1])) * (width / 2 + 1.3 * focal)
    for wrong in (scale * k, k.T, np.diag([scale, scale, 1.0]) @ k, stretched, elsewhere):
        with pytest.raises(InputError):
            Calibration(width, height, tuple(wrong.ravel())).views()
        p = np.concatenate([wrong, np.zeros((3, 1))], axis=1).ravel()
        with pytest.raises(InputError, match="P"):
            Calibration(width, height, GOOD, p=tuple(p)).views(rectified=True)
        Calibration(width, height, tuple(k.ravel()), p=tuple(p)).views(rectified=False)  # P is not used


@pytest.mark.parametrize(
    "k, model, d, words",
    [
        (matrix(500.0, 250.0, 320.0, 240.0), "", (), "of pixels 2 times as long as wide"),
        (matrix(600.0, 600.0, 385.0, 288.0), "", (), "that of an image of about 770x576"),
        (matrix(500.0, 500.0, 800.0, 240.0), "", (), "cx=800, cy=240, far from the middle of 640x480"),
        (matrix(500.0, 500.0, -100.0, 200.0), "", (), "far from the middle"),
        (matrix(20.0, 20.0, 320.0, 240.0), "", (), "very short for 640x480"),
        (matrix(8000.0, 8000.0, 320.0, 240.0), "", (), "very long"),
        ((500.0, 30.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0), "", (), "K.1. is 30"),
        ((*GOOD[:8], 0.0), "", (), "last row is zeros and is taken as 0 0 1"),
        (GOOD, "plumb_bob", (-0.45, 0.0, 0.0, 0.0, 0.0), "% of 640x480 pixels without an image"),
        (GOOD, "plumb_bob", (7.0, 0.0, 0.0, 0.0, 0.0), "very strong for 640x480"),
    ],
)
def test_what_hardly_is_a_cameras_is_used_and_told(k, model, d, words):
    source = CameraSource(60.0)
    source.update(Calibration(WIDTH, HEIGHT, k, model, d))
    camera = source.camera_for(WIDTH, HEIGHT)
    assert camera.calibrated and source.state == CALIBRATED and camera.matrix[2].tolist() == [0.0, 0.0, 1.0]
    (remark,) = source.remarks
    assert words in remark or words.replace(".", "[", 1).replace(".", "]", 1) in remark
    assert np.isfinite(camera.project(np.array([0.01, 0.01, 0.5]))).all()


def test_a_region_whose_corners_fold_is_the_regions_own():
    """What the lens does to the rest of its sensor does not matter."""
    d = (-0.6, 0.0, 0.0, 0.0, 0.0)
    k = matrix(500.0, 500.0, 640.0, 480.0)
    with pytest.raises(InputError, match="folds"):
        Calibration(1280, 960, k, "plumb_bob", d).views()
    views = Calibration(1280, 960, k, "plumb_bob", d, roi=(520, 360, 240, 240)).views()
    assert (views[0].camera.width, views[0].remarks) == (240, ())


def test_what_camera_gives_is_a_calibration():
    """Of its own assumed lens too, as the node's camera publishes it."""
    for fov in (10.0, 60.0, 120.0, 150.0):
        lens = Camera.from_fov(1280, 720, fov)
        assert not Calibration(1280, 720, tuple(lens.matrix.ravel())).views()[0].remarks
