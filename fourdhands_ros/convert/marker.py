"""One visualization_msgs/Marker within a serialised MarkerArray."""

from __future__ import annotations

from collections.abc import Sequence

from .cdr import Template

CUBE, SPHERE, LINE_LIST, TEXT, TRIANGLE_LIST = 1, 2, 5, 9, 11
"""Kinds of a marker."""
ADD, DELETE = 0, 2
"""Actions of a marker."""
_HERE = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0


def header(template: Template, frame_id: str) -> None:
    """std_msgs/Header, whose stamp is in the slots sec and nanosec."""
    template.slot("sec", "i4")
    template.slot("nanosec", "u4")
    template.string(frame_id)


def marker(
    template: Template,
    frame_id: str,
    ns: str,
    number: int,
    kind: int,
    colour: Sequence[float],
    *,
    action: int = ADD,
    scale: Sequence[float] = (1.0, 1.0, 1.0),
    lifetime: float = 0.0,
    pose: str | Sequence[float] = _HERE,
    points: tuple[str, int] = ("", 0),
    text: str = "",
) -> None:
    """Lay a marker out. pose: x, y, z and quaternion x, y, z, w, or the name of their slot. points: name of their slot, and how
    many. colour: RGBA, 0 to 1. lifetime: seconds, 0 for ever. scale: metres."""
    header(template, frame_id)
    template.string(ns)
    template.constant("i4", number)
    template.constant("i4", kind)
    template.constant("i4", action)
    if isinstance(pose, str):
        template.slot(pose, "f8", 7)
    else:
        template.constant("f8", pose)
    template.constant("f8", scale)
    template.constant("f4", colour)
    seconds, nanoseconds = divmod(round(lifetime * 1e9), 1_000_000_000)
    template.constant("i4", seconds)
    template.constant("u4", nanoseconds)
    template.constant("u1", False)  # frame_locked
    template.sequence(points[0] or "none", "f8", points[1], 3)
    template.constant("u4", 0)  # colors: one for the whole marker
    template.string("")  # texture_resource
    template.constant("i4", 0)  # texture, a sensor_msgs/CompressedImage
    template.constant("u4", 0)
    template.string("")  # frame_id
    template.string("")  # format
    template.constant("u4", 0)  # data
    template.constant("u4", 0)  # uv_coordinates
    template.string(text)
    template.string("")  # mesh_resource
    template.string("")  # mesh_file.filename
    template.constant("u4", 0)  # mesh_file.data
    template.constant("u1", False)  # mesh_use_embedded_materials
