"""Which CameraInfo is an image topic's, whether its images are rectified, and what the message says."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.calibration import Calibration
from fourdhands_core.geometry.camera import Camera

if TYPE_CHECKING:
    from rclpy.node import Node
    from sensor_msgs.msg import CameraInfo


def calibration_from_info(info: CameraInfo) -> Calibration:
    """sensor_msgs/CameraInfo to what it says of its camera; nothing of it is checked."""
    roi = info.roi
    return Calibration(
        info.width,
        info.height,
        tuple(map(float, info.k)),
        info.distortion_model,
        tuple(map(float, info.d)),
        tuple(map(float, info.p)),
        (roi.x_offset, roi.y_offset, roi.width, roi.height),
        (info.binning_x, info.binning_y),
    )


def info_topics(image_topic: str) -> tuple[str, str]:
    """Where the CameraInfo of an image topic may be, best first.

    Right below the image topic, as AirSim's and those of cameras that are all of their namespace,
    `/wrist_camera/compressed` with `/wrist_camera/camera_info`; else beside it, as image_transport's CameraSubscriber
    takes it: for `/cam/image_raw/compressed` that is `/cam/camera_info`.
    """
    plain = image_topic.removesuffix("/compressed")
    return f"{plain}/camera_info", f"{plain.rpartition('/')[0]}/camera_info"


def resolved_info_topics(node: Node, name: str, image_topic: str) -> tuple[str, ...]:
    """Where a node has its CameraInfo topic `name`, best first: what it is remapped to, else by its image topic."""
    resolved = node.resolve_topic_name(name)
    return info_topics(image_topic) if resolved == node.resolve_topic_name(name, only_expand=True) else (resolved,)


def rectified_by_name(image_topic: str) -> bool | None:
    """Whether a topic's images are rectified, by its name; None where that does not tell.

    The last name counts most (`image_rect`, `image_rect_color` of image_pipeline, `image_rect_raw` of RealSense's stereo
    cameras, against `image_raw`), then those before it (`color/rect/image` of the ZED).
    """
    *spaces, last = image_topic.removesuffix("/compressed").lower().split("/")
    for words in (re.split("[_.-]", last), *([space] for space in reversed(spaces))):
        if not {"rect", "rectified", "undistorted"}.isdisjoint(words):
            return True
        if "raw" in words:
            return False
    return None


def lenses_of(info: CameraInfo, image_topic: str) -> list[Camera]:
    """The cameras that a CameraInfo may mean, the likely one first: by the topic's name its images are rectified or not, which
    a node's parameter may say otherwise; as its binning says, or as it is without. Empty where it is uncalibrated.

    Raises InputError where what is likely is no camera.
    """
    calibration, rectified = calibration_from_info(info), rectified_by_name(image_topic)
    found = [view.camera for view in calibration.views(rectified)]
    with contextlib.suppress(InputError):
        found += [view.camera for view in calibration.views(not rectified)] if found else []
    return found


def is_rectified(parameter: str, image_topic: str) -> bool | None:
    """The node's parameter `rectified` for a topic: as given, or with auto by its name."""
    return rectified_by_name(image_topic) if parameter == "auto" else parameter == "true"
