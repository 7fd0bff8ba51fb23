"""A real Chromium that looks at the page, as a user does; notes what is wrong with it and whom it asks for what."""

import contextlib
import io
import os
import shutil
import sys
import time
from urllib.parse import urlsplit

import numpy as np
import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make test-extras")
pytest.importorskip("viser", reason="the extra view is not installed")
from PIL import Image
from program_support import begun

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt install chromium")
PATIENT = 120.0
SOFTWARE = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@pytest.fixture(scope="module")
def browser():
    """Import it into a test module to use it."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SOFTWARE)
        yield browser
        browser.close()


class Tab:
    """A page that notes what is wrong with it. wrong: errors of its console. asked: hosts that it asked for something."""

    def __init__(self, browser, url, words="left TRACKED"):
        """words: that it says when it has come; None for a page that is refused."""
        self.page = browser.new_context(viewport={"width": 900, "height": 600}).new_page()
        self.page.set_default_timeout(PATIENT * 1000)
        self.wrong, self.asked = [], set()
        self.page.on("console", lambda message: self.wrong.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self.note(request.url))
        self.page.on("websocket", lambda socket: self.note(socket.url))
        self.answer = self.page.goto(url)
        if words is not None:
            # that a browser draws in software is told above the scene
            self.page.add_style_tag(content='[class*="Notification"] {display: none !important}')
            self.says(words)

    def note(self, url):
        if urlsplit(url).scheme not in ("data", "blob"):
            self.asked.add(urlsplit(url).hostname)

    def says(self, words):
        """Wait until the page says this."""
        self.page.get_by_text(words).first.wait_for()

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).first.click()

    def show_only(self, *parts):
        """Leave out of the scene what is not among these parts, by the boxes of the page."""
        from fourdhands_core.view.sights import PARTS

        self.page.get_by_text("Show", exact=True).click()
        for name in PARTS:
            if name not in parts:
                self.page.get_by_label(name, exact=True).last.uncheck()

    def scene(self):
        """The 3-D scene as an array (H, W, 3)."""
        canvas = max(self.page.locator("canvas").all(), key=lambda one: (one.bounding_box() or {"width": 0})["width"])
        shot = self.page.screenshot(clip=canvas.bounding_box())
        return np.array(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)

    def wait_for(self, condition):
        """Wait until a picture of the scene fulfils a condition; the picture."""
        end = time.monotonic() + PATIENT
        while not condition(picture := self.scene()):
            assert time.monotonic() < end, "the scene does not come to what is expected"
            self.page.wait_for_timeout(200)
        return picture

    def still(self):
        """Wait until the scene does not change any more; the picture."""
        end, last = time.monotonic() + PATIENT, self.scene()
        while True:
            self.page.wait_for_timeout(500)
            if np.array_equal(picture := self.scene(), last):
                return picture
            assert time.monotonic() < end, "the scene does not come to rest"
            last = picture

    def close(self):
        self.page.context.close()


def box_of(points, fov, picture):
    """(left, top, right, bottom) pixels of points (N, 3) in the camera's frame, as its eye with a vertical fov sees them."""
    height, width = picture.shape[:2]
    focal = 0.5 * height / np.tan(0.5 * fov)
    expected = points[:, :2] / points[:, 2:] * focal + [0.5 * (width - 1), 0.5 * (height - 1)]
    return np.array([*expected.min(axis=0), *expected.max(axis=0)])


def covered_box(covered, expected):
    """The same of what is covered (H, W) in the half of the picture in which the middle of an expected box lies; infinity where
    nothing is."""
    rows, columns = np.nonzero(covered)
    middle = covered.shape[1] / 2
    here = (columns < middle) == (expected[[0, 2]].mean() < middle)
    if not here.any():
        return np.full(4, np.inf)
    return np.array([columns[here].min(), rows[here].min(), columns[here].max(), rows[here].max()])


@contextlib.contextmanager
def viewing(*arguments, **environment):
    """`fourdhands view` as a process: (its address, the process); it is ended afterwards, and told no traceback."""
    command = [sys.executable, "-m", "fourdhands_core.cli", "view", *arguments]
    process = begun(command, env={**os.environ, **environment})
    try:
        line = process.stdout.readline()
        assert line.startswith("open "), line + process.stderr.read()
        yield line.split()[1], process
    finally:
        process.terminate()
        _, said = process.communicate(timeout=PATIENT)
    assert "Traceback" not in said, said
