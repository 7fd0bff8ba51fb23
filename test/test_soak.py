"""benchmarks/soak.py: its sums of memory and its slopes on what is known; a soak of seconds with the real node."""

import importlib.util
import mmap
import os
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ros_domain import process_domain

pytest.importorskip("rclpy", reason="the soak needs ROS 2 (pip install 'fourdhands[ros]')")

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "soak.py"
spec = importlib.util.spec_from_file_location("soak", SCRIPT)
soak = importlib.util.module_from_spec(spec)
spec.loader.exec_module(soak)


def test_memory_that_is_taken_is_seen():
    before = soak.memory(os.getpid())
    with mmap.mmap(-1, 50 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as taken:
        taken.write(b"x" * (50 << 20))
        after = soak.memory(os.getpid())
    for kind in ("rss", "own"):
        assert 45.0 < after[kind] - before[kind] < 110.0, kind  # and what was written from
    assert 0.0 < before["own"] < before["rss"] and before["threads"] >= 1


def test_a_file_in_memory_is_nobodys_own(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * (50 << 20))
    before = soak.memory(os.getpid())
    with (tmp_path / "file").open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert mapped[::4096].count(b"x") == 50 << 8
        after = soak.memory(os.getpid())
    assert after["rss"] - before["rss"] > 45.0 and after["own"] - before["own"] < 25.0  # half of it


def test_the_slope_is_that_of_the_line_under_noise_and_outliers():
    hours = np.linspace(0.0, 0.2, 300)
    values = 600.0 + 12.0 * hours + np.random.default_rng(0).normal(0.0, 0.05, 300)
    values[::50] += 40.0
    found = soak.slope(hours, values)
    assert found["low"] - 0.1 < 12.0 < found["high"] + 0.1 and abs(found["per_hour"] - 12.0) < 0.5


def test_a_soak_of_seconds(real_data, monkeypatch):
    """By a clock of the images: a thirtieth of a second for each whose hands come, however long that takes."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(process_domain()))
    images, end = 0, time.monotonic() + 600.0

    def at():  # the soak asks once an image, for its age
        nonlocal images
        images += 1
        return time.time()

    def monotonic():
        assert time.monotonic() < end, "no more hands come"
        return images / 30.0

    monkeypatch.setattr(soak, "time", SimpleNamespace(time=at, monotonic=monotonic))
    result = soak.soak(real_data / "video" / "two_hands.mp4", minutes=0.08, warm_up=0.02, period=0.5)
    assert result["published"] >= 0.08 * 60 * 30 and result["valid"] > 0.5 * result["published"]
    assert 80.0 < result["own"]["quarters"][-1] <= result["rss"]["quarters"][-1] < 3000.0
    assert result["age_p50_ms"]["quarters"][0] > 0.0
