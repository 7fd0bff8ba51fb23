"""Hands as poses in the frame that somebody wants them in: wrists, and OpenXR's joints; for teleoperation of one's own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseArray, PoseStamped
from rclpy.node import Node

from fourdhands_core.geometry.rigid import Rigid
from fourdhands_core.geometry.rotations import quaternion_from_matrix
from fourdhands_core.hand_model.openxr import OPENXR_JOINTS, openxr_poses
from fourdhands_core.hand_model.skeleton import SIDES
from fourdhands_core.pipeline.types import HandEstimate, HandPairEstimate

from ..convert.cdr import Template
from ..convert.encoders import split_stamp
from ..convert.marker import header
from ..convert.transforms import TransformError
from .frames import Frames, watch_frames


class HandPoses:
    """Publishes `hands/left_wrist` and `hands/right_wrist`, of hands that are seen, and `hands/openxr`: 26 poses of the left
    hand, then of the right one, NaN where missing. Each only while somebody subscribes.

    publisher: makes one of a type on a topic. camera: before the topics' names. target: the frame, "" for the images'. made:
    gets what undoes it.
    """

    def __init__(self, node: Node, publisher: Callable[[Any, str], Any], camera: str, target: str, made: ExitStack) -> None:
        self._node, self._target = node, target.lstrip("/")
        self.wrists = [publisher(PoseStamped, f"{camera}hands/{side}_wrist") for side in SIDES]
        self.openxr = publisher(PoseArray, f"{camera}hands/openxr")
        self._arrays: dict[str, Template] = {}
        self._frames: Frames | None = None
        if self._target:
            self._frames = watch_frames(node)
            made.callback(self._frames.destroy)

    def publish(self, estimate: HandPairEstimate, frame_id: str) -> None:
        """Those of an estimate in that frame; none where TF does not tell where it stands in the target, which is logged."""
        wrists = [(hand, one) for hand, one in zip(estimate.hands, self.wrists) if hand.valid and one.get_subscription_count()]
        openxr = self.openxr.get_subscription_count() > 0
        if not wrists and not openxr:
            return
        try:
            stands = Rigid() if self._frames is None else self._stands(self._frames, frame_id, estimate.stamp)
        except TransformError as error:
            self._node.get_logger().warning(f"no poses of hands in {self._target}: {error}", throttle_duration_sec=10.0)
            return
        frame = self._target or frame_id
        for hand, one in wrists:
            one.publish(_wrist(hand, stands, estimate.stamp, frame))
        if openxr:
            if frame not in self._arrays:
                self._arrays = {frame: _array(frame)}
            poses = [_openxr(hand, stands) for hand in estimate.hands]
            self.openxr.publish(self._arrays[frame].fill(estimate.stamp, poses=poses))

    def _stands(self, frames: Frames, frame_id: str, stamp: int) -> Rigid:
        if not frame_id:
            raise TransformError("the images name no frame, so that TF cannot tell where it stands; have their driver set it")
        return frames.lookup(self._target, frame_id, stamp)


def _wrist(hand: HandEstimate, stands: Rigid, stamp: int, frame: str) -> PoseStamped:
    wrist = stands @ Rigid(np.asarray(hand.wrist_rotation), np.asarray(hand.joints)[0])
    message = PoseStamped()
    message.header.frame_id = frame
    message.header.stamp.sec, message.header.stamp.nanosec = split_stamp(stamp)
    place, turn = message.pose.position, message.pose.orientation
    place.x, place.y, place.z = wrist.position.tolist()
    turn.x, turn.y, turn.z, turn.w = quaternion_from_matrix(wrist.rotation).tolist()
    return message


def _openxr(hand: HandEstimate, stands: Rigid) -> np.ndarray:
    """(26, 7) of a hand, all NaN where it is not seen."""
    if not hand.valid or hand.joints is None or hand.wrist_rotation is None or hand.hand_pose is None:
        return np.full((len(OPENXR_JOINTS), 7), np.nan)
    return openxr_poses(hand.side, stands.apply(hand.joints), stands.rotation @ hand.wrist_rotation, hand.hand_pose)


def _array(frame: str) -> Template:
    """A serialised PoseArray with the slots sec, nanosec and poses."""
    template = Template()
    header(template, frame)
    template.sequence("poses", "f8", len(SIDES) * len(OPENXR_JOINTS), 7)
    return template.finish()
