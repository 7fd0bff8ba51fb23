"""When images that did not come are asked for reliably: what was due by CameraInfo, the middleware or the stamps."""

import numpy as np
import pytest
from ros_support import PERIOD, SECOND, T0

from fourdhands_ros.node.delivery import EVIDENCE, Interval, Spacing


@pytest.mark.parametrize(
    "interval, due, short, starved",
    [
        (Interval(2.0, 60, infos=60), 60, False, False),
        (Interval(2.0, 55, infos=60), 60, False, False),  # one in twelve
        (Interval(2.0, 50, infos=60), 60, True, False),
        (Interval(2.0, 14, infos=60), 60, True, True),
        (Interval(2.0, 0, infos=60, paired=True), 60, True, True),
        (Interval(2.0, 40, lost=20), 60, True, False),  # the middleware tells
        (Interval(2.0, 14, lost=46, spaced=50), 60, True, True),
        (Interval(2.0, 14, spaced=60), 60, True, True),  # neither CameraInfo nor the middleware tell: the stamps do
        (Interval(2.0, 60, infos=2), 60, False, False),  # CameraInfo now and then only
        (Interval(2.0, 3, infos=9), 9, False, False),  # too few to say anything
        (Interval(10.0, 4, lost=6), 10, True, True),  # a slow camera, watched for longer
        (Interval(8.0, 0, silent=8.0), 0, False, True),  # some came, then none; or none ever
        (Interval(8.0, 2, spaced=2, silent=5.0), 2, False, True),
        (Interval(5.0, 14, spaced=14, silent=3.5), 14, False, True),  # it stopped in the middle
        (Interval(2.0, 0, silent=2.0), 0, False, False),  # not yet
        (Interval(9.0, 0, silent=90.0, paired=True), 0, False, False),  # CameraInfo is silent as well: a pause
        (Interval(9.0, 0, infos=9, silent=90.0, paired=True), 9, False, False),
        (Interval(10.0, 0, infos=10, silent=90.0, paired=True), 10, True, True),
    ],
)
def test_what_is_due_and_whether_it_came(interval, due, short, starved):
    assert (interval.due, interval.short, interval.starved) == (due, short, starved)
    assert interval.conclusive == (due >= EVIDENCE) and interval.paused == (interval.paired and due == 0)


@pytest.mark.parametrize(
    "interval, sure",
    [
        (Interval(2.0, 40, lost=20), True),
        (Interval(2.0, 40, infos=60), True),
        (Interval(2.0, 40, spaced=60), False),
        (Interval(2.0, 60, infos=60), False),
    ],
)
def test_only_what_a_restless_camera_would_not_bring_about_is_a_warning(interval, sure):
    assert interval.surely_short == sure


def arriving(gaps, keep) -> Spacing:
    spacing = Spacing()
    for stamp, kept in zip(T0 + np.cumsum(np.int64(gaps)), keep):
        if kept:
            spacing.add(int(stamp))
    return spacing


@pytest.mark.parametrize("kept", [1.0, 0.75, 0.5, 0.25])
@pytest.mark.parametrize("jitter", [0.0, 0.05, 0.1])
def test_spacing_tells_how_many_were_sent(kept, jitter):
    """Also where stamps are those of arrival, give or take a tenth of a period."""
    rng = np.random.default_rng(0)
    stamps = np.arange(600) * PERIOD + rng.uniform(-jitter, jitter, 600) * PERIOD
    keep = rng.random(600) < kept
    spacing = arriving(np.diff(stamps, prepend=0), keep)
    assert spacing.count() == pytest.approx(600, rel=0.12)
    spacing.forget()
    assert spacing.count() == 0
    for i in range(1, 5):  # few are left: the period is known from before
        spacing.add(int(T0 + stamps[-1] + 10 * i * PERIOD))
    assert spacing.count() == pytest.approx(40, abs=8)


def test_spacing_of_a_camera_that_hands_over_two_images_at_once():
    gaps = np.tile([SECOND // 1000, 2 * PERIOD - SECOND // 1000], 50)
    assert arriving(gaps, np.ones(100, bool)).count() == pytest.approx(100, rel=0.1)


@pytest.mark.parametrize("gaps", [[0] * 50, [-PERIOD] * 50, [30 * SECOND] * 50, [PERIOD] * 5])
def test_spacing_that_says_nothing(gaps):
    """Stamps that stand still, run backwards or come after pauses, and too few of them."""
    assert arriving(gaps, np.ones(len(gaps), bool)).count() == 0


@pytest.mark.parametrize("seed", range(5))
def test_spacing_of_a_camera_that_is_not_steady(seed):
    """Images when something moves, or of a driver that catches up: nothing is missing, and nothing is said to be."""
    rng = np.random.default_rng(seed)
    at_will = np.int64(rng.uniform(0.001, 0.5, 200) * SECOND)
    catching_up = np.where(rng.random(200) < 0.5, 5 * 10**6, np.int64(rng.uniform(0.02, 0.2, 200) * SECOND))
    for gaps in (at_will, catching_up):
        assert arriving(gaps, np.ones(200, bool)).count() <= 220


def test_a_camera_that_slows_down_is_not_a_lossy_one():
    """Half the rate in a dark room: the interval in between counts as short, the next one does not."""
    spacing = arriving([PERIOD] * 60, np.ones(60, bool))
    spacing.count()
    spacing.forget()
    for i in range(30):
        spacing.add(T0 + 60 * PERIOD + 2 * i * PERIOD)
    assert spacing.count() == pytest.approx(30, abs=2)
