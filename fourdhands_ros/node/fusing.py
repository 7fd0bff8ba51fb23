"""The cameras' estimates into one, in the fixed frame: where each camera stands, what is published, what is told."""

from __future__ import annotations

import re
import threading
import time
from contextlib import ExitStack
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node

from fourdhands_core.fusion.fusion import Fused, HandFusion
from fourdhands_core.fusion.rig import Rig, load_rig
from fourdhands_core.fusion.shape import SharedShape
from fourdhands_core.fusion.views import View
from fourdhands_core.pipeline.tracker import HandPairTracker
from fourdhands_core.pipeline.types import HandPairEstimate

from .diagnostics import Statistics, diagnostic_status
from .frames import Frames, watch_frames
from .outputs import Outputs
from .parameters import Parameters
from .places import Places, Unplaced, check_named

_RECENT = 3.0
"""Seconds for which what was wrong with a camera's pose is told."""
_NUMBER = re.compile(r"(?<![\w.])\d+(\.\d+)?")
"""In a problem's words, of which each is logged once; digits of a name are none."""


class FusedChannel:
    """Publishes what all cameras see together, on the node's own `hands`, `hands/markers` and /tf.

    node: the rclpy node. tracker: a camera's, whose hand models are all cameras'. `take` is called by the cameras' threads.
    Raises InputError where the file of the cameras' poses is none, or lacks a camera.
    """

    def __init__(self, node: Node, parameters: Parameters, tracker: HandPairTracker) -> None:
        self._node = node
        self._rig: Rig | None = load_rig(parameters.camera_poses) if parameters.camera_poses else None
        if self._rig is not None:
            check_named(self._rig, parameters.cameras, parameters.camera_poses)
        self.frame = self._rig.frame(parameters.fixed_frame) if self._rig else parameters.fixed_frame
        self.fusion = HandFusion(tracker.assets, parameters.tracker_settings(), landmarks=tracker.landmarks)
        self.statistics = Statistics()
        self.name = f"{node.get_fully_qualified_name().lstrip('/')}: fused hands"
        self._lock, self._paused = threading.Lock(), False
        self._problems: dict[str, tuple[float, str]] = {}
        self._seen = dict.fromkeys(parameters.cameras, time.monotonic())
        self._told: set[str] = set()
        self._states, self._cameras = ("absent", "absent"), parameters.cameras
        with ExitStack() as made:
            frames: Frames | None = None
            if self._rig is None:
                frames = watch_frames(node)
                made.callback(frames.destroy)
            self._places = Places(self.frame, self._rig, frames)
            self.outputs = Outputs(node, parameters, tracker.faces, pictures=False)
            made.callback(self.outputs.destroy)
            self._made = made.pop_all()

    def __str__(self) -> str:
        return f"all of them together in {self.frame}"

    def take(self, camera: str, estimate: HandPairEstimate, frame_id: str, received: float) -> None:
        """A camera's estimate. frame_id: of its image. received: when the image came, time.perf_counter."""
        began = time.perf_counter()
        self.statistics.count_received()
        with self._lock:
            try:
                pose = self._places.pose(camera, frame_id, estimate)
            except Unplaced as error:
                self._refuse(camera, error.reason, str(error))
                return
            self._problems.pop(camera, None)
            self._seen[camera] = time.monotonic()
            assert estimate.rays is not None, "it is a single camera's"
            view = View(camera, pose, estimate, estimate.rays)
            for fused in self.fusion.add(view, self.outputs.wants_vertices):
                self._publish(fused, began, received)

    def _refuse(self, camera: str, reason: str, problem: str) -> None:
        self._problems[camera] = time.monotonic(), problem
        if self.statistics.count_refused(f"{camera}, {reason}", problem):
            self._node.get_logger().warning(f"{camera} is not fused ({reason}): {problem}; further images are counted only")

    def _publish(self, fused: Fused, began: float, received: float) -> None:
        statistics = self.statistics
        latency = {"transport": float("nan"), "fuse": time.perf_counter() - began}
        if not self.outputs.publish(fused.pair, self.frame, latency, received, statistics):
            return
        statistics.count_published(latency)
        left, right = (
            hand.state + (f", by {', '.join(cameras)}" if cameras else "")
            for hand, cameras in zip(fused.pair.hands, fused.pair.cameras)
        )
        self._states = left, right
        for camera, why in fused.left_out:
            statistics.count_event(f"estimates without {camera}: {why.split(':')[0]}")

    def reset(self) -> None:
        """Forget the past; images that are in work give no estimate of a stamp that is out."""
        with self._lock:
            self.fusion.reset(self.fusion.emitted)

    def pause(self, paused: bool) -> None:
        """As its cameras do: show nothing for a while, then begin anew."""
        if paused == self._paused:
            return
        self._paused = paused
        self.outputs.hide(paused)
        if not paused:
            self.reset()
            self._seen = dict.fromkeys(self._seen, time.monotonic())

    def begin_calibration(self) -> None:
        """Find the hands' shape anew, by what several cameras show together from now on."""
        with self._lock:
            self._before = self.fusion.known, self.fusion.memory.shape
            self.fusion.know(None)
            self.fusion.memory.shape = SharedShape()

    def end_calibration(self) -> SharedShape:
        """What was found since then; what was known before holds again."""
        with self._lock:
            found = self.fusion.memory.shape
            known, self.fusion.memory.shape = self._before
            self.fusion.know(known)
        return found

    def set_shape(self, betas: Any) -> None:
        """The hands' shape (10,) is known now."""
        with self._lock:
            self.fusion.know(betas)

    def apply(self, parameters: Parameters) -> None:
        """Use other values of the parameters that may change while the node runs."""
        self.outputs.apply(parameters)
        with self._lock:
            self.fusion.apply(parameters.tracker_settings())

    def status(self, frames_problem: str = "") -> DiagnosticStatus:
        """What happened since the last call."""
        now = time.monotonic()
        values, level, message = self.statistics.report()
        with self._lock:
            newest = max((view.stamp for view in self.fusion.newest()), default=0)
            problems = self.fusion.consistency.problems(newest)
            clocks = self.fusion.consistency.clocks()
            posed = {camera: words for camera, (when, words) in self._problems.items() if now - when < _RECENT}
            silent = [c for c in self._cameras if now - self._seen[c] > _RECENT and c not in posed]
        problems = [*posed.values(), *problems]
        if silent and len(silent) < len(self._cameras):
            problems.append(f"nothing comes from {', '.join(silent)}")
        values["fixed frame"], values["poses"] = self.frame, "file" if self._rig else "TF"
        values["left hand"], values["right hand"] = self._states
        for camera, (late, sigma) in clocks.items():
            values[f"{camera}: clock (ms)"] = f"{1e3 * late:+.0f} +- {1e3 * sigma:.0f}"
        if problems:
            values["problems"] = "; ".join(problems)
        if frames_problem:
            problems.append(frames_problem)
            values["conflict"] = frames_problem
        for problem in problems:
            kind = _NUMBER.sub("", problem)
            if kind not in self._told:
                self._told.add(kind)
                self._node.get_logger().warning(f"fusion: {problem}")
        if problems and level != DiagnosticStatus.ERROR:
            level, message = DiagnosticStatus.WARN, problems[0]
        if self._paused:
            level, message = DiagnosticStatus.OK, "paused"
            values["left hand"] = values["right hand"] = "absent"
        return diagnostic_status(self.name, self.frame, level, message, values)

    def close(self) -> None:
        """Close the topics."""
        self._made.close()
