"""The node's parameters: names, defaults, descriptions and limits in one place."""

from __future__ import annotations

import array
import math
import re
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.parameter import Parameter

from fourdhands_core.errors import InputError
from fourdhands_core.files import local_path
from fourdhands_core.network.landmark_config import SHIPPED
from fourdhands_core.pipeline.settings import RESET_GAP, TrackerSettings, setting

if TYPE_CHECKING:
    from rclpy.node import Node


_KINDS = {
    bool: "true or false",
    float: "a number",
    int: "a whole number",
    str: "a text; put it in double quotes",
    tuple: "a list of texts, such as [left, right]",
}
_NAME = "[A-Za-z_][A-Za-z0-9_]*"


def parameter(default: Any, description: str, read_only: bool = True, **told: Any) -> Any:
    """A field with what ROS tells about a parameter. told: choices and limits, see `setting`."""
    return setting(default, description, read_only=read_only, **told)


def changeable(default: Any, description: str, **told: Any) -> Any:
    """A parameter that may be changed while the node runs."""
    return parameter(default, description, read_only=False, **told)


def of_tracker(name: str, read_only: bool = True) -> Any:
    """A parameter that is the tracker's setting of this name."""
    spec = TrackerSettings.__dataclass_fields__[name]
    return field(default=spec.default, metadata={**spec.metadata, "read_only": read_only})


def check_values(parameters: Any) -> None:
    """Raise InputError naming the field of a dataclass of `parameter`s whose value is of another kind or out of its limits."""
    for spec in fields(parameters):
        value: Any = getattr(parameters, spec.name)
        default: Any = spec.default
        meta = spec.metadata
        if isinstance(value, bool) and "true" in meta["choices"]:  # as YAML reads it
            value = str(value).lower()
        elif isinstance(value, str):  # as people name files; and frames, in which tf2 takes no slash before the name
            value = value.lstrip("/") if spec.name.endswith("_frame") else local_path(value)
        object.__setattr__(parameters, spec.name, value)
        expected: Any = type(default)
        if type(value) is not expected:
            numbers = expected is tuple and type(next(iter(default), "")) is float
            kind = "a list of numbers, such as [1.0, 2.0]" if numbers else _KINDS[expected]
            raise InputError(f"parameter {spec.name}: {value!r} is not {kind}")
        if meta["choices"] and value not in meta["choices"]:
            raise InputError(f"parameter {spec.name}: {value!r} is not one of {', '.join(meta['choices'])}")
        if meta["limits"] and not (math.isfinite(value) and meta["limits"][0] <= value <= meta["limits"][1]):
            raise InputError(f"parameter {spec.name}: {value} is not between {meta['limits'][0]} and {meta['limits'][1]}")


@dataclass(frozen=True)
class Parameters:
    """Values of the node's parameters. Constructing one checks them: InputError names the parameter that is wrong."""

    autostart: bool = parameter(
        True, "Configure and activate the node when it starts; false leaves that to a lifecycle manager."
    )
    cameras: tuple[str, ...] = parameter(
        ("",),
        "Namespaces of the cameras, such as [left, right]: each has topics left/image_raw, left/hands and so on, "
        "frames left/left_wrist and so on, a tracker of its own, and the network in common. One empty name is one camera "
        "with the plain names.",
    )
    fusion: bool = parameter(
        False,
        "Fuse the cameras: one estimate of both hands in fixed_frame on hands, with frames and meshes, beside those of the "
        "single cameras. Where each camera stands comes from TF, from fixed_frame to the frame of its images, or from "
        "camera_poses.",
    )
    fixed_frame: str = parameter(
        "", "With fusion the frame in which the hands are; empty for the one that camera_poses names, which it has to be."
    )
    camera_poses: str = parameter(
        "",
        "With fusion a YAML file that says where the cameras stand, in place of TF; `fourdhands calibrate-cameras` writes it.",
    )
    image_transport: str = parameter(
        "raw",
        "raw: sensor_msgs/Image on image_raw; compressed: sensor_msgs/CompressedImage on image_raw/compressed.",
        choices=("raw", "compressed"),
    )
    image_reliability: str = parameter(
        "auto",
        "How images and depth images are asked for. best_effort: as sensor data, for lossy networks; reliable: lost "
        "packets are sent again; auto: best_effort, and reliable where all publishers offer it and images that are due "
        "do not come, as with large images and small socket buffers.",
        choices=("auto", "best_effort", "reliable"),
    )
    depth: bool = parameter(
        False,
        "Take depth/image_raw, sensor_msgs/Image of 16UC1 millimetres or 32FC1 metres in the colour image's view (as "
        "drivers call it: aligned or registered), for true distances.",
    )
    depth_transport: str = parameter(
        "raw",
        "raw: sensor_msgs/Image on depth/image_raw; compressedDepth: sensor_msgs/CompressedImage on "
        "depth/image_raw/compressedDepth, PNG.",
        choices=("raw", "compressedDepth"),
    )
    depth_tolerance: float = changeable(
        0.02,
        "Seconds between the stamps of an image and a depth image, up to which they are of one moment; images without "
        "one are placed without depth.",
        limits=(0.0, 0.5),
    )
    mirrored: bool = of_tracker("mirrored")
    mirrored_cameras: tuple[str, ...] = of_tracker("mirrored_cameras")
    rectified: str = parameter(
        "auto",
        "Whether the images are rectified: P of CameraInfo holds for them and no distortion, else K and D. auto: by "
        "the image topic's name, image_rect and the like.",
        choices=("auto", "true", "false"),
    )
    default_fov: float = of_tracker("default_fov", read_only=False)
    model: str = of_tracker("model")
    weights: str = of_tracker("weights")
    device: str = of_tracker("device")
    search: str = of_tracker("search")
    looks: int = of_tracker("looks")
    precision: str = of_tracker("precision")
    detect_every: int = of_tracker("detect_every", read_only=False)
    hand_model: str = of_tracker("hand_model")
    hand_model_left: str = of_tracker("hand_model_left")
    hand_shape: str = parameter(
        "",
        "File that ~/calibrate_hand keeps a person's hand shape in; one that is there is used from the start. Empty: "
        "the shape is estimated, and a calibration holds until the node is deactivated.",
    )
    hand_length: float = changeable(
        0.0,
        "Metres from the crease of the wrist to the tip of the stretched middle finger, of the person whose hand "
        "~/calibrate_hand sees. With 0 the size of the hand, and so its distance, remains a guess, unless cameras are fused, "
        "which measure it.",
        limits=(0.0, 0.3),
    )
    lookahead: int = of_tracker("lookahead")
    temporal: bool = of_tracker("temporal")
    smoothing: float = of_tracker("smoothing", read_only=False)
    hold: float = of_tracker("hold", read_only=False)
    tf: str = changeable(
        "wrist",
        "Frames to publish on /tf. none; wrist: <frame_prefix>left_wrist and <frame_prefix>right_wrist under "
        "the image's frame; joints: also <frame_prefix>left_thumb_1 and so on, each under its parent joint.",
        choices=("none", "wrist", "joints"),
    )
    frame_prefix: str = changeable(
        "", "Put before the names of the hands' frames, such as camera_1/; needed where several nodes see hands."
    )
    target_frame: str = parameter(
        "",
        "Frame in which the poses on hands/left_wrist, hands/right_wrist and hands/openxr are, such as base_link, by /tf at "
        "the image's stamp; empty for the images' frame.",
    )
    publish_vertices: bool = changeable(
        False, "Put the 778 vertices of each hand into HandPair: 9 kB a hand; the markers carry the mesh anyway."
    )
    marker_lifetime: float = changeable(
        0.2, "Seconds after which a viewer removes a mesh that is not renewed; 0 keeps it.", limits=(0.0, 60.0)
    )
    reset_gap: float = changeable(
        RESET_GAP,
        "Seconds between the stamps of two images after which tracking starts anew, as after a pause of the camera.",
        limits=(0.2, 60.0),
    )
    diagnostics_period: float = parameter(
        1.0,
        "Seconds between two messages on /diagnostics, and over which their rates and latencies are taken.",
        limits=(0.1, 60.0),
    )

    def __post_init__(self) -> None:
        check_values(self)
        for camera in self.cameras:
            if not re.fullmatch(rf"/?{_NAME}(/{_NAME})*", camera) and self.cameras != ("",):
                raise InputError(f"parameter cameras: {camera!r} is not a namespace; use names such as left, robot/wrist")
        if len({camera.lstrip("/") for camera in self.cameras}) < len(self.cameras):
            raise InputError(f"parameter cameras: {', '.join(self.cameras)} names a camera twice; frames would collide")
        if self.fusion and len(self.cameras) < 2:
            raise InputError("parameter fusion: one camera cannot be fused; name several, such as cameras: [left, right]")
        if self.fusion and not (self.fixed_frame or self.camera_poses):
            raise InputError("parameter fusion: name the fixed_frame that the cameras hang on, or a file of camera_poses")
        if not re.fullmatch(r"[A-Za-z0-9_/.-]*", self.frame_prefix) or self.frame_prefix.startswith("/"):
            raise InputError(
                f"parameter frame_prefix: {self.frame_prefix!r} is not part of a frame's name; use "
                "letters, digits, _ . - and /, not / first (tf2 refuses it)"
            )

    @property
    def network(self) -> str:
        """The network's name, as messages have it."""
        return Path(self.weights or SHIPPED).stem

    @property
    def hand_name(self) -> str:
        """The hand model's name, as messages have it."""
        return self.tracker_settings().hand_name

    def tracker_settings(self) -> TrackerSettings:
        """The tracker's settings among these parameters: those of the same names."""
        return TrackerSettings(**{name: getattr(self, name) for name in _SHARED})

    @classmethod
    def of(cls, settings: TrackerSettings, **others: Any) -> Parameters:
        """The parameters of a tracker with these settings."""
        return cls(**{name: getattr(settings, name) for name in _SHARED}, **others)


_SHARED = TrackerSettings.__dataclass_fields__.keys() & Parameters.__dataclass_fields__.keys()


def descriptor_of(spec: Field) -> ParameterDescriptor:
    """What `ros2 param describe` tells about one of `dataclasses.fields(Parameters)`."""
    meta = spec.metadata
    descriptor = ParameterDescriptor(description=meta["description"], read_only=meta["read_only"])
    if meta["choices"]:
        descriptor.dynamic_typing = "true" in meta["choices"]
        descriptor.additional_constraints = "one of: " + ", ".join(meta["choices"])
    if meta["limits"]:
        low, high = meta["limits"]
        if isinstance(spec.default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        else:
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
    return descriptor


Kind = TypeVar("Kind")
"""A dataclass of parameters, such as Parameters."""


def declare(node: Node, kind: type[Kind] = Parameters) -> Kind:  # type: ignore[assignment]
    """Declare every parameter on the node and read their values. kind: the dataclass whose fields they are.

    Raises InputError naming a parameter whose given value is refused; warns of given names that no parameter has.
    """
    specs = fields(kind)  # type: ignore[arg-type]
    names = [spec.name for spec in specs]
    given = node._parameter_overrides  # rclpy has no public way to read them
    unknown = [
        name for name in given if name not in names and not node.has_parameter(name) and not name.startswith("qos_overrides.")
    ]
    if unknown:
        node.get_logger().warning(f"no parameter is called {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    values = {}
    for spec in specs:
        value = given[spec.name].value if spec.name in given else None
        if isinstance(spec.default, tuple):
            # ROS takes an empty list for one of bytes
            value = tuple(value) if isinstance(value, list | array.array) else value or None
        if value not in (None, ()):
            values[spec.name] = with_decimals(kind, spec.name, value)
    parameters = kind(**values)
    for spec in specs:
        node.declare_parameter(spec.name, getattr(parameters, spec.name), descriptor_of(spec), ignore_override=True)
    if hasattr(node, "add_pre_set_parameters_callback"):  # Humble lacks it, and refuses hold 1 in place of 1.0

        def corrected(one: Parameter) -> Parameter:
            whole = one.type_ == Parameter.Type.INTEGER
            return Parameter(one.name, value=with_decimals(kind, one.name, one.value)) if whole else one

        node.add_pre_set_parameters_callback(lambda changed: list(map(corrected, changed)))
    return parameters


def with_decimals(kind: type, name: str, value: Any) -> Any:
    """A parameter's value; where the number 1 stands for 1.0, that."""
    spec = kind.__dataclass_fields__.get(name)  # type: ignore[attr-defined]
    default = None if spec is None else spec.default
    if isinstance(default, tuple) and default and type(default[0]) is float and isinstance(value, tuple):
        return tuple(float(one) if type(one) is int else one for one in value)
    return float(value) if type(default) is float and type(value) is int else value
