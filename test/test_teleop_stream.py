"""The stream of commands: each is told when it is due or later, as of then, and of what was known then."""

import threading
import time
from itertools import pairwise

import pytest

from fourdhands_ros.teleop.stream import Stream

PATIENT = 120.0
PERIOD = 0.02


class Steps:
    """told: (due, when it was told, what was asked for by then) of each step."""

    def __init__(self, slow=0.0, fails=None):
        self.told, self.asked, self.computed, self.slow, self.fails = [], 0, [], slow, fails
        self.ask_in_between, self.enough = set(), threading.Event()

    def compute(self, due):
        self.computed.append(due)
        made = due, self.asked
        if len(self.told) in self.ask_in_between:
            self.ask_in_between.remove(len(self.told))
            self.asked += 1
        return made

    def holds(self, made):
        return made[1] == self.asked

    def tell(self, made):
        if self.fails is not None and len(self.told) == 3:
            raise self.fails
        self.told.append((made[0], time.monotonic(), made[1]))

    def after(self, made):
        time.sleep(self.slow)
        if len(self.told) >= 12:
            self.enough.set()


def ran(steps):
    stream = Stream(PERIOD, steps)
    assert steps.enough.wait(PATIENT)
    stream.close()
    count = len(steps.told)
    time.sleep(3 * PERIOD)
    assert len(steps.told) == count and stream.error is None
    return steps.told


@pytest.mark.parametrize("slow", [0.0, 3 * PERIOD])
def test_steps_are_told_when_they_are_due_and_not_before(slow):
    told = ran(Steps(slow))
    assert all(at >= due for due, at, _ in told)
    assert all(after[0] - before[0] >= PERIOD - 1e-9 for before, after in pairwise(told))


def test_what_is_asked_for_after_a_step_was_computed_is_in_it():
    steps = Steps()
    steps.ask_in_between = {2, 5}
    told = ran(steps)
    assert [asked for _, _, asked in told[:7]] == [0, 0, 1, 1, 1, 2, 2]
    assert len(steps.computed) >= len(told) + 2


def test_what_ends_it_is_kept():
    steps = Steps(fails=ValueError("what"))
    stream = Stream(PERIOD, steps)
    stream._thread.join(PATIENT)
    assert stream.error is steps.fails and len(steps.told) == 3
    stream.close()
