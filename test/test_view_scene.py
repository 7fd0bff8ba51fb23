"""The scene and the page as a server builds them: bones, lens, words, controls; the browser's part is in test_extras."""

import contextlib
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from view_support import CAMERA, HANDS, PERIOD, hand, mirrored, moving, pair, write_npz

viser = pytest.importorskip("viser", reason="the extra view is not installed")

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.pipeline.types import ABSENT, HELD
from fourdhands_core.view import page as page_module
from fourdhands_core.view.cloud import CloudMaker
from fourdhands_core.view.lens import Pinhole, SeenThrough
from fourdhands_core.view.moments import Moment
from fourdhands_core.view.page import RecordingPage
from fourdhands_core.view.posing import HandPoser
from fourdhands_core.view.recordings import NpzRecording
from fourdhands_core.view.scene import CameraScene
from fourdhands_core.view.serving import serve
from fourdhands_core.view.sights import PARTS, Sight

PATIENT = 120.0


@pytest.fixture
def served():
    made = serve(port=0)
    yield made
    made.close()


def sight(pair, image=None, **more):
    return Sight("camera", Moment(pair), image, **more)


@pytest.mark.parametrize("side", [0, 1])
def test_the_mesh_is_the_hand_models(side):
    """The same vertices as the tracker's, from what a message or hands.npz says without them."""
    one = hand(side, bend=0.3, betas=np.linspace(-1, 1, 10))
    poser = HandPoser(HANDS[side])
    without = replace(one, vertices=None)
    np.testing.assert_allclose(poser.vertices(without) + one.joints[0], one.vertices, atol=1e-5)
    turned = replace(without, wrist_rotation=None)  # as in a message
    np.testing.assert_allclose(poser.vertices(turned), poser.vertices(without), atol=1e-5)
    assert poser.vertices(hand(side, state=ABSENT)) is None and poser.vertices(replace(without, betas=None)) is None


LENSES = {
    "none": CAMERA,
    "off-centre": Camera(640, 480, np.array([[500.0, 0, 250], [0, 520, 260], [0, 0, 1]])),
    "plumb_bob": Camera(640, 480, CAMERA.matrix, "plumb_bob", np.array([-0.3, 0.1, 0.001, 0.002, 0.0])),
    "equidistant": Camera(640, 480, np.array([[300.0, 0, 320], [0, 300, 240], [0, 0, 1]]), "equidistant", np.zeros(4) + 0.01),
}


@pytest.mark.parametrize("camera", LENSES.values(), ids=LENSES)
def test_the_picture_is_where_a_browser_draws_the_hands(camera):
    """A spot where a point is seen in the image is, in the picture, where a camera of its field of view sees the point."""
    lens = Pinhole(camera)
    for point in ([0.0, 0.0, 0.5], [0.1, -0.08, 0.5], [-0.15, 0.1, 0.6]):
        image = np.zeros((camera.height, camera.width, 3), np.uint8)
        u, v = camera.project(np.array(point))
        y, x = np.mgrid[: camera.height, : camera.width]
        image[np.hypot(x - u, y - v) < 4] = 255
        rows, columns = np.nonzero(lens.picture(image)[..., 0] > 128)
        height = 2 * np.tan(lens.fov / 2)
        expected = [
            (lens.width - 1) / 2 + point[0] / point[2] / (height * lens.aspect) * lens.width,
            (lens.height - 1) / 2 + point[1] / point[2] / height * lens.height,
        ]
        np.testing.assert_allclose([columns.mean(), rows.mean()], expected, atol=1.0)


@pytest.mark.parametrize("camera", [CAMERA, LENSES["off-centre"]])
def test_a_mirrored_cameras_hands_are_before_its_picture(served, tmp_path, camera):
    """The picture as a camera that is not mirrored would have it, behind hands whose positions are that camera's."""
    recording = NpzRecording(
        write_npz(tmp_path / "hands.npz", [mirrored(one) for one in moving(8, camera=camera.mirrored())]), HANDS
    )
    found = recording.moment(3).pair
    assert found.mirrored
    image = np.zeros((camera.height, camera.width, 3), np.uint8)
    u, v = found.right.joints_2d[0]
    image[int(v) - 3 : int(v) + 4, int(u) - 3 : int(u) + 4] = 255
    shown = SeenThrough().pair(found, LENSES["plumb_bob"], camera)
    assert shown.camera is camera and shown.mirrored
    scene = CameraScene(served.server, "/camera", HANDS, shown={**dict.fromkeys(PARTS, True), "Skeleton on the image": False})
    scene.draw(sight(shown, image))
    rows, columns = np.nonzero(np.asarray(scene.frustum.image)[..., 0] > 128)
    x, y, z = found.right.joints[0]
    height = 2 * np.tan(scene.pinhole.fov / 2)
    expected = (scene.pinhole.width - 1) / 2 + x / z / (height * scene.pinhole.aspect) * scene.pinhole.width
    assert abs(columns.mean() - expected) < 2.0
    cloud = CloudMaker(camera).make(np.full((480, 640), 0.5, np.float32), image, mirrored=True)
    np.testing.assert_allclose(cloud.points[cloud.colours[:, 0] > 128].mean(axis=0)[:2], np.array([x, y]) / z * 0.5, atol=0.004)


@pytest.mark.parametrize("size", [0.9, 0.965, 1.1])
def test_a_hand_that_is_seen_smaller_or_larger_than_it_is_tells_no_other_lens(size):
    """`joints_2d` show a hand as large as it is seen; a lens that draws all that smaller is not the image's."""
    one = hand(1, (0.06, 0.05, 0.3))
    seen = CAMERA.project(one.joints[0] + size * (one.joints - one.joints[0]))
    matrix = CAMERA.matrix.copy()
    matrix[[0, 1], [0, 1]] *= size
    other = Camera(CAMERA.width, CAMERA.height, matrix, calibrated=True)
    assert SeenThrough().pair(pair(right=replace(one, joints_2d=seen)), CAMERA, other).camera is CAMERA
    seen = other.project(one.joints[0] + size * (one.joints - one.joints[0]))
    assert SeenThrough().pair(pair(right=replace(one, joints_2d=seen)), CAMERA, other).camera is other


def test_what_is_shown(served):
    """Every part, switched off and on; held hands stay, absent ones go."""
    scene = CameraScene(served.server, "/camera", HANDS)
    image = np.full((480, 640, 3), 99, np.uint8)
    scene.draw(sight(pair(0, hand(0), hand(1)), image))
    assert (image == 99).all()
    left, right = scene.hands
    assert left.mesh.visible and right.joints.visible and right.wrist.visible
    np.testing.assert_allclose(right.joints.points, hand(1).joints, atol=1e-6)
    assert right.joints.colors[0].tolist() == [230, 60, 40] and right.joints.colors[20].tolist() == [60, 220, 90]
    scene.draw(sight(pair(10**8, hand(0, state=HELD), hand(1, state=ABSENT)), image))
    assert left.mesh.visible and left.mesh.opacity < 0.5 and not right.mesh.visible and not right.joints.visible
    for part in PARTS:
        scene.shown[part] = False
    scene.draw(sight(pair(2 * 10**8, hand(0), hand(1)), image))
    nodes = (left.mesh, left.joints, left.lines, left.wrist, left.past, scene.frustum)
    assert not any(node.visible for node in nodes)


def test_no_image_stays_that_is_of_another_time(served):
    """Where images are rarer than hands the last one stays for a little, and none after a jump, as to another episode."""
    scene = CameraScene(served.server, "/camera", HANDS)
    image = np.full((480, 640, 3), 99, np.uint8)

    def shows(stamp, image=None):
        scene.draw(sight(pair(stamp, hand(0)), image))
        return scene.frustum.image is not None

    assert not shows(0) and shows(10**8, image) and shows(3 * 10**8) and not shows(10**9)
    assert shows(2 * 10**9, image)
    scene.forget()
    assert not shows(2 * 10**9) and shows(2 * 10**9, image)


def test_the_image_stands_behind_the_hands(served):
    """Else hands that are far away would be hidden by it."""
    scene = CameraScene(served.server, "/camera", HANDS)
    for depth in (0.5, 3.0):
        scene.draw(sight(pair(0, right=hand(1, (0.0, 0.0, depth))), np.zeros((480, 640, 3), np.uint8)))
        half = np.tan(scene.frustum.fov / 2)
        plane = scene.frustum.scale / np.cbrt(half**2 * scene.frustum.aspect / 3)
        assert plane > depth + 0.1


def test_nothing_is_done_without_a_client(served, tmp_path, monkeypatch):
    recording = NpzRecording(write_npz(tmp_path / "hands.npz", moving(20)), HANDS)
    asked = []
    monkeypatch.setattr(recording, "moment", asked.append)
    page = RecordingPage(served, recording)
    assert not served.gateway.presence.wait(0.3)
    page.close()
    assert not asked and "page" not in {thread.name for thread in threading.enumerate()}


def test_wishes_of_clients_are_kept_within_the_recording(served, tmp_path, closing):
    recording = NpzRecording(write_npz(tmp_path / "hands.npz", moving(20, range(5, 9))), HANDS)
    page = closing(RecordingPage(served, recording))
    for wish, row in ((10**12, 19), (-5, 0), (7, 7)):
        page.go(wish)
        assert page.row == row
    page.jump("loss", True)
    page.turn()
    assert page.row == 5 and "Image 5: left lost." in page.panel.words.content
    page.jump("refusal", False)
    page.turn()
    assert page.row == 5 and "No refusal after this image." in page.panel.words.content
    page.jump("nonsense", False)


def test_what_is_asked_while_an_image_is_drawn_is_told_with_the_next(served, tmp_path, monkeypatch, closing):
    """The words of a jump were lost where it came while another image was on its way to the browser."""
    recording = NpzRecording(write_npz(tmp_path / "hands.npz", moving(20, range(5, 9))), HANDS)
    page = closing(RecordingPage(served, recording))
    with monkeypatch.context() as patch:
        patch.setattr(served.server, "flush", lambda: page.jump("loss", False))
        page.go(1)
        page.turn()
    assert "left lost" not in page.panel.words.content
    page.turn()
    assert page.shown == 5 and "Image 5: left lost." in page.panel.words.content


def test_what_a_jump_found_can_be_read_while_the_recording_plays(served, tmp_path, monkeypatch, closing):
    """It was told for a fifteenth of a second; and is looked for by who reads on: a row that came meanwhile made it fail."""
    monkeypatch.setattr(page_module, "_TOLD", np.inf)
    recording = NpzRecording(write_npz(tmp_path / "hands.npz", moving(20, range(5, 9))), HANDS)
    page = closing(RecordingPage(served, recording))
    page.jump("loss", False)
    assert page.row == 0
    page.toggle()
    page.turn()
    assert page.shown == 5
    for row in (6, 7):
        page.play_on(1 / 30)
        page.turn()
        assert page.shown == row and "Image 5: left lost." in page.panel.words.content
    monkeypatch.setattr(page_module, "_TOLD", 0.0)
    page.play_on(1 / 30)
    page.turn()
    assert page.shown == 8 and "left lost" not in page.panel.words.content


def test_the_page_shows_the_recording(served, tmp_path, monkeypatch, closing):
    """As its own thread does where a client is there."""
    recording = NpzRecording(write_npz(tmp_path / "a_b*<b>.npz", moving(20, range(5, 9))), HANDS)
    page = closing(RecordingPage(served, recording))
    assert "a_b*&lt;b&gt;.npz" in page.panel.heading.content  # names are no markup
    page.row = 6
    assert page.turn() is False
    assert "left HELD" not in page.panel.words.content and "right TRACKED" in page.panel.words.content
    assert page.slider.value == 6 and page.slider.max == 19 and "image 6 of 20" in page.clock.content
    assert page.line.content.count("M") == 4 + 1  # left in three parts, right in one, the cursor
    with monkeypatch.context() as patch:
        patch.setattr("fourdhands_core.view.timeline._band", None)  # of an hour it takes longer than a picture: not for each
        page.row = 12
        page.turn()
    assert page.slider.value == 12 and '"M12 0h' in page.line.content
    page.toggle()
    page.play_on(0.0)
    page.play_on(0.1)
    assert page.row == 15
    page.play_on(10.0)
    assert page.row == 19 and not page.playing
    page.turn()
    recording.course.add(Moment(replace(pair(), stamp=20 * PERIOD)))  # as of a video that is tracked meanwhile
    monkeypatch.setattr("fourdhands_core.view.page._QUIET", -1.0)  # however busy the computer is
    monkeypatch.setattr("fourdhands_core.view.page._PLOT_PERIOD", -1.0)
    page.turn()
    assert page.slider.max == 20 and "image 19 of 21" in page.clock.content


def test_a_pause_is_not_waited_for(served, tmp_path, closing):
    """Nor the years after which the clock of the recording was set."""
    years = [replace(pair, stamp=pair.stamp + (number > 9) * 10**18) for number, pair in enumerate(moving(20))]
    page = closing(RecordingPage(served, NpzRecording(write_npz(tmp_path / "hands.npz", years), HANDS)))
    page.row = 9
    page.toggle()
    for seconds, row in ((4.0, 9), (2.0, 10), (1.5 * PERIOD * 1e-9, 11), (10.0, 19)):
        page.play_on(seconds)
        assert page.row == row


def test_a_result_of_other_images_is_compared_with_nothing(served, tmp_path, closing):
    """Which is said: of a bag, for example, whose images have the time of day as stamps, and a video's result."""
    one = NpzRecording(write_npz(tmp_path / "one.npz", moving(5)), HANDS)
    later = [replace(pair, stamp=pair.stamp + 10**12) for pair in moving(5)]
    page = closing(RecordingPage(served, one, against=NpzRecording(write_npz(tmp_path / "other.npz", later), HANDS)))
    page.turn()
    assert "other.npz has no hands of this image's stamp" in page.panel.words.content


def test_a_wish_comes_before_reading_on(served, tmp_path, monkeypatch, closing):
    recording = NpzRecording(write_npz(tmp_path / "hands.npz", moving(20)), HANDS)
    page, read = closing(RecordingPage(served, recording)), []
    monkeypatch.setattr(recording, "advance", lambda: (read.append(page.row), page.go(page.row + 5))[1] is None)
    for turn in range(3):
        monkeypatch.setattr("fourdhands_core.view.page._QUIET", -1.0)  # however busy the computer is
        assert page.turn() and len(read) == turn + 1  # which was broken off by the wish
        monkeypatch.setattr("fourdhands_core.view.page._QUIET", 60.0)
        assert page.turn() and len(read) == turn + 1 and page.shown == 5 * turn + 5  # while what was chosen is drawn


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"token": "short"}, "can be guessed"),
        ({"token": "with a space"}, "other letters"),
        ({"port": 70000}, "not between 0 and 65535"),
    ],
)
def test_what_cannot_be_served(arguments, words):
    with pytest.raises(InputError, match=words):
        serve(**arguments)


def test_what_is_printed(served, monkeypatch):
    """Who is logged in over ssh is told the way by which that went, too."""
    port = served.gateway.port
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    assert served.url == f"http://localhost:{port}/" and f"ssh -L {port}:localhost:{port} " in served.text()
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.9 50022 10.0.0.1 2207")
    assert f"ssh -p 2207 -L {port}:localhost:{port} " in served.text() and "@10.0.0.1)" in served.text()


def test_other_interfaces_have_a_token(monkeypatch, closing):
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    made = closing(serve("0.0.0.0", 0))
    assert len(made.token) > 20 and made.url.endswith(f"/?token={made.token}") and "ssh" not in made.text()
    monkeypatch.setenv("SSH_CONNECTION", "fd00::9 50022 fd00::1 22")
    assert f"or http://[fd00::1]:{made.gateway.port}/?token={made.token}, " in made.text()


def test_the_server_calls_nobody(served):
    """The page may ask viser's server to open a tunnel through another host: it does not listen."""
    from viser import _messages

    handlers = served.server._websock_server._incoming_handlers
    assert _messages.ShareUrlRequest not in handlers and _messages.GuiUpdateMessage in handlers


@contextlib.contextmanager
def looking(served):
    """A client without a browser, connected as the page is."""
    from websockets.sync.client import connect

    url = f"ws://localhost:{served.gateway.port}/"
    patience = {"open_timeout": PATIENT, "ping_interval": None, "close_timeout": 0.5, "proxy": None}
    with connect(url, subprotocols=[f"viser-v{viser.__version__}"], max_size=None, compression=None, **patience) as client:
        yield client


def until(condition):
    end = time.monotonic() + PATIENT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    "frame",
    [
        "text",
        b"",
        b"\x00" * 100,
        b"\xc1",
        b"\x81\xa4type\xa7Nothing",
        b"\x81\xa4type\xb3ViewerCameraMessage",
        b"\xff" * 100_000,
    ],
    ids=["text", "empty", "zeros", "no msgpack", "unknown", "no fields", "long"],
)
def test_malformed_frames_end_one_connection(served, tmp_path, capfd, frame, closing):
    """Without a traceback, and without harm to who else looks."""
    recording = NpzRecording(write_npz(tmp_path / "hands.npz", moving(20)), HANDS)
    page = closing(RecordingPage(served, recording))
    with looking(served) as other:
        with looking(served) as client:
            client.recv(timeout=PATIENT)
            client.send(frame)
            with contextlib.suppress(Exception):
                while True:
                    client.recv(timeout=1.0)
        page.go(7)
        until(lambda: page.shown == 7)
        other.recv(timeout=PATIENT)
    until(lambda: not served.gateway.presence)
    assert "Traceback" not in capfd.readouterr().err


def test_a_client_that_reads_nothing_holds_up_nobody(served, tmp_path, closing):
    """The page plays on, and what waits for the slow one does not grow with what is shown."""
    recording = NpzRecording(write_npz(tmp_path / "hands.npz", moving(200)), HANDS)
    page = closing(RecordingPage(served, recording, rate=60.0))
    with looking(served):  # which never reads
        until(lambda: served.gateway.presence)
        for row in range(0, 200, 5):
            page.go(row)
            until(lambda row=row: page.shown == row)
        buffer = served.server._websock_server._broadcast_buffer.message_from_id
        assert len(buffer) < 1000
