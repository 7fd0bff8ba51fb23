"""The settings of a HandPairTracker, which are parameters of the node and options of the commands too: told of here alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..errors import InputError

RESET_GAP = 2.0
"""Seconds between the stamps of two images after which tracking starts anew, unless another value is given."""
OFFLINE_LOOKAHEAD = 4
"""The lookahead of recordings, which nobody waits for: half of the landmark model's window."""


def setting(
    default: Any, description: str, choices: Sequence[str] = (), limits: tuple[float, float] | None = None, **more: Any
) -> Any:
    """A field with what people are told of it, wherever they set it.

    limits: (smallest, largest), both allowed. more: what else the field's metadata is to hold.
    """
    return field(default=default, metadata={"description": description, "choices": choices, "limits": limits, **more})


def _bare(name: str) -> str:
    return name.strip("/")


@dataclass(frozen=True)
class TrackerSettings:
    """Settings of a HandPairTracker. Raises InputError where one is out of range."""

    weights: str = setting(
        "",
        "Weights of the network, a safetensors file, or with device onnx a folder; empty for those that come with the package.",
    )
    hand_model: str = setting(
        "", "Right hand model: human (also if empty), generic, or an npz that `fourdhands convert-mano` wrote."
    )
    hand_model_left: str = setting("", "Left hand model, likewise; empty for the mirror image of the right one.")
    mirrored: bool = setting(False, "The camera delivers mirrored images, as in a selfie: left and right would be swapped.")
    """Poses are then in the optical frame of the camera as it would be unmirrored, `joints_2d` in the image as given, whose
    intrinsics are given too."""
    mirrored_cameras: tuple[str, ...] = setting(
        ("",), "Of several cameras those that deliver mirrored images where the others do not, by their names, such as [right]."
    )
    lookahead: int = setting(
        0,
        f"Images of the future to wait for: steadier, and that much later; 0 for a robot, for recordings {OFFLINE_LOOKAHEAD}, "
        "half of the landmark model's window.",
        limits=(0, 60),
    )
    temporal: bool = setting(True, "Use the images before; false estimates each image alone, unfiltered, for comparison.")
    default_fov: float = setting(
        65.0,
        "Horizontal field of view in degrees that is assumed while the camera is not calibrated; positions are then marked as "
        "not scaled.",
        limits=(10.0, 170.0),
    )
    hold: float = setting(
        0.3, "Seconds for which a hand that is not seen any more is HELD, with its age, before it is ABSENT.", limits=(0.0, 5.0)
    )
    smoothing: float = setting(0.37, "Memory of the filter on pose and orientation; 0 filters nothing.", limits=(0.0, 0.9))
    acceleration: float = setting(10.0, "Of the position filter, m^2/s^3.", limits=(0.01, 1e4))
    landmark_error: float = setting(
        0.17, "Expected error of the detector's landmarks in units of their RMS radius.", limits=(1e-3, 1.0)
    )
    threads: int = setting(1, "Threads of the network and the hand model, for the whole process.", limits=(1, 64))
    """At a frame's sizes more of them only wait for one another and for the detector's, which looks at both hands at once."""
    model: str = setting(
        "landmark",
        "landmark: the network that comes with the package; image: the paper's, which needs weights from "
        "`fourdhands import-weights`.",
        choices=("landmark", "image"),
    )
    device: str = setting(
        "cpu",
        "Where the networks run. cpu; cuda, for the detector and model image, with onnxruntime-gpu; tensorrt, the same with "
        "the detector in TensorRT; onnx, for machines without torch, where weights is the folder that `fourdhands export` "
        "wrote.",
        choices=("cpu", "cuda", "tensorrt", "onnx"),
    )
    """On the CPU onnxruntime runs a landmark network of the shipped one's sizes, and torch any other; such a network is faster
    there than a frame's way to a GPU and back."""
    search: str = setting(
        "thorough",
        "While a hand is missing, the detector searches it in every image, and in every fourth beside one that it has long "
        "followed alone: thorough; or in every fifth, with less load on the processor: fast.",
        choices=("thorough", "fast"),
    )
    looks: int = setting(
        1,
        "Pictures of each hand in each image of which the mean counts, turned, scaled and mirrored by turns: with 2 or 4 "
        "motion is steadier, in as many times the time of the detector's landmark network.",
        limits=(1, 4),
    )
    precision: str = setting(
        "float32",
        "Numbers that networks compute with. float16, bfloat16: model image, on a GPU. int8: with model landmark the "
        "detector's landmark network, on a CPU that is made for them (VNNI); less time, landmarks a little off.",
        choices=("float32", "float16", "bfloat16", "int8"),
    )
    detect_every: int = setting(
        5,
        "With model image the detector looks at every so many images at least, at the others only when a hand was lost or is "
        "uncertain.",
        limits=(1, 1000),
    )
    """Without lookahead."""

    def __post_init__(self) -> None:
        for spec in fields(self):
            value, choices, limits = getattr(self, spec.name), spec.metadata["choices"], spec.metadata["limits"]
            if choices and value not in choices:
                raise InputError(f"{spec.name} = {value!r} is not known; give one of {', '.join(choices)}")
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if limits and not (number and limits[0] <= value <= limits[1]):
                raise InputError(f"{spec.name} = {value!r} is out of range; give a number from {limits[0]} to {limits[1]}")

    def of_camera(self, name: str) -> TrackerSettings:
        """Those of one of several cameras."""
        return replace(self, mirrored=self.mirrored or (bool(name) and _bare(name) in map(_bare, self.mirrored_cameras)))

    def check_cameras(self, names: Iterable[str]) -> None:
        """Raises InputError where a camera that mirrors is none of these."""
        there = sorted(map(_bare, names))
        for name in filter(None, map(_bare, self.mirrored_cameras)):
            if name not in there:
                told = ", ".join(there) or "one without a name"
                raise InputError(f"mirrored_cameras names {name}, and the cameras are {told}; name some, or set mirrored")

    @property
    def hand_name(self) -> str:
        """The hand model's name, as messages and files have it."""
        from ..hand_model.assets import HUMAN  # with numpy, which a command that only tells its options need not wait for

        return Path(self.hand_model).stem or HUMAN
