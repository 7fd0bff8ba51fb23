"""The time of the demo of teleoperation: it goes on as soon as everybody has done what there was to do until then.

So on a busy computer the person, the camera and the robot become slow together, and nothing is late: what a robot in the
world could not wait for does not happen here either, and a seed comes to the same whatever else the computer does.
"""

from __future__ import annotations

from collections.abc import Callable

TICK = 10_000_000
"""Nanoseconds by which it goes on: the period of the robot's and of teleoperation's steps."""
ANSWER = 60_000_000
"""Nanoseconds that the hands of an image may take, as they do on a computer that has nothing else to do."""
_EARLY = 2_000_000
"""Nanoseconds by which an image may be stamped later than a period after the one before."""
_PATIENCE, _PATIENCE_FOR_IMAGE = 10.0, 0.3
"""Seconds on the wall after which it goes on without an answer; without an image, which may be missing in a file."""
_AGAIN = 0.1
"""Seconds on the wall after which it says the time again to those that it waits for, who may not have heard."""


class DemoClock:
    """Nanoseconds, from `start` on. say: publishes the time. period: between two images.

    robot, command, image, answer: the newest stamps of the robot's state, of what it was told, of images and of their hands.
    following: whether the robot is told something in each step. playing: whether images come. slowed: seconds that it stood
    still for others.
    """

    def __init__(self, say: Callable[[int], None], start: int, period: int) -> None:
        self._say, self._period = say, period
        self.now = start - start % TICK
        self.robot = self.command = self.answer = 0
        self._images: list[int] = []
        self._next_image: int | None = None
        self.following = self.playing = False
        self.slowed = 0.0
        self._ticked: float | None = None
        self._said = 0.0

    def image(self, stamp: int) -> None:
        """An image of that time was published."""
        self._images.append(stamp)
        self._next_image = stamp + self._period + _EARLY

    def waits_for(self) -> str:
        """Who has not yet done what there was to do until now; empty where all have."""
        self._images = [stamp for stamp in self._images if stamp > self.answer]
        if self.robot < self.now:
            return "robot"
        if self.following and self.command < self.now:
            return "teleoperation"
        if self._images and self._images[0] + ANSWER <= self.now:
            return "hands"
        if self.playing and self._next_image is not None and self._next_image <= self.now:
            return "camera"
        return ""

    def go_on(self, wall: float) -> None:
        """Say a new time if nobody is waited for, and no sooner than it passes on the wall, whose seconds `wall` are."""
        if self._ticked is not None:
            waited, missing = wall - self._ticked, self.waits_for()
            if waited < TICK * 1e-9:
                return
            if missing and waited < (_PATIENCE_FOR_IMAGE if missing == "camera" else _PATIENCE):
                if wall - self._said > _AGAIN:
                    self._tell(wall)
                return
            if missing == "camera":
                self._next_image = self.now + self._period
            elif missing == "hands":
                self._images.clear()
            self.slowed += waited - TICK * 1e-9
            self.now += TICK
        self._ticked = wall
        self._tell(wall)

    def _tell(self, wall: float) -> None:
        self._said = wall
        self._say(self.now)
