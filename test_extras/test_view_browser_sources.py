"""Datasets and bags in a real Chromium: hands and pictures, choice of episodes, and what is missing or damaged in words."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: make test-extras")
pytest.importorskip("av", reason="the extra dataset is not installed")
from bag_support import write_bag
from browser_support import Tab, browser, needs_chromium, viewing  # noqa: F401 (a fixture)
from view_bag_support import KINDS, two_cameras

from fourdhands_core.cli import main

pytestmark = needs_chromium


def picture(number):
    """Its half is bright, the left one or the right one by turns."""
    image = np.full((48, 64, 3), 30, np.uint8)
    image[:, slice(0, 32) if number % 2 else slice(32, 64)] = 230
    return image


def bright_half(scene):
    """Whether the left half of the scene's middle is brighter."""
    middle = scene[scene.shape[0] // 2 - 40 : scene.shape[0] // 2 + 40].mean(axis=(0, 2))
    return middle[20:120].mean() - middle[-120:-20].mean()


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """Two episodes: the left hand is lost in the middle."""
    return write_bag(tmp_path_factory.mktemp("bag") / "cup", two_cameras(60, picture, range(40, 45)), KINDS, chunk=20)


def export(bag, out, form):
    given = ["--topic", "/left/hands", "--min-seconds", "0.3", "--task", "put it away", "--format", form, "--quiet"]
    assert main(["episodes", "export", str(bag), "--out", str(out), *given]) == 0
    return out


@pytest.mark.parametrize("form", ["lerobot", "npz"])
def test_a_dataset(browser, bag, tmp_path, form):
    """Pictures change with the rows, another episode is chosen in the page; of a video that is missing that is said."""
    dataset = export(bag, tmp_path / "cups", form)
    videos = sorted(dataset.rglob("*.mp4"))
    if form == "npz":  # a video for each episode
        videos[1].unlink()
    with viewing(dataset, "--port", "0") as (url, _):
        tab = Tab(browser, url)
        tab.says("Task: put it away.")
        tab.says("episode 0 of 2")
        tab.press("Look through the camera")
        tab.show_only("Image")
        even = tab.wait_for(lambda scene: abs(bright_half(scene)) > 100)
        tab.press("forward")
        tab.says("image 1 of ")
        tab.wait_for(lambda scene: bright_half(scene) * bright_half(even) < -1e4)
        tab.page.get_by_label("Episode").click()
        tab.page.get_by_role("option").nth(1).click()
        tab.says("episode 1 of 2")
        if form == "npz":
            tab.says("is not there; export the dataset again")
        tab.says("left TRACKED")
        assert tab.wrong == [] and tab.asked == {"localhost"}
        tab.close()


def test_a_bag_that_ends_in_the_middle(browser, bag, tmp_path):
    """What can be read is shown, all cameras, robot; that it is cut off is said."""
    cut = tmp_path / "cut"
    cut.mkdir()
    for file in bag.iterdir():
        data = file.read_bytes()
        (cut / file.name).write_bytes(data[: int(0.7 * len(data))] if file.suffix == ".mcap" else data)
    with viewing(cut, "--port", "0") as (url, _):
        tab = Tab(browser, url)
        tab.says("cut off")
        tab.says("/right/hands:")
        tab.press("forward")
        tab.says("image 1 of ")
        tab.says("/hands_teleop ENGAGED: the robot follows the right hand.")
        assert tab.wrong == [] and tab.asked == {"localhost"}
        tab.close()
