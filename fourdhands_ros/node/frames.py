"""Where the cameras stand at an image's stamp: from tf2 where it is installed, else from a buffer of this package's."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from rclpy.clock import JumpHandle, JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time

from fourdhands_core.geometry.rigid import Rigid
from fourdhands_core.geometry.rotations import matrix_from_quaternion

from ..convert.transforms import AHEAD, TransformBuffer, TransformError, going_on
from .polling import frame_topics

_DEPTH = 1000
"""Messages on /tf between two looks at it that are not lost."""


class Frames(Protocol):
    """Knows where frames stand."""

    def lookup(self, target: str, source: str, stamp: int) -> Rigid:
        """Where `source` stood in `target` at a stamp, nanoseconds. Raises TransformError."""

    def destroy(self) -> None:
        """Close the topics."""


def watch_frames(node: Node) -> Frames:
    """tf2's listener on a node, or this package's where there is no tf2."""
    try:
        tf2 = importlib.import_module("tf2_ros")  # by name: ROS from PyPI has none
    except ImportError:
        return TopicFrames(node)
    return Tf2Frames(node, tf2)


def when_time_goes_back(node: Node, forget: Callable[[], None]) -> JumpHandle:
    """Call `forget` where /clock goes back, as where a simulation or a bag begins anew; tf2's own buffers do so from a second
    on, where they are told of the node."""
    threshold = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=True)
    return node.get_clock().create_jump_callback(threshold, post_callback=lambda _: forget())


class TopicFrames:
    """/tf and /tf_static into a TransformBuffer, read when asked. May be asked by several threads."""

    def __init__(self, node: Node) -> None:
        self.buffer = TransformBuffer()
        self._topics = frame_topics(node, _DEPTH)
        self._jumps = when_time_goes_back(node, self._forget)

    def lookup(self, target: str, source: str, stamp: int) -> Rigid:
        """Where `source` stood in `target` at a stamp, nanoseconds. Raises TransformError."""
        self._read()
        return self.buffer.lookup(target, source, stamp)

    def _read(self) -> None:
        for static, topic in enumerate(self._topics):
            for data, _ in topic.take():
                self.buffer.put(data, bool(static))

    def _forget(self) -> None:
        self._read()  # what has come until now is of before
        self.buffer.clear()

    def destroy(self) -> None:
        """Close the topics."""
        self._jumps.unregister()
        for topic in self._topics:
            topic.destroy()


class Tf2Frames:
    """tf2_ros' buffer, filled by its listener in the node's executor. tf2: the module tf2_ros."""

    def __init__(self, node: Node, tf2: Any) -> None:
        self._tf2, self._buffer = tf2, tf2.Buffer()
        self._listener = tf2.TransformListener(self._buffer, node)
        self._jumps = when_time_goes_back(node, self._buffer.clear)

    def lookup(self, target: str, source: str, stamp: int) -> Rigid:
        """Where `source` stood in `target` at a stamp, nanoseconds; as it moved on from its newest pose where that is a little
        older. Raises TransformError."""
        target, source = target.lstrip("/"), source.lstrip("/")
        try:
            try:
                return self._at(target, source, stamp)[0]
            except self._tf2.ExtrapolationException:
                last, newest = self._at(target, source, 0)
                beyond = stamp - newest
                if abs(beyond) > AHEAD * 1e9:
                    raise
            with contextlib.suppress(self._tf2.ExtrapolationException):  # there is nothing before it
                return going_on(self._at(target, source, newest - abs(beyond))[0], last, abs(beyond), beyond)
            return last
        except self._tf2.TransformException as error:
            raise TransformError(f"no transform from {source} to {target} at the image's stamp: {error}") from error

    def _at(self, target: str, source: str, stamp: int) -> tuple[Rigid, int]:
        """A pose and its stamp; the newest at stamp 0."""
        found = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp))
        place, turn = found.transform.translation, found.transform.rotation
        pose = Rigid(matrix_from_quaternion(np.array((turn.x, turn.y, turn.z, turn.w))), np.array((place.x, place.y, place.z)))
        return pose, found.header.stamp.sec * 1_000_000_000 + found.header.stamp.nanosec

    def destroy(self) -> None:
        """Close the topics."""
        self._jumps.unregister()
        self._listener.unregister()
