"""The node's parameters: names, defaults, descriptions and limits in one place."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields, replace
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.parameter import Parameter

from fourdhands_core.errors import InputError
from fourdhands_core.pipeline.session import RESET_GAP
from fourdhands_core.pipeline.settings import CHOICES, TrackerSettings

_TRACKER = TrackerSettings()
"""The tracker's own defaults are the node's."""
_KINDS = {
    bool: "true or false",
    float: "a number",
    int: "a whole number",
    str: "a text; put it in double quotes",
    tuple: "a list of texts, such as [left, right]",
}
_NAME = "[A-Za-z_][A-Za-z0-9_]*"


def _parameter(default, description: str, choices=(), limits=None, read_only=False):
    """A field with what ROS tells about a parameter; limits are (smallest, largest), both allowed."""
    return field(
        default=default, metadata={"description": description, "choices": choices, "limits": limits, "read_only": read_only}
    )


@dataclass(frozen=True)
class Parameters:
    """Values of the node's parameters. Constructing one checks them: InputError names the parameter that is wrong."""

    autostart: bool = _parameter(
        True, "Configure and activate the node when it starts; false leaves that to a lifecycle manager.", read_only=True
    )
    cameras: tuple[str, ...] = _parameter(
        ("",),
        "Namespaces of the cameras, such as [left, right]: each has topics left/image_raw, left/hands and so on, "
        "frames left/left_wrist and so on, a tracker of its own, and the network in common. One empty name is one camera "
        "with the plain names.",
        read_only=True,
    )
    image_transport: str = _parameter(
        "raw",
        "raw: sensor_msgs/Image on image_raw; compressed: sensor_msgs/CompressedImage on image_raw/compressed.",
        choices=("raw", "compressed"),
        read_only=True,
    )
    image_reliability: str = _parameter(
        "auto",
        "How images and depth images are asked for. best_effort: as sensor data, for lossy networks; reliable: lost "
        "packets are sent again; auto: best_effort, and reliable where all publishers offer it and images that are due "
        "do not come, as with large images and small socket buffers.",
        choices=("auto", "best_effort", "reliable"),
        read_only=True,
    )
    depth: bool = _parameter(
        False,
        "Take depth/image_raw, sensor_msgs/Image of 16UC1 millimetres or 32FC1 metres in the colour image's view (as "
        "drivers call it: aligned or registered), for true distances.",
        read_only=True,
    )
    depth_transport: str = _parameter(
        "raw",
        "raw: sensor_msgs/Image on depth/image_raw; compressedDepth: sensor_msgs/CompressedImage on "
        "depth/image_raw/compressedDepth, PNG.",
        choices=("raw", "compressedDepth"),
        read_only=True,
    )
    depth_tolerance: float = _parameter(
        0.02,
        "Seconds between the stamps of an image and a depth image, up to which they are of one moment; images without "
        "one are placed without depth.",
        limits=(0.0, 0.5),
    )
    mirrored: bool = _parameter(
        _TRACKER.mirrored,
        "The camera delivers mirrored images, as in a selfie: left and right would be swapped.",
        read_only=True,
    )
    rectified: str = _parameter(
        "auto",
        "Whether the images are rectified: P of CameraInfo holds for them and no distortion, else K and D. auto: by "
        "the image topic's name, image_rect and the like.",
        choices=("auto", "true", "false"),
        read_only=True,
    )
    default_fov: float = _parameter(
        _TRACKER.default_fov,
        "Horizontal field of view in degrees that is assumed while the camera is not calibrated; "
        "positions are then marked as not scaled.",
        limits=(10.0, 170.0),
    )
    model: str = _parameter(
        _TRACKER.model,
        "landmark: the network that comes with the package; image: the paper's, which needs weights from "
        "`fourdhands import-weights`.",
        choices=CHOICES["model"],
        read_only=True,
    )
    weights: str = _parameter(
        _TRACKER.weights,
        "Weights of the network, a safetensors file; empty for those that come with the package.",
        read_only=True,
    )
    device: str = _parameter(
        _TRACKER.device,
        "Where the network runs. cpu; cuda, for model image; onnx, for machines without torch, where "
        "weights is the folder that `fourdhands export` wrote.",
        choices=CHOICES["device"],
        read_only=True,
    )
    precision: str = _parameter(
        _TRACKER.precision,
        "Numbers that model image computes with; half of them are for a GPU.",
        choices=CHOICES["precision"],
        read_only=True,
    )
    detect_every: int = _parameter(
        _TRACKER.detect_every,
        "With model image the detector looks at every so many images at least, at the others only "
        "when a hand was lost or is uncertain.",
        limits=(1, 1000),
        read_only=True,
    )
    hand_model: str = _parameter(
        _TRACKER.hand_model,
        "Right hand model, an npz that `fourdhands convert-mano` wrote; empty for the generic one.",
        read_only=True,
    )
    hand_model_left: str = _parameter(
        _TRACKER.hand_model_left, "Left hand model, likewise; empty for the mirror image of the right one.", read_only=True
    )
    hand_shape: str = _parameter(
        "",
        "File that ~/calibrate_hand keeps a person's hand shape in; one that is there is used from the start. Empty: "
        "the shape is estimated, and a calibration holds until the node is deactivated.",
        read_only=True,
    )
    hand_length: float = _parameter(
        0.0,
        "Metres from the crease of the wrist to the tip of the stretched middle finger, of the person whose hand "
        "~/calibrate_hand sees. With 0 the size of the hand, and so its distance, remains a guess.",
        limits=(0.0, 0.3),
    )
    lookahead: int = _parameter(
        _TRACKER.lookahead,
        "Images of the future to wait for: steadier, and that much later; 0 for a robot.",
        limits=(0, 60),
        read_only=True,
    )
    temporal: bool = _parameter(
        _TRACKER.temporal,
        "Use the images before; false estimates each image alone, unfiltered, for comparison.",
        read_only=True,
    )
    smoothing: float = _parameter(
        _TRACKER.smoothing,
        "Memory of the filter on pose and orientation; 0 filters nothing.",
        limits=(0.0, 0.9),
        read_only=True,
    )
    hold: float = _parameter(
        _TRACKER.hold,
        "Seconds for which a hand that is not seen any more is HELD, with its age, before it is ABSENT.",
        limits=(0.0, 5.0),
        read_only=True,
    )
    tf: str = _parameter(
        "wrist",
        "Frames to publish on /tf. none; wrist: <frame_prefix>left_wrist and <frame_prefix>right_wrist under "
        "the image's frame; joints: also <frame_prefix>left_thumb_1 and so on, each under its parent joint.",
        choices=("none", "wrist", "joints"),
    )
    frame_prefix: str = _parameter(
        "", "Put before the names of the hands' frames, such as camera_1/; needed where several nodes see hands."
    )
    publish_vertices: bool = _parameter(
        False, "Put the 778 vertices of each hand into HandPair: 9 kB a hand; the markers carry the mesh anyway."
    )
    marker_lifetime: float = _parameter(
        0.2, "Seconds after which a viewer removes a mesh that is not renewed; 0 keeps it.", limits=(0.0, 60.0)
    )
    reset_gap: float = _parameter(
        RESET_GAP,
        "Seconds between the stamps of two images after which tracking starts anew, as after a pause of the camera.",
        limits=(0.2, 60.0),
    )
    diagnostics_period: float = _parameter(
        1.0,
        "Seconds between two messages on /diagnostics, and over which their rates and latencies are taken.",
        limits=(0.1, 60.0),
        read_only=True,
    )

    def __post_init__(self):
        for spec in fields(self):
            value: Any = getattr(self, spec.name)
            meta = spec.metadata
            if isinstance(value, bool) and "true" in meta["choices"]:  # as YAML reads it
                value = str(value).lower()
                object.__setattr__(self, spec.name, value)
            expected: Any = type(spec.default)
            if type(value) is not expected:
                raise InputError(f"parameter {spec.name}: {value!r} is not {_KINDS[expected]}")
            if meta["choices"] and value not in meta["choices"]:
                raise InputError(f"parameter {spec.name}: {value!r} is not one of {', '.join(meta['choices'])}")
            if meta["limits"] and not (math.isfinite(value) and meta["limits"][0] <= value <= meta["limits"][1]):
                raise InputError(f"parameter {spec.name}: {value} is not between {meta['limits'][0]} and {meta['limits'][1]}")
        for camera in self.cameras:
            if not re.fullmatch(rf"/?{_NAME}(/{_NAME})*", camera) and self.cameras != ("",):
                raise InputError(f"parameter cameras: {camera!r} is not a namespace; use names such as left, robot/wrist")
        if len({camera.lstrip("/") for camera in self.cameras}) < len(self.cameras):
            raise InputError(f"parameter cameras: {', '.join(self.cameras)} names a camera twice; frames would collide")
        if not re.fullmatch(r"[A-Za-z0-9_/.-]*", self.frame_prefix) or self.frame_prefix.startswith("/"):
            raise InputError(
                f"parameter frame_prefix: {self.frame_prefix!r} is not part of a frame's name; use "
                "letters, digits, _ . - and /, not / first (tf2 refuses it)"
            )

    def changed(self, values: dict) -> Parameters:
        """These parameters with other values for some. Raises InputError."""
        return replace(self, **values)

    def tracker_settings(self) -> TrackerSettings:
        """The tracker's settings among these parameters: those of the same names."""
        names = TrackerSettings.__dataclass_fields__.keys() & Parameters.__dataclass_fields__.keys()
        return TrackerSettings(**{name: getattr(self, name) for name in names})


def descriptor_of(spec) -> ParameterDescriptor:
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


def declare(node) -> Parameters:
    """Declare every parameter on the node and read their values.

    Raises InputError naming a parameter whose given value is refused; warns of given names that no parameter has.
    """
    names = [spec.name for spec in fields(Parameters)]
    given = node._parameter_overrides  # rclpy has no public way to read them
    unknown = [
        name for name in given if name not in names and not node.has_parameter(name) and not name.startswith("qos_overrides.")
    ]
    if unknown:
        node.get_logger().warning(f"no parameter is called {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    values = {}
    for spec in fields(Parameters):
        value = given[spec.name].value if spec.name in given else None
        if isinstance(spec.default, tuple):
            value = tuple(value) if isinstance(value, list) else value or None  # ROS takes an empty list for one of bytes
        if value not in (None, ()):
            values[spec.name] = _with_decimals(spec.name, value)
    parameters = Parameters(**values)
    for spec in fields(Parameters):
        node.declare_parameter(spec.name, getattr(parameters, spec.name), descriptor_of(spec), ignore_override=True)
    if hasattr(node, "add_pre_set_parameters_callback"):  # Humble lacks it, and refuses hold 1 in place of 1.0
        node.add_pre_set_parameters_callback(
            lambda changed: [
                one if one.type_ != Parameter.Type.INTEGER else Parameter(one.name, value=_with_decimals(one.name, one.value))
                for one in changed
            ]
        )
    return parameters


def _with_decimals(name: str, value):
    """A parameter's value; where the number 1 stands for 1.0, that."""
    spec = Parameters.__dataclass_fields__.get(name)
    return float(value) if spec is not None and type(spec.default) is float and type(value) is int else value
