"""What RViz shows of a robot that follows: its workspace, where the hand asks it to be, where it is, and is told to be.

Where it is, as axes, as RViz draws the robot itself; where it is told to be with its hand, as a ghost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from fourdhands_core.errors import FourDHandsError
from fourdhands_core.geometry.rotations import quaternion_from_matrix
from fourdhands_core.media.robot_drawing import edges
from fourdhands_core.media.robot_hand import RobotHand
from fourdhands_core.teleop import STATE_NAMES, Command, RobotSample, TeleopSettings, TeleopState

from ..convert.cdr import Template
from ..convert.encoders import split_stamp
from ..convert.marker import ADD, DELETE, LINE_LIST, SPHERE, TEXT, TRIANGLE_LIST, marker

PERIOD = 0.2
"""Seconds between two messages on ~/markers."""
_LIFETIME = 1.0
"""Seconds after which RViz removes what is not renewed, as of a node that was killed."""
_BOX, _BALL, _TARGET = (0.35, 0.59, 0.86, 1.0), (0.9, 0.35, 0.27, 0.3), (0.95, 0.75, 0.2, 0.9)
_GHOST, _WORDS = (0.35, 0.78, 0.47, 0.35), (1.0, 1.0, 1.0, 1.0)

Pose: TypeAlias = "tuple[np.ndarray, np.ndarray, np.ndarray]"
"""Position (3,) and rotation (3, 3) of the arm's end in the base, joints (n,)."""


@dataclass(frozen=True, eq=False)
class Look:
    """What a step leaves to be shown. target: (3,) in the base. measured, commanded, words: what stands above the robot."""

    stamp: int
    settings: TeleopSettings
    target: np.ndarray | None = None
    measured: Pose | None = None
    commanded: Pose | None = None
    words: str = ""


def look_of(stamp: int, state: TeleopState, command: Command, robot: RobotSample | None, arm: bool) -> Look:
    """What is to be seen of a step. stamp: nanoseconds. robot: where it is, None where that is not known. arm: whether there is
    one; a hand without stands in the frame of its own end."""

    def posed(position: np.ndarray, rotation: np.ndarray, fingers: np.ndarray) -> Pose:
        return (position, rotation, fingers) if arm else (np.zeros(3), np.eye(3), fingers)

    return Look(
        stamp,
        state.settings,
        state.target,
        None if robot is None else posed(robot.position, robot.rotation, robot.fingers),
        posed(command.position, command.rotation, command.fingers) if command.publish else None,
        ", ".join([STATE_NAMES[command.state], *(command.reasons or command.stopped_by)]),
    )


class RobotMarkers:
    """Serialised MarkerArrays of Looks. frame: of the arm's base. robot: name or file of the hand, "" without one; arm: whether
    there is one, and so a workspace. problem: why no hand is drawn, or empty."""

    def __init__(self, frame: str, robot: str, arm: bool = True) -> None:
        self._frame, self._arm, self.problem = frame, arm, ""
        self._hand: RobotHand | None = None
        if robot:
            try:
                self._hand = RobotHand(robot)
            except FourDHandsError as error:
                self.problem = f"{robot} is not drawn: {error}"
        self._points = [vertices[faces].reshape(-1, 3) for vertices, faces in self._hand.shapes] if self._hand else []
        self._built: tuple[Any, Template] | None = None

    def encode(self, look: Look) -> bytes:
        """The message."""
        there = look.target is not None, look.measured is not None, look.commanded is not None
        key = look.settings.workspace, look.settings.keep_out, there, look.words
        if self._built is None or self._built[0] != key:
            self._built = key, self._build(look)
        sec, nanosec = split_stamp(look.stamp)
        values: dict[str, Any] = {"sec": sec, "nanosec": nanosec}
        if look.target is not None and self._arm:
            values["target"] = [*look.target, 0.0, 0.0, 0.0, 1.0]
        for name, posed in (("measured", look.measured), ("commanded", look.commanded)):
            if posed is None:
                continue
            end = [*posed[0], *quaternion_from_matrix(posed[1])]
            values[f"{name}_axes"] = np.tile(end, 3)
        if look.commanded is not None and self._hand is not None:
            values["ghost"] = self._shapes(self._hand, *look.commanded)
        if (above := look.commanded or look.measured) is not None:
            values["words"] = [*(above[0] + [0.0, 0.0, 0.2]), 0.0, 0.0, 0.0, 1.0]
        return self._built[1].fill(**values)

    def _shapes(self, hand: RobotHand, position: np.ndarray, rotation: np.ndarray, fingers: np.ndarray) -> np.ndarray:
        """(N, 7) poses of the hand's shapes in the base."""
        turns, places = hand.poses(fingers)
        return np.concatenate(
            [places @ rotation.T + position, [quaternion_from_matrix(rotation @ turn) for turn in turns]], axis=1
        )

    def _build(self, look: Look) -> Template:
        template, frame, settings = Template(), self._frame, look.settings
        balls = settings.balls if self._arm else np.zeros((0, 4))
        parts: list[Callable[[], None]] = []

        def add(ns: str, number: int, kind: int, colour: Any, **more: Any) -> None:
            parts.append(lambda: marker(template, frame, ns, number, kind, colour, lifetime=_LIFETIME, **more))

        if self._arm:
            add("workspace", 0, LINE_LIST, _BOX, scale=(0.004, 0.0, 0.0), points=("box", 24))  # both ends of each edge
        for number, (x, y, z, radius) in enumerate(balls.tolist()):
            add("keep_out", number, SPHERE, _BALL, scale=(2.0 * radius,) * 3, pose=(x, y, z, 0.0, 0.0, 0.0, 1.0))
        shown = look.target is not None and self._arm
        add("target", 0, SPHERE, _TARGET, action=ADD if shown else DELETE, scale=(0.03,) * 3, pose="target")
        for name, posed, alpha in (("measured", look.measured, 1.0), ("commanded", look.commanded, 0.5)):
            more = {"action": DELETE if posed is None else ADD, "scale": (0.005, 0.0, 0.0), "pose": f"{name}_axes"}
            for axis in range(3):
                colour = [float(axis == k) for k in range(3)]
                add(name, axis, LINE_LIST, (*colour, alpha), points=(f"{name}_axis_{axis}", 2), **more)
        for number, corners in enumerate(self._points):
            filled = {"pose": "ghost", "points": (f"ghost_{number}", len(corners))}
            add("ghost", number, TRIANGLE_LIST, _GHOST, **({"action": DELETE} if look.commanded is None else filled))
        action = ADD if look.words and (look.commanded or look.measured) else DELETE
        add("words", 0, TEXT, _WORDS, action=action, scale=(0.0, 0.0, 0.04), pose="words", text=look.words)
        template.constant("u4", len(parts))
        for part in parts:
            part()
        template.finish()
        for name in ("measured", "commanded"):
            for axis in range(3):
                template.view(f"{name}_axis_{axis}")[3 + axis] = 0.08
        for number, corners in enumerate(self._points if look.commanded is not None else []):
            template.view(f"ghost_{number}")[:] = corners.ravel()
        if self._arm:
            template.view("box")[:] = edges(np.reshape(settings.workspace, (2, 3))).ravel()
        return template


class MarkerThread:
    """Publishes the newest Look five times a second while somebody subscribes, beside the steps, which it keeps not waiting.

    look: put there by whoever steps. publisher: of MarkerArray.
    """

    def __init__(self, markers: RobotMarkers, publisher: Any) -> None:
        self.look: Look | None = None
        self._markers, self._publisher, self._ended = markers, publisher, threading.Event()
        self._thread = threading.Thread(target=self._work, name="markers", daemon=True)
        self._thread.start()

    @property
    def wanted(self) -> bool:
        """Whether somebody subscribes."""
        return bool(self._publisher.get_subscription_count() > 0)

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._ended.wait(PERIOD):
            look, self.look = self.look, None
            if look is not None and self.wanted:
                self._publisher.publish(self._markers.encode(look))
