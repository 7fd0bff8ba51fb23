"""One camera's life while the node is active: its topics, its tracker, what it publishes and tells of itself."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from fourdhands_core.geometry.camera_source import CALIBRATED, CameraSource
from fourdhands_core.pipeline.session import LENS

from ..convert.camera_info import calibration_from_info, is_rectified, resolved_info_topics
from ..convert.depth_buffer import DepthBuffer
from ..pypi.message_types import deserialize_ros
from .diagnostics import Statistics, diagnostic_status
from .outputs import Outputs
from .parameters import Parameters
from .processing import FrameProcessor
from .subscription import ImageSubscription

_STAMP_END = 12
"""Where a serialised message's header goes on after its stamp: what follows is alike in all CameraInfo of a camera, which
saves unpacking it for every image."""


class Channel:
    """Takes one camera's `image_raw` (or `image_raw/compressed`), `camera_info` and where asked `depth/image_raw` (or
    `depth/image_raw/compressedDepth`), and publishes its Outputs.

    node: the rclpy node, whose executor's callbacks only pass messages on. camera: the namespace of the topics, "" for
    the node's own names. tracker: HandPairTracker or what behaves like it.
    Nothing is shared with other channels but what trackers share, so a camera that is slow or silent, or sends what makes
    its tracker fail, leaves the others alone.
    """

    def __init__(self, node: Node, parameters: Parameters, camera: str, tracker: Any) -> None:
        self._node, self.camera = node, camera
        self._logger = node.get_logger()
        if camera:  # so that each line says of which camera it is
            self._logger = self._logger.get_child(camera.strip("/").replace("/", "."))
        prefix = camera + "/" if camera else ""
        self._about = {"network": parameters.network, "hand model": parameters.hand_name, "device": parameters.device}
        self.tracker = tracker
        settings = parameters.tracker_settings().of_camera(camera)
        if settings.mirrored != parameters.mirrored:  # the tracker was made for cameras as the others are
            tracker.apply(settings)
        self.statistics = Statistics()
        self.name = f"{node.get_fully_qualified_name().lstrip('/')}: {prefix.lstrip('/')}hands"
        compressed_depth = parameters.depth_transport == "compressedDepth"
        self._info, self._infos, self._info_place = b"", 0, float("inf")
        self.depth: DepthBuffer | None = None
        if parameters.depth:
            self.depth = DepthBuffer(parameters.depth_tolerance, self.statistics, self._logger, compressed_depth)
        compressed = parameters.image_transport == "compressed"
        self.topic = _transport_topic(node, prefix + "image_raw", "compressed" if compressed else "")
        rectified = is_rectified(parameters.rectified, self.topic)
        self._about["images"] = "rectified" if rectified else "raw" if rectified is False else "raw, unless a parameter says so"
        self.cameras = CameraSource(parameters.default_fov, rectified=rectified)
        with ExitStack() as made:  # what was made is undone where the rest cannot be
            self.outputs = Outputs(node, parameters, tracker.faces, prefix)
            made.callback(self.outputs.destroy)
            self.processor = FrameProcessor(
                node, self._logger, parameters, tracker, self.outputs, self.cameras, self.statistics, self.depth
            )
            made.callback(self.processor.stop)
            # Serialised (raw): an image that is dropped was never unpacked, and one that does not unpack is counted.
            self.images = []
            sources = [(CompressedImage if compressed else Image, self.topic, self.processor.put)]
            if self.depth is not None:
                transport = "compressedDepth" if compressed_depth else ""
                depth_topic = _transport_topic(node, prefix + "depth/image_raw", transport)
                sources.append((self.depth.message_type, depth_topic, self.depth.put))
            for source in sources:
                self.images.append(ImageSubscription(node, *source, parameters.image_reliability))
                made.callback(self.images[-1].close)
            qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
            policies = QoSOverridingOptions.with_default_policies()
            for place, topic in enumerate(resolved_info_topics(node, prefix + "camera_info", self.topic)):
                take: Any = partial(self._on_camera_info, place)
                infos = node.create_subscription(CameraInfo, topic, take, qos, raw=True, qos_overriding_options=policies)
                made.callback(node.destroy_subscription, infos)
            self._made = made.pop_all()
        self.paused, self._told, self._changes = False, ("", ""), 0

    def __str__(self) -> str:
        return self.topic + (" (rectified)" if self.cameras.rectified else "")

    def apply(self, parameters: Parameters) -> None:
        """Use other values of the parameters that may change while the node runs."""
        self.outputs.apply(parameters)
        self.tracker.apply(parameters.tracker_settings().of_camera(self.camera))
        self.processor.session.reset_gap = parameters.reset_gap
        self.cameras.default_fov = parameters.default_fov
        if self.depth is not None:
            self.depth.tolerance = parameters.depth_tolerance

    def pause(self, paused: bool) -> None:
        """Take no images and publish no hands for a while; then track the next image as the first one."""
        if paused == self.paused:
            return
        self.paused = paused
        for images in self.images:
            (images.close if paused else images.open)()
        if not paused:
            self.processor.session.reset()
        self.outputs.hide(paused)

    def close(self) -> None:
        """Close the topics and finish the images in work."""
        self._made.close()

    def status(self, frames_problem: str = "") -> DiagnosticStatus:
        """What happened since the last call; also looks whether enough images come.

        frames_problem: what is wrong with the frames on /tf, or "".
        """
        for images, infos in zip(self.images, (self._infos, 0)):  # CameraInfo is the colour camera's
            if not self.paused and images.watch(infos):
                self.statistics.count_event(f"changes to {images.reliability.name.lower()} delivery")
        cameras, processor = self.cameras, self.processor
        values, level, message = self.statistics.report()
        values["calibration"] = ": ".join(filter(None, (cameras.state, cameras.problem, *cameras.remarks)))
        values["left hand"], values["right hand"] = processor.hand_states
        colour = self.images[0]
        values["camera's rate (Hz)"] = f"{colour.rate:.1f}" if colour.rate else "unknown"
        values.update(self._about)
        changes, self._changes = self.statistics.events[LENS] - self._changes, self.statistics.events[LENS]
        conflict = frames_problem or self._same_topic()
        unnamed = self.outputs.frames_problem(processor.frame_id) if self.statistics.published else ""
        for name, problem, before in zip(("conflict", "frames"), (conflict, unnamed), self._told):
            if problem:
                values[name] = problem
                if not before:
                    self._logger.warning(problem)
        self._told = conflict, unnamed
        depthless, depth_use = self.depth is not None and self.depth.absent(), processor.session.depth_use
        if depth_use.words and not depthless:
            values["depth"] = depth_use.words
        problems = (
            conflict or unnamed,
            colour.missing and f"{colour.missing}: the others are lost: docs/troubleshooting.md, Large images",
            f"CameraInfo changed {changes} times, and hands are not valid where it does: do two programs publish it?"
            if changes > 1
            else "",
            "not calibrated: positions are not scaled" if cameras.state != CALIBRATED else "",
            "no depth images of the images' moments and view: colour alone places hands" if depthless else "",
            self.depth.elsewhere if self.depth is not None else "",
            depth_use.problem(),
        )
        if level == DiagnosticStatus.OK and any(problems):
            level, message = DiagnosticStatus.WARN, next(filter(None, problems))
        if self.paused:
            level, message = DiagnosticStatus.OK, "paused"
            values["left hand"] = values["right hand"] = "absent"
        return diagnostic_status(self.name, processor.frame_id, level, message, values)

    def _same_topic(self) -> str:
        """What is wrong where another node publishes `hands` too, or more than one what this takes; else ""."""
        if self._node.count_publishers(self.outputs.topic) > 1:
            return f"another node publishes {self.outputs.topic} too: give one of the two a namespace, or end it"
        for topic in (images.topic for images in self.images):
            if (number := self._node.count_publishers(topic)) > 1:
                told = f"{number} programs publish {topic}, and images of all are taken by turns: end all but one"
                return f"{told} (one that was killed counts for a while)"
        return ""

    def _on_camera_info(self, place: int, data: bytes) -> None:
        if place > self._info_place:
            return  # this camera's own came from nearer
        self._info_place = place
        self._infos += 1
        if data[_STAMP_END:] == self._info:
            return
        try:
            self.cameras.update(calibration_from_info(deserialize_ros(data, CameraInfo)))
            self._info = data[_STAMP_END:]
        except Exception as error:  # rclpy's RMWError has no public name
            self.statistics.count_event("CameraInfo messages that do not unpack")
            self._logger.warning(f"{self.name}: a message that is not a CameraInfo: {error}", throttle_duration_sec=60.0)


def _transport_topic(node: Node, name: str, transport: str) -> str:
    """The topic of a transport of image_transport, "" for raw: it lies below what the raw one is mapped to, and may be mapped
    itself."""
    topic = node.resolve_topic_name(name)
    return node.resolve_topic_name(f"{topic}/{transport}") if transport else topic
