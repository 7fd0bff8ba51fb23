"""The settings of a HandPairTracker."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError

CHOICES = {"model": ("landmark", "image"), "device": ("cpu", "cuda", "onnx"), "precision": ("float32", "float16", "bfloat16")}
"""Values of the settings of these names."""
_RANGES = {
    "lookahead": (0, 60),
    "detect_every": (1, 1000),
    "default_fov": (10.0, 170.0),
    "hold": (0.0, 5.0),
    "smoothing": (0.0, 0.9),
    "acceleration": (0.01, 1e4),
    "landmark_error": (1e-3, 1.0),
    "threads": (1, 64),
}
"""Smallest and largest value of the settings of these names, both allowed."""


@dataclass(frozen=True)
class TrackerSettings:
    """Settings of a HandPairTracker. Raises InputError where one is out of range."""

    weights: str = ""
    """safetensors file; empty for the landmark network that comes with the package."""
    hand_model: str = ""
    """npz of a right hand from `fourdhands convert-mano`; empty for the generic hand."""
    hand_model_left: str = ""
    """npz of the left hand; empty for the mirror image of the right one."""
    mirrored: bool = False
    """Images are mirrored, as in a selfie: poses are in the optical frame of the camera as it would be unmirrored,
    `joints_2d` in the image as given, whose intrinsics are given too."""
    lookahead: int = 0
    """Frames of the future to wait for; 0 for a robot, for recordings half of the window: 4 with the landmark model."""
    temporal: bool = True
    """False estimates every frame alone, unfiltered."""
    default_fov: float = 65.0
    """Horizontal field of view, degrees, assumed where there are no intrinsics."""
    hold: float = 0.3
    """Seconds for which an unseen hand is HELD."""
    smoothing: float = 0.37
    """Memory of the pose filter; 0 filters nothing."""
    acceleration: float = 10.0
    """Of the position filter, m^2/s^3."""
    landmark_error: float = 0.17
    """Expected error of the detector's landmarks in units of their RMS radius."""
    threads: int = 1
    """Of the network and the hand model, for the whole process. At a frame's sizes more threads only wait for one another and
    for the detector's."""
    model: str = "landmark"
    """landmark; or image, the paper's, with weights from `fourdhands import-weights`."""
    device: str = "cpu"
    """cpu, where onnxruntime runs a landmark network of the shipped one's sizes, and torch any other; cuda, for the image
    model; onnx, where `weights` is the folder that `fourdhands export` wrote."""
    precision: str = "float32"
    """Numbers that the image model computes with."""
    detect_every: int = 5
    """With the image model and no lookahead, the detector looks at every so many images at least, at others only where a hand
    was lost or is uncertain."""

    def __post_init__(self):
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(f"{name} = {getattr(self, name)!r} is not known; give one of {', '.join(choices)}")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise InputError(f"{name} = {value!r} is out of range; give a number from {low} to {high}")
