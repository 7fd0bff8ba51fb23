"""The node's services: `~/reset` and `~/calibrate_hand` (std_srvs/Trigger), `~/pause` (std_srvs/SetBool)."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Generator
from typing import Any

import numpy as np
from rclpy.callback_groups import ReentrantCallbackGroup
from std_srvs.srv import SetBool, Trigger

from fourdhands_core.errors import FourDHandsError, InputError
from fourdhands_core.fusion.shape import SharedShape
from fourdhands_core.outputs import check_outputs
from fourdhands_core.pipeline.shape_calibration import LEAST_SEEN, ShapeCalibration, hand_length, save_shape
from fourdhands_core.pipeline.types import HandPairEstimate
from fourdhands_core.streams import printable

CALIBRATION_SECONDS = 4.0
"""How long a calibration looks at the hands."""
_ANEW = "tracking starts anew with the next image"
_INACTIVE = "the node is not active"


class Services:
    """Answers in every state of the node; where it is not active, that nothing was done.

    node: HandsNode, with which the services end. Its executor goes on while a calibration looks at hands.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._calibrating = False
        # A group of their own: a calibration that waits would keep all else in its group from running.
        group = ReentrantCallbackGroup()
        node.create_service(Trigger, "~/reset", self._reset, callback_group=group)
        node.create_service(SetBool, "~/pause", self._pause, callback_group=group)
        node.create_service(Trigger, "~/calibrate_hand", self._calibrate_hand, callback_group=group)

    def _reset(self, request: Any, response: Any) -> Any:
        """Forget the tracks of all cameras."""
        channels = self._node.channels
        for channel in channels:
            channel.processor.session.reset()
        if self._node.fused is not None:
            self._node.fused.reset()
        return _answered(response, channels, _ANEW)

    def _pause(self, request: Any, response: Any) -> Any:
        """Stop tracking in all cameras, or go on; models stay loaded."""
        channels = self._node.all_channels()
        for channel in channels:
            channel.pause(request.data)
        _answered(response, channels, "paused: no images are taken, the models stay loaded" if request.data else _ANEW)
        if channels:
            self._node.get_logger().info(f"pause: {response.message}")
        return response

    async def _calibrate_hand(self, request: Any, response: Any) -> Any:
        """Look at the hands in all cameras for a while, then fix their shape and keep it."""
        channels = self._node.channels
        if not channels:
            response.message = _INACTIVE
        elif any(channel.paused for channel in channels):
            response.message = "the node is paused; ~/pause with data: false"
        elif self._calibrating:
            response.message = "a calibration is under way"
        if response.message:
            return response
        self._calibrating = True
        try:
            response.message = printable(await self._calibrate(channels))
            response.success = True
        except FourDHandsError as error:
            response.message = str(error)
        except Exception:  # out of a callback it would end the node
            self._node.get_logger().error(f"calibrate_hand failed:\n{traceback.format_exc()}")
            response.message = "the calibration failed by an error of this package, which the node's log tells"
        finally:
            self._calibrating = False
        self._node.get_logger().info(f"calibrate_hand: {response.message}")
        return response

    async def _calibrate(self, channels: Any) -> str:
        node = self._node
        parameters = node.parameters
        if parameters.hand_shape:
            check_outputs([parameters.hand_shape])
        first = channels[0].tracker
        fused = None if parameters.hand_length else node.fused  # which measures lengths
        calibration = ShapeCalibration(first.hands, parameters.hand_length, first.landmarks)
        lock = threading.Lock()  # one thread for each camera

        def watch(estimate: HandPairEstimate) -> None:
            with lock:
                calibration.add(estimate)

        for channel in channels:
            channel.processor.watcher = watch
        if fused is not None:
            fused.begin_calibration()
        try:
            end = time.monotonic() + CALIBRATION_SECONDS
            while time.monotonic() < end and node.channels is channels:
                await _OthersFirst()
        finally:
            for channel in channels:
                channel.processor.watcher = None
            shared = None if fused is None else fused.end_calibration()
        if node.channels is not channels:
            raise InputError("the node was deactivated meanwhile; nothing was calibrated")
        with lock:
            seen, betas = (calibration.count, calibration.result()) if shared is None else _shared(shared)
        for channel in channels:
            channel.tracker.betas = betas
            channel.processor.session.reset()
        if node.fused is not None:
            node.fused.set_shape(betas)
        length = hand_length(channels[0].tracker.hands, betas)
        measured = bool(parameters.hand_length) or shared is not None
        message = (
            f"{seen} {'open hands seen' if shared is None else 'hands that several cameras saw'}; from the wrist to the tip of "
            f"the middle finger {1e3 * length:.0f} mm" + ("" if measured else ", a guess without hand_length")
        )
        if not parameters.hand_shape:
            return message + "; not kept, as hand_shape names no file"
        try:
            save_shape(parameters.hand_shape, betas, parameters.hand_name, measured)
        except FourDHandsError as error:
            raise InputError(f"{message}; in use until the node is deactivated, but not kept: {error}") from error
        return f"{message}; kept in {parameters.hand_shape}"


def _shared(shape: SharedShape) -> tuple[int, np.ndarray]:
    """How many hands tell a shape (10,), and that. Raises InputError where too few do."""
    if shape.count < LEAST_SEEN:
        raise InputError(
            f"several cameras saw a hand together {shape.count} times and {LEAST_SEEN} are needed; hold a hand where "
            "they all see it, fingers stretched, or give hand_length"
        )
    return shape.count, shape.mean


def _answered(response: Any, channels: Any, done: str) -> Any:
    response.success = bool(channels)
    response.message = done if channels else _INACTIVE
    return response


class _OthersFirst:
    """Lets the executor wait for other work and do it; it comes back after that, or after its time-out."""

    def __await__(self) -> Generator[None, None, None]:
        yield
