"""The page in a real Chromium: what is drawn, what the controls do, who is asked for what, and clients that come and go."""

import contextlib
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
from browser_support import PATIENT, Tab, box_of, browser, covered_box, needs_chromium, viewing  # noqa: F401 (a fixture)
from view_support import HANDS, PERIOD, hand, moving, pair, write_npz

from fourdhands_core.media.draw import SIDE_COLOURS
from fourdhands_core.media.video import VideoWriter
from fourdhands_core.view.page import RecordingPage
from fourdhands_core.view.recordings import NpzRecording
from fourdhands_core.view.serving import serve
from fourdhands_core.view.sights import PARTS

pytestmark = needs_chromium


@contextlib.contextmanager
def shown(folder, pairs, host="127.0.0.1"):
    """A page of a recording in this process: (served, page)."""
    write_npz(folder / "hands.npz", pairs)
    with VideoWriter(folder / "overlay.mp4", 30.0) as writer:
        for i in range(len(pairs)):
            writer.write(np.full((480, 640, 3), (40 + 3 * i) % 256, np.uint8))
    recording = NpzRecording(folder / "hands.npz", HANDS)
    served = serve(host, 0)
    page = RecordingPage(served, recording)
    try:
        yield served, page
    finally:
        page.close()
        recording.close()
        served.close()


def test_the_page_plays_and_asks_nobody_else(browser, tmp_path):
    """Everything of the scene is there, moves with the hands, and follows the controls; without an error in the console."""
    with shown(tmp_path, moving(60)) as (served, page):
        tab = Tab(browser, served.url)
        first = tab.wait_for(lambda picture: picture.std() > 5)  # no blank canvas
        tab.press("forward")
        tab.says("image 1 of 60")
        tab.press("loss")
        tab.says("Image 20: left lost")
        tab.says("left ABSENT")
        tab.wait_for(lambda picture: np.abs(picture - first).mean() > 0.3)
        tab.press("back")
        tab.says("image 19 of 60")
        tab.press("Play")
        tab.says("image 59 of 60")
        tab.press("Look through the camera")
        tab.wait_for(lambda picture: np.abs(picture - first).mean() > 5)
        tab.page.get_by_text("Show", exact=True).click()
        tab.page.get_by_label("Image", exact=True).last.uncheck()
        tab.wait_for(lambda picture: (picture.min(axis=2) > 250).mean() > 0.3)
        assert not page.stage.shown["Image"]
        assert tab.wrong == [] and tab.asked == {"localhost"}
        tab.close()


@pytest.mark.parametrize("part", ["Meshes", "Joints"])
def test_hands_are_drawn_at_their_pixels(browser, tmp_path, part):
    """From the camera's eye, what is drawn of each hand lies where its points project to."""
    hands = hand(0, (-0.12, 0.03, 0.5), 0.2, turn=(0.3, -0.2, -1.2)), hand(1, (0.13, 0.05, 0.55), 0.1)
    with shown(tmp_path, [pair(0, *hands), pair(PERIOD, *hands)]) as (served, page):
        tab = Tab(browser, served.url)
        tab.press("Look through the camera")
        for name in PARTS:
            page.stage.shown[name] = name == part
        page.panel.changed.set()
        tab.wait_for(lambda picture: 0.5 < (picture.min(axis=2) > 250).mean() < 0.99)
        picture = tab.still()
        covered = picture.min(axis=2) < 235
        for side, one in enumerate(hands):
            expected = box_of(one.vertices if part == "Meshes" else one.joints, page.stage.eye()[0].fov, picture)
            found = covered_box(covered, expected)
            margin = 4.0 if part == "Meshes" else 8.0  # joints are balls
            np.testing.assert_allclose(found, expected, atol=margin)
            if part == "Meshes":
                left, top, right, bottom = found
                seen = picture[top : bottom + 1, left : right + 1][covered[top : bottom + 1, left : right + 1]]
                colour = seen.mean(axis=0) - seen.mean()
                assert np.dot(colour, np.subtract(SIDE_COLOURS[side], np.mean(SIDE_COLOURS[side]))) > 0
        assert tab.wrong == []
        tab.close()


def test_two_look_at_once(browser, tmp_path):
    """What one chooses both see; one who leaves is no harm to the other; nothing is done when both have gone."""
    with shown(tmp_path, moving(30)) as (served, page):
        one, other = Tab(browser, served.url), Tab(browser, served.url)
        one.press("forward")
        for tab in (one, other):
            tab.says("image 1 of 30")
        one.close()
        other.press("forward")
        other.says("image 2 of 30")
        assert other.wrong == []
        other.close()
        end = time.monotonic() + PATIENT
        while served.gateway.presence:
            assert time.monotonic() < end
            time.sleep(0.05)
        page.go(25)
        time.sleep(0.3)
        assert page.shown == 2


def test_without_the_token(browser, tmp_path):
    """Words instead of the page; with it the page, and the address shows it no more."""
    with shown(tmp_path, moving(5), "0.0.0.0") as (served, _):
        bare = f"http://localhost:{served.gateway.port}/"
        refused = Tab(browser, bare, words=None)
        assert refused.answer.status == 403 and "needs its token" in refused.page.content()
        refused.close()
        tab = Tab(browser, f"{bare}?token={served.token}")
        assert tab.page.url == bare and tab.wrong == []
        tab.close()


def test_the_page_comes_back_after_a_restart(browser, tmp_path):
    """The command as a process, ended and started again at the same port: the open page goes on by itself."""
    write_npz(tmp_path / "hands.npz", moving(10))
    with viewing(tmp_path / "hands.npz", "--port", "0") as (url, _):
        tab = Tab(browser, url)
        tab.press("forward")
        tab.says("image 1 of 10")
    with viewing(tmp_path / "hands.npz", "--port", urlsplit(url).port):
        tab.says("image 0 of 10")  # of the new process
        tab.press("forward")
        tab.says("image 1 of 10")
    tab.close()
