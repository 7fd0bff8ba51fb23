"""The course of a recording, events in it, its time line, and what is said of a moment."""

import re
from pathlib import Path

import numpy as np
import pytest
from view_support import PERIOD, hand, moving, pair

from fourdhands_core import teleop
from fourdhands_core.hand_model.skeleton import TIP_JOINTS
from fourdhands_core.pipeline.types import ABSENT, HELD
from fourdhands_core.view import events, robots
from fourdhands_core.view.moments import KEPT, NOT_SEEN, SEEN, UNKNOWN, Course, Moment, flexion, pinch, words
from fourdhands_core.view.timeline import bands, thinned, with_cursor


def course_of(pairs, rejected=None):
    course = Course()
    for i, one in enumerate(pairs):
        course.add(Moment(one, rejected=rejected[i] if rejected else 0))
    return course


def test_a_course_grows_and_keeps_its_rows():
    pairs = moving(300)
    course = course_of(pairs)
    assert len(course) == course.read == 300
    np.testing.assert_array_equal(course.stamp, [one.stamp for one in pairs])
    np.testing.assert_allclose(course.joints[123, 1], pairs[123].right.joints, atol=1e-6)
    assert course.state[19:31, 0].tolist() == [SEEN, *[KEPT] * 3, *[NOT_SEEN] * 7, SEEN]
    assert np.isnan(course.joints[20:30, 0]).all()  # never a held hand's


def test_a_course_of_known_length_is_filled_in_any_order():
    course = Course(np.arange(10) * PERIOD)
    assert (course.state == UNKNOWN).all() and course.read == 0
    for row in (7, 7, 2):
        course.fill(row, Moment(pair(row * PERIOD + 5, right=hand(1))))
    assert course.read == 2 and course.stamp[7] == 7 * PERIOD and course.taken[7] == 7 * PERIOD + 5
    assert not len(events.find(course, events.LOSS))  # what has not been read is no loss


def test_events():
    pairs = moving(60)
    pairs = [one for i, one in enumerate(pairs) if i not in (50, 51, 52, 53)]
    rejected = [0] * 40 + [2] * 16
    course = course_of(pairs, rejected)
    assert events.find(course, events.LOSS).tolist() == [20]
    assert events.find(course, events.REFUSAL).tolist() == [40]
    assert events.find(course, events.GAP).tolist() == [50]
    assert events.find(course, events.EXCHANGE).tolist() == []
    assert events.describe(course, events.LOSS, 20) == "left lost"
    assert events.describe(course, events.REFUSAL, 40) == "2 images refused"
    assert events.describe(course, events.GAP, 50) == "0.17 s without images"
    assert events.following(course, events.LOSS, 0) == 20 and events.following(course, events.LOSS, 20) is None
    assert events.following(course, events.LOSS, 30, backwards=True) == 20


@pytest.mark.parametrize("only", [None, 0, 1])
def test_an_exchange_is_found(only):
    """Both hands, or the one that is left, where the other was; not where they meet, nor after a long time."""
    pairs = moving(40, lost=range(0))
    for i in range(20, 40):
        left, right = pairs[i].hands
        a, b = hand(0, right.joints[0]), hand(1, left.joints[0])
        pairs[i] = pair(pairs[i].stamp, None if only == 1 else a, None if only == 0 else b)
    assert events.find(course_of(pairs), events.EXCHANGE).tolist() == [20]
    late = [*pairs[:20], *(pair(one.stamp + 10**9, one.left, one.right) for one in pairs[20:])]
    assert events.find(course_of(late), events.EXCHANGE).tolist() == []


def test_hands_that_meet_are_no_exchange():
    near = [pair(i * PERIOD, hand(0, (0.02, 0, 0.5)), hand(1, (-0.02, 0, 0.5))) for i in range(2)]
    crossed = [pair((2 + i) * PERIOD, hand(0, (-0.02, 0, 0.5)), hand(1, (0.02, 0, 0.5))) for i in range(2)]
    assert not len(events.find(course_of([*near, *crossed]), events.EXCHANGE))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_short_courses(count):
    course = course_of(moving(count))
    for kind in events.KINDS:
        assert events.following(course, kind, 0) is None
    assert with_cursor(bands(course), len(course), 0).startswith("<svg")


def test_measures():
    joints = np.zeros((21, 3))
    for finger in range(5):
        joints[1 + 4 * finger : 5 + 4 * finger, 0] = np.arange(1, 5)
    np.testing.assert_allclose(flexion(joints), 0.0, atol=1e-6)
    joints[8] = joints[7] + [0, 1, 0]
    np.testing.assert_allclose(flexion(joints), [0, np.pi / 2, 0, 0, 0], atol=1e-6)
    joints[TIP_JOINTS[0]], joints[TIP_JOINTS[1]] = (0, 0, 0), (0, 0.03, 0.04)
    assert pinch(joints) == pytest.approx(0.05)
    assert flexion(hand(1, bend=0.4).joints)[1] > flexion(hand(1, bend=0.1).joints)[1] > flexion(hand(1).joints)[1] - 1e-6


def test_words():
    both = pair(0, hand(0, state=HELD), hand(1))
    lines = words(Moment(both, dropped=3, rejected=1, notes=("a note",)))
    assert lines[0] == "left HELD, seen 0.10 s ago" and re.match(r"right TRACKED, confidence 0.90, 0.51 m away", lines[1])
    assert lines[2:] == ["Scaled: positions are metres.", "3 images dropped for newer ones, 1 refused.", "a note"]
    assert words(Moment(pair(0, hand(0, state=ABSENT)))) == ["left ABSENT", "right ABSENT"]


def test_the_time_line_shows_a_single_lost_image():
    course = Course(np.arange(5000) * PERIOD)
    course.state[:] = SEEN
    course.state[2500, 0] = NOT_SEEN
    svg = with_cursor(bands(course), 5000, 100)
    assert svg.count("M") == 3 + 1 + 1 and "M500 0h1v" in svg  # left in three parts, right in one, the cursor
    course.state[::20] = NOT_SEEN
    assert len(with_cursor(bands(course), 5000, 100)) < 20_000  # it is sent with each picture
    assert thinned(10).tolist() == list(range(10)) and len(thinned(10**6)) == 800


def test_a_robots_reasons_and_limits_all_have_words():
    """Of each that teleoperation names in its code, and of each limit that docs/teleoperation.md lists."""
    folder = Path(teleop.__file__).parent
    named = re.findall(r'"([a-z]+(?:_[a-z]+)+)"', (folder / "senses.py").read_text() + (folder / "step.py").read_text())
    assert {*named} <= robots._REASONS.keys()
    text = (folder.parents[1] / "docs" / "teleoperation.md").read_text()
    limits = re.search(r"which limit acts \(`limits`\):(.*?)[;.]", text, re.DOTALL)[1]
    assert {*re.findall(r"`(\w+)`", limits)} == robots._LIMITS.keys()
