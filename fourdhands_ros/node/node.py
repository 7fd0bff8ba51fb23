"""The ROS 2 node: images of one camera or several in, both hands out."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.qos_overriding_options import QoSOverridingOptions

from fourdhands_core.errors import InputError
from fourdhands_core.pipeline.shape_calibration import load_shape
from fourdhands_core.pipeline.tracker import HandPairTracker
from fourdhands_core.streams import printable

from ..executable import end, program
from ..lifecycle import ActiveNode, open_publisher, run_node
from ..process import parse, run_ros
from .channel import Channel
from .frame_watch import FrameWatch
from .fusing import FusedChannel
from .parameters import Parameters, declare
from .quiet import PUBLISHES_QUIETLY
from .services import Services
from .usage import node_parser

_SWITCH_INTERVAL = 5e-4
"""Seconds that a thread may keep others from running Python; with Python's own 5 ms, looking for hands in the next image
waits for the arithmetic on the last one, which is over by then."""

_M_ARENA_MAX = -8
"""glibc's malloc.h."""


def create_tracker(parameters: Parameters) -> HandPairTracker:
    """The tracker that the node runs unless it is given another."""
    return HandPairTracker(parameters.tracker_settings())


class HandsNode(ActiveNode):
    """Tracks both hands in the images of one camera or several.

    Takes each camera's `image_raw` (or `image_raw/compressed`) and `camera_info`; publishes its `hands` (HandPair),
    `hands/markers` (MarkerArray), `hands/faces` (HandFaces, latched), `hands/debug_image` (and its `compressed`), and `/tf`
    and `/diagnostics`.
    Models, topics and threads exist while the node is active. The callbacks only pass messages on; decoding, tracking
    and publishing have threads of their own for each camera, which always take the newest image.

    tracker_factory: called with Parameters at activation, returns a HandPairTracker, whose `for_another_camera` makes the
    other cameras'. Other arguments are rclpy's. `channels`: one for each camera; empty while the node is not active.
    `fused`: what all of them together give, where that is asked for.
    Raises InputError where a parameter's given value is refused.
    """

    def __init__(
        self, tracker_factory: Callable[[Parameters], Any] = create_tracker, node_name: str = "hands", **kwargs: Any
    ) -> None:
        super().__init__(node_name, declare, **kwargs)
        self.parameters.tracker_settings().check_cameras(self.parameters.cameras)
        self.tracker_factory = tracker_factory
        self.channels: list[Channel] = []
        self.fused: FusedChannel | None = None
        Services(self)

    def _open(self, made: contextlib.ExitStack) -> str:
        """Load the model and open the topics."""
        made.callback(_return_memory)
        parameters = self.parameters
        trackers = self._make_trackers(made)
        policies = QoSOverridingOptions.with_default_policies()
        quiet: Any = {"qos_overriding_options": policies, "event_callbacks": PUBLISHES_QUIETLY}
        self._diagnostics = open_publisher(self, made, DiagnosticArray, "/diagnostics", **quiet)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # which goes on where a simulation's stands still
        timer = self.create_timer(parameters.diagnostics_period, self._publish_diagnostics, clock=steady)
        made.callback(self.destroy_timer, timer)
        self._frame_watch = FrameWatch(self)
        made.callback(self._frame_watch.destroy)
        if parameters.fusion:  # before the cameras: where these end, what they have in work is fused too
            made.callback(setattr, self, "fused", None)
            tracker = trackers[0]
            self.fused = FusedChannel(self, parameters, tracker)
            made.callback(self.fused.close)
            if tracker.betas is not None:
                self.fused.set_shape(tracker.betas)
        channels: list[Channel] = []
        for camera, tracker in zip(parameters.cameras, trackers):
            channel = Channel(self, parameters, camera, tracker)
            made.callback(channel.close)
            if self.fused is not None:
                for other in channels:
                    if other.topic == channel.topic:
                        raise InputError(
                            f"{other.camera} and {camera} would both take {channel.topic}, and one image seen from two places "
                            f"makes up hands that are nowhere; map {camera}/image_raw to that camera's own images"
                        )
                channel.processor.fuse = functools.partial(self.fused.take, camera)
            channels.append(channel)
        self.channels = channels
        # What exists now lives as long as the node is active. Looking through all of it (400,000 objects, most of them the
        # libraries') for garbage stops every thread for 0.1 to 0.2 s, which is a hand's pose five frames late.
        gc.collect()
        gc.freeze()
        made.callback(gc.unfreeze)
        together = f", and in {self.fused}" if self.fused is not None else ""
        return f"tracking hands in {', '.join(map(str, self.channels))}{together}"

    def _make_trackers(self, made: contextlib.ExitStack) -> list:
        """A tracker for each camera, which know the person's hand shape where it was calibrated."""
        parameters = self.parameters
        path = Path(parameters.hand_shape)
        kept = load_shape(path, parameters.hand_name, parameters.fusion) if parameters.hand_shape and path.exists() else None
        trackers = [self.tracker_factory(parameters)]
        made.callback(trackers[0].close)
        if kept is not None:
            trackers[0].betas = kept
            self.get_logger().info(printable(f"the hands have the shape kept in {path}"))
        for _ in parameters.cameras[1:]:
            trackers.append(trackers[0].for_another_camera())
            made.callback(trackers[-1].close)
        return trackers

    def _release(self) -> None:
        self.channels = []
        super()._release()

    def _apply(self, parameters: Parameters) -> None:
        for channel in self.all_channels():
            channel.apply(parameters)

    def all_channels(self) -> list[Channel | FusedChannel]:
        """Those of the cameras, then `fused` where there is one."""
        return [*self.channels, *filter(None, [self.fused])]

    def _publish_diagnostics(self) -> None:
        channels = self.all_channels()
        shared = self._frame_watch.look(channel.outputs for channel in channels)
        array = DiagnosticArray(status=[channel.status(shared.get(channel.outputs, "")) for channel in channels])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)


def _return_memory() -> None:
    """What threads have freed glibc keeps: 0.6 MB more with each activation."""
    with contextlib.suppress(AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _share_memory() -> None:
    """One heap for all threads. With glibc's heap for each, every one fills up by what passes through it: a few MB an hour."""
    with contextlib.suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def main(args: list[str] | None = None, tracker_factory: Callable[[Parameters], Any] = create_tracker) -> int:
    """Run the node until SIGINT or SIGTERM. Returns the exit status: 0; 1 where it could not start."""
    prog = program("")
    _, command_line = parse(node_parser(prog), args)
    sys.setswitchinterval(_SWITCH_INTERVAL)
    _share_memory()
    return run_ros("hands", prog, command_line, lambda stop: run_node(HandsNode, stop, tracker_factory), failed=1)


if __name__ == "__main__":
    end(main())
