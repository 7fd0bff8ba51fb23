"""The demo's time waits for everybody, and comes to the same however long each takes on the wall."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="the demo needs ROS 2 (pip install 'fourdhands[ros]')")

from fourdhands_ros.tools.demo_clock import ANSWER, TICK, DemoClock

START, PERIOD = 1_700_000_000_000_000_000, 66_666_667


def played(takes, images=6, answering=True, gap=0):
    """Who does what at which of the clock's times, where each takes so many seconds on the wall, drawn anew by `takes`."""
    heard, pending, seen, wall = [], [], [], 0.0

    def after(name, stamp):
        pending.append((wall + takes(name), name, stamp))

    def say(now):
        if heard and heard[-1] == now:
            return
        heard.append(now)
        after("robot", now)
        after("teleoperation", now)
        due = START + len(seen) * PERIOD + gap * (len(seen) > 2)
        if len(seen) < images and now >= due:
            seen.append(due)
            after("camera", due)

    clock = DemoClock(say, START, PERIOD)
    clock.following = clock.playing = True
    log = []
    while len(seen) < images or clock.now < seen[-1] + 2 * PERIOD:
        wall += 0.0005
        for one in sorted(one for one in pending if one[0] <= wall):
            pending.remove(one)
            _, name, stamp = one
            log.append((name, stamp, clock.now))
            if name == "robot":
                clock.robot = stamp
            elif name == "teleoperation":
                clock.command = stamp
            elif name == "hands":
                clock.answer = stamp
            else:
                clock.image(stamp)
                clock.playing = len(seen) < images
                if answering:
                    after("hands", stamp)
        clock.go_on(wall)
        assert wall < 60.0
    return clock, heard, log, wall


@pytest.mark.parametrize("slow", [0.0005, 0.02, 0.3])
def test_nobody_is_late_however_long_they_take(slow):
    rng = np.random.default_rng(0)
    clock, heard, log, wall = played(lambda name: rng.uniform(0.0, slow))
    assert np.diff(heard).min() == np.diff(heard).max() == TICK
    for name, stamp, now in log:
        if name in ("robot", "teleoperation"):
            assert now == stamp
        else:
            assert 0 <= now - stamp <= (ANSWER if name == "hands" else TICK) + TICK
    assert wall + 1e-6 > (heard[-1] - heard[0]) * 1e-9
    assert clock.slowed == pytest.approx(wall - (heard[-1] - heard[0]) * 1e-9, abs=0.1)


def test_it_goes_on_where_somebody_never_answers():
    """A file may lack an image, for which it waits a moment; an answer that does not come is waited for ten seconds."""
    clock, heard, _, wall = played(lambda name: 0.001, gap=3 * PERIOD)
    assert clock.now > START + 9 * PERIOD and wall < 4.0
    clock, heard, _, wall = played(lambda name: 0.001, images=1, answering=False)
    assert clock.now >= START + 2 * PERIOD and wall > 10.0
