"""Where frames stood at a time, from /tf and /tf_static: tf2's buffer in a few lines, for ROS 2 from PyPI, which lacks it."""

from __future__ import annotations

import contextlib
import itertools
import threading
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from fourdhands_core.errors import FourDHandsError
from fourdhands_core.geometry.rigid import Rigid
from fourdhands_core.geometry.rotations import matrix_from_quaternion

from ..pypi.message_types import TFMessage, deserialize

KEPT = 10.0
"""Seconds of moving frames that are kept: tf2's own default."""
_KEPT_NS = int(KEPT * 1e9)
_BACK_NS = 2_000_000_000
"""Nanoseconds by which stamps go back where their clock was set back, as of a simulation that began anew: what moves is then
elsewhere than it was at these stamps before."""
AHEAD = 0.05
"""Seconds beyond a frame's last pose for which it is taken to go on as it moved: an image is often fused before /tf has its
moment, and where a camera was 0.03 s before is 10 mm beside where it is on an arm."""
_FASTEST = 3.0, 6.0
"""Metres and radians a second that a camera moves at most; what goes faster jumps, as a map's origin does, and goes nowhere."""
_DEEPEST = 100
"""Frames between a frame and its root; where there are more, they go in a circle."""


class TransformError(FourDHandsError):
    """Where a frame stood at a time is not known; says which and why."""


@dataclass
class _Moving:
    """A frame's poses in its parent, in the order of their stamps, nanoseconds. aside: one whose stamp is far from the others',
    until the next is so too: a wrong stamp must not push all the others out, and two times are not to be mixed. It holds at its
    own time all the same, as where a frame's poses seldom come."""

    stamps: list[int] = field(default_factory=list)
    poses: list[Rigid] = field(default_factory=list)
    aside: tuple[int, Rigid] | None = None

    def put(self, stamp: int, pose: Rigid) -> None:
        if self.stamps and not -_BACK_NS <= stamp - self.stamps[-1] <= _KEPT_NS:
            if self.aside is None:
                self.aside = stamp, pose
                return
            self.stamps, self.poses = [self.aside[0]], [self.aside[1]]
        self.aside = None
        place = bisect_right(self.stamps, stamp)
        if place and self.stamps[place - 1] == stamp:
            self.poses[place - 1] = pose
            return
        self.stamps.insert(place, stamp)
        self.poses.insert(place, pose)
        old = bisect_right(self.stamps, self.stamps[-1] - _KEPT_NS)
        del self.stamps[:old], self.poses[:old]

    def at(self, stamp: int, tolerance: float | None) -> Rigid | float:
        """The pose at a time; seconds between the time and the nearest pose where that is too far beyond the first or the last.
        tolerance: see TransformBuffer.lookup."""
        most = AHEAD if tolerance is None else tolerance
        if self.aside is not None and abs(stamp - self.aside[0]) <= most * 1e9:
            return self.aside[1]
        after = bisect_right(self.stamps, stamp)
        if 0 < after < len(self.stamps):
            before, later = self.stamps[after - 1 : after + 1]
            return self.poses[after - 1].towards(self.poses[after], (stamp - before) / (later - before))
        nearest = min(after, len(self.stamps) - 1)
        away = abs(stamp - self.stamps[nearest]) * 1e-9
        if away <= most:
            return self.poses[nearest] if after == 0 or tolerance is not None else self._ahead(stamp - self.stamps[-1])
        return min(away, abs(stamp - self.aside[0]) * 1e-9) if self.aside is not None else away

    def _ahead(self, beyond: int) -> Rigid:
        """The pose so many nanoseconds after the last one, by the motion of as long a time before it, or more."""
        earlier = max(bisect_right(self.stamps, self.stamps[-1] - beyond) - 1, 0)
        return going_on(self.poses[earlier], self.poses[-1], self.stamps[-1] - self.stamps[earlier], beyond)


def going_on(first: Rigid, last: Rigid, passed: int, beyond: int) -> Rigid:
    """Where a frame is `beyond` nanoseconds after its last pose, `passed` after the first, where it goes on as it moved."""
    moved = float(np.linalg.norm(last.position - first.position)), first.angle_to(last)
    if any(one * 1e9 >= most * passed for one, most in zip(moved, _FASTEST)):
        return last
    return first.towards(last, 1.0 + beyond / passed)


class TransformBuffer:
    """The transforms of /tf and /tf_static, and where any frame stood in any other at a time. For several threads.

    `put` takes serialised messages, as a subscription with raw=True gives them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parents: dict[str, str] = {}
        self._static: dict[str, Rigid] = {}
        self._moving: dict[str, _Moving] = defaultdict(_Moving)

    def put(self, data: bytes, static: bool = False) -> bool:
        """Take in a serialised TFMessage; static: it came on /tf_static. False where it is none."""
        try:
            transforms = deserialize(data, TFMessage).transforms
        except Exception:  # rclpy's and rosbags' own, for what is no TFMessage
            return False
        for one in transforms:
            place, turn = one.transform.translation, one.transform.rotation
            quaternion, position = np.array((turn.x, turn.y, turn.z, turn.w)), np.array((place.x, place.y, place.z))
            if not np.isfinite(position).all() or not 0.9 < float(np.linalg.norm(quaternion)) < 1.1:
                continue  # as tf2 does
            pose = Rigid(matrix_from_quaternion(quaternion), position)
            stamp = one.header.stamp.sec * 1_000_000_000 + one.header.stamp.nanosec
            self.set(one.header.frame_id, one.child_frame_id, pose, None if static else stamp)
        return True

    def set(self, parent: str, child: str, pose: Rigid, stamp: int | None = None) -> None:
        """child stands in parent like this, at a stamp in nanoseconds; None for always."""
        parent, child = parent.lstrip("/"), child.lstrip("/")
        if not parent or not child or parent == child:
            return
        with self._lock:
            if self._parents.get(child, parent) != parent:  # it hangs elsewhere now
                self._moving.pop(child, None)
            self._parents[child] = parent
            if stamp is None:
                self._static[child] = pose
            else:
                self._static.pop(child, None)
                self._moving[child].put(stamp, pose)

    def clear(self) -> None:
        """Forget all poses of moving frames, as where a clock went back; what is static holds on, as in tf2."""
        with self._lock:
            for child in self._moving:
                if child not in self._static:
                    self._parents.pop(child, None)
            self._moving.clear()

    def newest(self, target: str, source: str) -> int | None:
        """The stamp, nanoseconds, of the last pose that all moving frames between two have; None where none moves, or they are
        not connected."""
        with self._lock, contextlib.suppress(TransformError):
            between = itertools.chain(*self._ways(target.lstrip("/"), source.lstrip("/")))
            return min((self._moving[name].stamps[-1] for name in between if name not in self._static), default=None)
        return None

    def lookup(self, target: str, source: str, stamp: int, tolerance: float | None = None) -> Rigid:
        """Where `source` stood in `target` at a stamp, nanoseconds; moving frames are interpolated.

        tolerance: seconds beyond a moving frame's first or last pose for which that is taken; without it 0.05 s, for which a
        frame goes on as it moved. Raises TransformError.
        """
        target, source = target.lstrip("/"), source.lstrip("/")
        with self._lock:
            down, up = (self._along(way, stamp, tolerance) for way in self._ways(target, source))
            return down.inverse() @ up

    def above_both(self, target: str, source: str) -> str:
        """The first frame that both hang on. Raises TransformError."""
        target, source = target.lstrip("/"), source.lstrip("/")
        with self._lock:
            down, _ = self._ways(target, source)
            return self._chain(target)[len(down)]

    def _ways(self, target: str, source: str) -> tuple[list[str], list[str]]:
        """The frames from each of the two up to the first that is above both, without that. Raises TransformError."""
        down, up = self._chain(target), self._chain(source)
        common = next((name for name in up if name in down), None)
        if common is None:
            unknown = [name for name in (target, source) if name not in {*self._parents, *self._parents.values()}]
            raise TransformError(
                f"no transform from {source} to {target} is on /tf: "
                + (f"no frame is called {' or '.join(unknown)}" if unknown else "they are in two trees")
            )
        return down[: down.index(common)], up[: up.index(common)]

    def _chain(self, name: str) -> list[str]:
        chain = [name]
        while (parent := self._parents.get(chain[-1])) is not None:
            chain.append(parent)
            if len(chain) > _DEEPEST:
                raise TransformError(f"the frames on /tf above {name} go in a circle")
        return chain

    def _along(self, way: list[str], stamp: int, tolerance: float | None) -> Rigid:
        pose = Rigid()
        for name in way:
            step = self._static.get(name) or self._moving[name].at(stamp, tolerance)
            if not isinstance(step, Rigid):
                raise TransformError(
                    f"the pose of {name} in {self._parents[name]} on /tf is {step:.3f} s away from the image's stamp"
                )
            pose = step @ pose
        return pose
