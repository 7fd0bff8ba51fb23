"""The examples that need no ROS, run as a user runs them."""

import re

import numpy as np
import pytest
from program_support import python

from fourdhands_core.media.clips import demo_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A second of two rendered hands."""
    return demo_clip(tmp_path_factory.mktemp("clip"), seconds=1.0, size=(320, 240))


@pytest.mark.parametrize("with_fov", [True, False])
def test_video(clip, with_fov):
    fov = np.degrees(2 * np.arctan(clip.camera.width / 2 / clip.camera.matrix[0, 0]))
    done = python("examples/video.py", clip.video, *([fov] if with_fov else []))
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"([\d.]+) s  (left|right) wrist at (\S+) (\S+) (\S+) m( \(not scaled\))?\n", done.stdout)
    assert {side for _, side, *_ in lines} == {"left", "right"}
    assert all(bool(mark) != with_fov for *_, mark in lines)
    if with_fov:
        stamps, truth, off = clip.truth["stamp"], clip.truth["joints"], []
        for time, side, *position, _ in lines:
            frame = np.abs(stamps - float(time) * 1e9).argmin()
            wrist = truth[frame, ("left", "right").index(side), 0]
            off.append(np.linalg.norm(wrist - np.array(position, float)) / np.linalg.norm(wrist))
        known = np.array(off)[np.isfinite(off)]  # the first images show too little of a hand for the truth to count it
        assert len(known) > 20 and np.median(known) < 0.25  # the hands' size is a guess
