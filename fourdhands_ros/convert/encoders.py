"""Estimates as serialised ROS messages: HandPair, TFMessage, MarkerArray and HandFaces.

Building these messages from Python objects takes up to 30 ms a frame, patching bytes well under one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from fourdhands_core.geometry.rotations import CROSS, quaternion_from_axis_angle
from fourdhands_core.hand_model.skeleton import JOINT_NAMES, JOINT_PARENTS, MANO_IN_21, SIDES
from fourdhands_core.pipeline.types import (
    ABSENT,
    HELD,
    SOURCE_JOINT,
    SOURCE_NETWORK,
    SOURCE_NONE,
    TRACKED,
    HandEstimate,
    HandPairEstimate,
)

from .cdr import Template
from .marker import DELETE, TRIANGLE_LIST, header, marker

STATES = {ABSENT: 0, TRACKED: 1, HELD: 2}
"""Values of Hand.state."""
SOURCES = {SOURCE_NONE: 0, SOURCE_NETWORK: 1, SOURCE_JOINT: 2}
"""Values of HandPair.left_root_source."""
HAND_COLOURS = ((0.35, 0.62, 0.95, 1.0), (0.98, 0.65, 0.35, 1.0))
"""RGBA of the left and the right hand's marker, 0 to 1."""

_TEMPLATES = 64
"""Shapes kept for each message: both hands there or not, with mesh or without, of a few cameras."""


def split_stamp(stamp: int) -> tuple[int, int]:
    """Nanoseconds as builtin_interfaces/Time's sec and nanosec."""
    return divmod(stamp, 1_000_000_000)


def wrist_pose(hand: HandEstimate) -> tuple[float, ...]:
    """Position x, y, z in metres and quaternion x, y, z, w of the wrist in the camera's optical frame."""
    # tf_transformations, to which the tests hold this and `joint_poses`, makes one quaternion at a time with numpy: of two
    # wrists it would take a quarter of the whole message's time more, and ten times as long as this for all joints.
    x, y, z = hand.global_orient.tolist()
    angle = math.hypot(x, y, z)
    scale = math.sin(0.5 * angle) / angle if angle > 1e-8 else 0.5
    return *hand.joints[0].tolist(), scale * x, scale * y, scale * z, math.cos(0.5 * angle)


def joint_poses(hands: Sequence[HandEstimate]) -> np.ndarray:
    """(N, 21, 7) positions and quaternions of each hand's joints: wrist in the camera's frame, others in their parent's.

    A joint's frame is MANO's: at the flat hand all have the wrist's orientation. A fingertip has its last joint's.
    """
    count = len(hands)
    joints, pose = np.empty((count, 21, 3)), np.zeros((count, 21, 3))  # a fingertip does not turn
    for i, hand in enumerate(hands):
        joints[i], pose[i, 0], pose[i, MANO_IN_21[1:]] = hand.joints, hand.global_orient, hand.hand_pose.reshape(15, 3)
    poses = np.empty((count, 21, 7))
    poses[..., 3:] = quaternions = quaternion_from_axis_angle(pose)
    cross = (quaternions[..., :3] @ CROSS).reshape(count, 21, 3, 3)
    local = np.eye(3) + 2.0 * (quaternions[..., 3:, None] * cross + cross @ cross)
    fingers = local[:, 1:].reshape(count, 5, 4, 3, 3)
    parents = np.empty_like(fingers)  # orientation of each joint's parent in the camera's frame
    parents[:, :, 0] = local[:, :1]
    for i in range(3):
        parents[:, :, i + 1] = parents[:, :, i] @ fingers[:, :, i]
    steps = (joints[:, 1:] - joints[:, JOINT_PARENTS[1:]]).reshape(count, 20, 1, 3)
    poses[:, 0, :3] = joints[:, 0]
    poses[:, 1:, :3] = (steps @ parents.reshape(count, 20, 3, 3))[:, :, 0]  # row vectors: into the parent's axes
    return poses


class HandPairEncoder:
    """HandPair from an estimate.

    A new field, at the end of its .msg, is declared in `pipeline/types.py`; filled by `HandPairTracker._estimate` (of Hand
    `_as_estimates`) and by `fusion/fusion.py`; laid out here, by `encode` and `_build` (of Hand `_build_hand`), as an object
    in `fourdhands_ros/tools/benchmark.py`; read by `pair_estimate` of `convert/decoders.py`, also where recordings of before
    lack it; played to who knows it by `_LATER`, `lacking` and `todays` of `episodes/player.py`, which know lists of strings at
    HandPair's end alone: a field of Hand lies within it, twice, and is not played from recordings of before. Tests:
    `make_pair` of `test/ros/ros_support.py`, `test_ros_messages.py`, `test_ros_player.py`. On into datasets, see
    `episodes/__init__.py`, and hands.npz, see `docs/hands_npz.md`.

    network: name of the network. model: name of the hand model (Hand.model).
    """

    def __init__(self, network: str = "", model: str = "") -> None:
        self._network, self._model = network, model
        self._template = lru_cache(_TEMPLATES)(self._build)

    def encode(
        self,
        estimate: HandPairEstimate,
        frame_id: str,
        latency: Mapping[str, float],
        counts: tuple[int, int, int] = (0, 0, 0),
        with_vertices: bool = False,
    ) -> bytes:
        """The serialised message.

        frame_id: of the image's header. latency: seconds by stage, in order. counts: images published (this one
        included), dropped, rejected. with_vertices: put the estimate's meshes in, where it has them.
        """
        vertices = tuple(len(hand.vertices) if with_vertices and hand.vertices is not None else 0 for hand in estimate.hands)
        filled = tuple(hand.joints is not None for hand in estimate.hands)
        in_pixels = tuple(hand.joints_2d is not None for hand in estimate.hands)  # not where several cameras see it
        template = self._template(frame_id, filled, in_pixels, vertices, tuple(latency), estimate.cameras)
        relative = estimate.left_root_relative
        values = {
            "relative": np.nan if relative is None else relative,
            "source": SOURCES[estimate.left_root_source],
            "counts": counts,
            "latency": tuple(latency.values()),
        }
        for hand, count in zip(estimate.hands, vertices):
            side = SIDES[hand.side]
            values[f"{side}_state"] = hand.valid, STATES[hand.state]
            values[f"{side}_age"] = hand.age, hand.confidence if hand.valid else 0.0
            values[f"{side}_scaled"] = hand.scaled
            if hand.joints is None:
                values[f"{side}_wrist"] = np.nan
                continue
            # All numbers of one type at once: each array by itself would take most of the time.
            values[f"{side}_points"] = np.concatenate([np.ravel(hand.joints), np.ravel(hand.joints_raw)])
            values[f"{side}_wrist"] = wrist_pose(hand)
            pixels = () if hand.joints_2d is None else np.ravel(hand.joints_2d)
            numbers = hand.joint_confidence, pixels, hand.global_orient, hand.hand_pose, hand.betas
            values[f"{side}_numbers"] = np.concatenate(numbers)
            if count:
                values[f"{side}_vertices"] = hand.vertices
        return template.fill(estimate.stamp, **values)

    def _build(
        self,
        frame_id: str,
        filled: tuple[bool, ...],
        in_pixels: tuple[bool, ...],
        vertices: tuple[int, ...],
        stages: tuple[str, ...],
        cameras: tuple[tuple[str, ...], ...],
    ) -> Template:
        template = Template()
        header(template, frame_id)
        for side in range(2):
            self._build_hand(template, side, frame_id, filled[side], in_pixels[side], vertices[side])
        template.slot("relative", "f8", 3)
        template.slot("source", "u1")
        template.string(self._network)
        template.slot("counts", "u8", 3)
        template.strings(stages)
        template.sequence("latency", "f4", len(stages))
        for names in cameras:
            template.strings(names)
        return template.finish()

    def _build_hand(self, template: Template, side: int, frame_id: str, filled: bool, in_pixels: bool, vertices: int) -> None:
        name, joints = SIDES[side], 21 if filled else 0
        header(template, frame_id)
        template.constant("u1", side)
        template.slot(f"{name}_state", "u1", 2)  # valid, state
        template.slot(f"{name}_age", "f4", 2)  # age, confidence
        template.sequence(f"{name}_points", "f8", joints, 3)  # joints
        template.sequence(f"{name}_points", "f8", joints, 3)  # joints_raw
        template.sequence(f"{name}_numbers", "f4", joints)  # joint_confidence
        template.sequence(f"{name}_numbers", "f4", 2 * joints if in_pixels else 0)  # joints_2d
        template.slot(f"{name}_wrist", "f8", 7)
        template.slot(f"{name}_scaled", "u1")
        template.string(self._model)
        template.constant("u1", True)  # flat_hand_mean: what HandEstimate.hand_pose states
        template.sequence(f"{name}_numbers", "f4", 3 if filled else 0)  # global_orient
        template.sequence(f"{name}_numbers", "f4", 45 if filled else 0)  # hand_pose
        template.sequence(f"{name}_numbers", "f4", 10 if filled else 0)  # betas
        template.sequence(f"{name}_vertices", "f4", 3 * vertices)


class TransformEncoder:
    """TFMessage from an estimate: the wrists under the camera's frame and, at level "joints", joints under parents.

    level: "none", which gives no messages, "wrist" or "joints". prefix: put before `left_wrist`, `right_thumb_1` and so on.
    frames: the names of all frames that messages may hold.
    """

    def __init__(self, level: str = "wrist", prefix: str = "") -> None:
        self._count = {"none": 0, "wrist": 1, "joints": 21}[level]
        self._template = lru_cache(_TEMPLATES)(self._build)
        self._names = [[f"{prefix}{side}_{joint}" for joint in JOINT_NAMES[: self._count]] for side in SIDES]
        self.frames = [*self._names[0], *self._names[1]]

    def problem(self, frame_id: str) -> str:
        """Why there are no messages of hands in images of that frame, or "": tf2 has no frame without a name, nor one that
        is its own parent or descends from itself."""
        if not self._count:
            return ""
        if not frame_id:
            return "the images name no frame_id, so nothing is published on /tf; have the camera's driver set it"
        if frame_id in self.frames:
            return (
                f"the images' frame_id {frame_id!r} is the name of a hand's frame too, so nothing is published on /tf; "
                "give another frame_prefix, or rename the camera's frame"
            )
        return ""

    def encode(self, estimate: HandPairEstimate, frame_id: str) -> bytes | None:
        """The serialised message, or None where neither hand is valid, or frame_id has a `problem`."""
        hands = [hand for hand in estimate.hands if hand.valid]
        if not hands or not self._count or self.problem(frame_id):
            return None
        poses = joint_poses(hands) if self._count > 1 else [wrist_pose(hand) for hand in hands]
        return self._template(frame_id, tuple(hand.side for hand in hands)).fill(estimate.stamp, poses=poses)

    def _build(self, frame_id: str, sides: tuple[int, ...]) -> Template:
        template = Template()
        template.constant("u4", len(sides) * self._count)
        for names in (self._names[side] for side in sides):
            for joint, name in enumerate(names):
                header(template, names[JOINT_PARENTS[joint]] if joint else frame_id)
                template.string(name)
                template.slot("poses", "f8", 7)
        return template.finish()


class MarkerEncoder:
    """MarkerArray of the hands' meshes: ns "hands", id 0 left, 1 right; one ADD a frame, one DELETE on loss.

    faces: for left and right, (F, 3) vertex numbers. lifetime: seconds after which a viewer drops an old marker; may be
    changed. shown: the frame in which each side is shown at present.
    """

    def __init__(self, faces: Sequence[np.ndarray], lifetime: float = 0.2) -> None:
        self._template = lru_cache(_TEMPLATES)(self._build)
        self._corners = tuple(np.ravel(f) for f in faces)
        self.lifetime = lifetime
        self.shown: dict[int, str] = {}

    def encode(self, estimate: HandPairEstimate, frame_id: str) -> bytes | None:
        """The serialised message, or None where there is nothing to show and nothing to remove."""
        shown = {hand.side: hand.vertices for hand in estimate.hands if hand.valid and hand.vertices is not None}
        lost = tuple(sorted((side, frame) for side, frame in self.shown.items() if side not in shown))
        self.shown = dict.fromkeys(shown, frame_id)
        if not shown and not lost:
            return None
        template = self._template(frame_id, tuple(shown), lost, self.lifetime)
        for side, vertices in shown.items():
            # Into the message without a copy between, which `mode` is for.
            points = template.view(f"points_{side}").reshape(-1, 3)
            np.take(np.asarray(vertices, np.float64), self._corners[side], axis=0, mode="clip", out=points)
        return template.fill(estimate.stamp)

    def clear(self) -> bytes | None:
        """The message that removes what is shown, or None where nothing is."""
        lost = tuple(sorted(self.shown.items()))
        self.shown = {}
        return self._build("", (), lost, 0.0).fill() if lost else None

    def _build(self, frame_id: str, sides: tuple[int, ...], lost: tuple[tuple[int, str], ...], lifetime: float) -> Template:
        template = Template()
        template.constant("u4", len(sides) + len(lost))
        for side in sides:
            points = f"points_{side}", len(self._corners[side])
            marker(template, frame_id, "hands", side, TRIANGLE_LIST, HAND_COLOURS[side], points=points, lifetime=lifetime)
        for side, frame in lost:
            marker(template, frame, "hands", side, TRIANGLE_LIST, HAND_COLOURS[side], action=DELETE, lifetime=lifetime)
        return template.finish()


def encode_faces(faces: Sequence[np.ndarray], model: str = "") -> bytes:
    """HandFaces: for left and right, (F, 3) vertex numbers; model: name of the hand model."""
    template = Template()
    template.string(model)
    for side, triangles in zip(SIDES, faces):
        template.sequence(side, "u4", np.size(triangles))
    return template.finish().fill(None, **dict(zip(SIDES, faces)))
