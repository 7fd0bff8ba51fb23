"""The ROS 2 node: camera images in, both hands out."""

from __future__ import annotations

import signal
import sys
import traceback
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from fourdhands_core.errors import FourDHandsError, InputError
from fourdhands_core.network.config import SHIPPED
from fourdhands_core.pipeline.tracker import HandPairTracker

from .camera_info import CALIBRATED, CameraSource
from .diagnostics import Statistics, diagnostic_array
from .outputs import Outputs
from .parameters import Parameters, declare
from .processing import FrameProcessor


_SWITCH_INTERVAL = 5e-4
"""Seconds that a thread may keep others from running Python; with Python's own 5 ms, looking for hands in the next image
waits for the arithmetic on the last one, which is over by then."""


def create_tracker(parameters: Parameters):
    """The tracker that the node runs unless it is given another."""
    return HandPairTracker(parameters.tracker_settings())


class HandsNode(LifecycleNode):
    """Tracks both hands in a camera's images.

    Takes `image_raw` (or `image_raw/compressed`) and `camera_info`; publishes `hands` (HandPair), `/tf`,
    `hands/markers` (MarkerArray), `hands/faces` (HandFaces, latched) and `/diagnostics`. Model, topics and thread exist
    while the node is active. The callbacks only pass messages on; decoding, tracking and publishing have a thread of
    their own, which always takes the newest image.

    tracker_factory: called with Parameters at activation, returns a HandPairTracker. Other arguments are rclpy's.
    Raises InputError where a parameter's given value is refused.
    """

    def __init__(self, tracker_factory=create_tracker, node_name: str = "hands", **kwargs):
        super().__init__(node_name, **kwargs)
        self._tracker_factory = tracker_factory
        self.parameters = declare(self)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._processor: FrameProcessor | None = None

    # Lifecycle: what on_activate creates, on_deactivate destroys in the opposite order.

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and open the topics. FAILURE, with the reason logged, where the model does not load."""
        try:
            tracker = self._tracker_factory(self.parameters)
        except FourDHandsError as error:
            self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        except Exception:  # rclpy swallows it without a word
            self.get_logger().error(f"the tracker could not be created:\n{traceback.format_exc()}")
            return TransitionCallbackReturn.FAILURE
        parameters = self.parameters
        self._statistics = Statistics()
        self._cameras = CameraSource(parameters.default_fov)
        self._network, self._device = Path(parameters.weights or SHIPPED).stem, parameters.device
        self._model = Path(parameters.hand_model).stem or "generic"
        self._outputs = Outputs(self, parameters, tracker.faces, self._network, self._model)
        compressed = parameters.image_transport == "compressed"
        self._processor = FrameProcessor(
            tracker, self._outputs, self._cameras, self._statistics, compressed=compressed,
            reset_gap=parameters.reset_gap, clock=self.get_clock(), logger=self.get_logger())
        topic = self.resolve_topic_name("image_raw") + ("/compressed" if compressed else "")
        # Serialised (raw): an image that is dropped was never unpacked, and one that does not unpack is counted.
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        options = QoSOverridingOptions.with_default_policies()
        self._image_subscription = self.create_subscription(
            CompressedImage if compressed else Image, topic, self._processor.put, qos, raw=True,
            qos_overriding_options=options)
        self._info_subscription = self.create_subscription(
            CameraInfo, "camera_info", self._on_camera_info, qos, raw=True, qos_overriding_options=options)
        self._timer = self.create_timer(parameters.diagnostics_period, self._publish_diagnostics)
        self._quiet_periods = 0
        self.get_logger().info(f"tracking hands in {topic}")
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the topics and release the model."""
        self._release()
        return super().on_deactivate(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As on_deactivate, from any state."""
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As on_deactivate, after a failed transition."""
        self._release()
        return super().on_error(state)

    def _release(self) -> None:
        if self._processor is None:
            return
        self.destroy_timer(self._timer)
        self.destroy_subscription(self._info_subscription)
        self.destroy_subscription(self._image_subscription)
        self._processor.stop()
        self._processor = None
        self._outputs.destroy()

    def destroy_node(self) -> None:
        """Release everything and destroy the node."""
        self._release()
        super().destroy_node()

    # Callbacks

    def _on_set_parameters(self, changed) -> SetParametersResult:
        known = Parameters.__dataclass_fields__
        try:
            parameters = self.parameters.changed({p.name: p.value for p in changed if p.name in known})
        except InputError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self.parameters = parameters
        if self._processor is not None:
            self._outputs.apply(parameters)
            self._processor.reset_gap = parameters.reset_gap
            self._cameras.default_fov = parameters.default_fov
        return SetParametersResult(successful=True)

    def _on_camera_info(self, data: bytes) -> None:
        try:
            self._cameras.update(deserialize_message(data, CameraInfo))
        except Exception as error:  # rclpy's RMWError has no public name
            self._statistics.count_event("CameraInfo messages that do not unpack")
            self.get_logger().warning(f"a message that is not a CameraInfo: {error}", throttle_duration_sec=60.0)

    def _publish_diagnostics(self) -> None:
        cameras, processor = self._cameras, self._processor
        values, level, message = self._statistics.report(self.parameters.diagnostics_period)
        values["calibration"] = f"{cameras.state}: {cameras.problem}" if cameras.problem else cameras.state
        values["left hand"], values["right hand"] = processor.hand_states
        values["network"], values["hand model"], values["device"] = (
            self._network, self._model, self._device)
        if level == DiagnosticStatus.OK and cameras.state != CALIBRATED:
            level, message = DiagnosticStatus.WARN, "not calibrated: positions are not scaled"
        self._outputs.diagnostics.publish(diagnostic_array(
            self.get_clock().now().to_msg(), f"{self.get_fully_qualified_name().lstrip('/')}: hands",
            processor.frame_id, level, message, values))


def main(args: list[str] | None = None, tracker_factory=create_tracker) -> int:
    """Run the node until SIGINT or SIGTERM. Returns the exit status: 0, or 1 where it could not start."""
    sys.setswitchinterval(_SWITCH_INTERVAL)
    # rclpy's own handlers would invalidate the publishers at once, under the image in work.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    stopped = []

    def stop(number, _):
        stopped.append(number)
        signal.signal(number, signal.SIG_DFL)  # a second Ctrl-C does not wait

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    node = None
    try:
        node = HandsNode(tracker_factory)
        if node.parameters.autostart:
            for transition in (node.trigger_configure, node.trigger_activate):
                if transition() != TransitionCallbackReturn.SUCCESS:
                    return 1
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while not stopped:  # Python runs signal handlers only between two waits
            executor.spin_once(timeout_sec=0.2)
    except InputError as error:
        rclpy.logging.get_logger("hands").error(str(error))
        return 1
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 0


if __name__ == "__main__":
    sys.exit(main())
