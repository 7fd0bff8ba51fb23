"""Whether `axes` are those of the frame in which hands come: by default they are those of a camera that faces the operator."""

from __future__ import annotations

import numpy as np

from fourdhands_core.teleop import TeleopSettings

from .parameters import TeleopParameters


def misled(frame: str, parameters: TeleopParameters, settings: TeleopSettings) -> bool:
    """Whether hands come in the arm's base, as those of fused cameras may, and the arm goes by a camera's axes: a hand that
    goes up would lead it back."""
    return bool(frame) and frame.lstrip("/") == parameters.base_frame.lstrip("/") and _of_a_camera(parameters, settings)


def axes_problem(frame: str, fused: bool, parameters: TeleopParameters, settings: TeleopSettings) -> str:
    """What to set, in words, where hands come in a frame that is no camera's by its name; else empty. fused: hands of several
    cameras."""
    if misled(frame, parameters, settings):
        return (
            f"hands come in {frame}, the arm's base, and axes are those of a camera that faces the operator; set axes: "
            "[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0], with which the arm goes where the hand goes"
        )
    if not fused or frame.removesuffix("_frame").endswith("optical"):
        return ""
    if _of_a_camera(parameters, settings):
        return (
            f"hands of fused cameras come in {frame}, and axes are those of a camera that faces the operator; set axes by "
            f"which the arm goes where the hand goes in {frame}: docs/teleoperation.md"
        )
    if settings.scale_depth < 1.0 and not settings.absolute and parameters.arm != "none":
        return (
            f"hands of fused cameras come in {frame}, and scale_depth: {settings.scale_depth:g} takes its third axis for the "
            "way to a camera; set it to 1.0"
        )
    return ""


def _of_a_camera(parameters: TeleopParameters, settings: TeleopSettings) -> bool:
    """Whether the arm goes by `axes`, and they are those of a camera that faces the operator."""
    by_axes = parameters.arm != "none" and (settings.turns or not settings.absolute)
    return by_axes and np.array_equal(settings.axes, TeleopSettings.axes)
