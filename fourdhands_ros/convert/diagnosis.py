"""What /diagnostics says of a camera's hands, in sentences for people."""

from __future__ import annotations

from typing import Any

_REFUSED = "refused: "
_HANDS = "left hand"
"""A value that only the hands' own status has."""


def sentences(array: Any, frame_id: str) -> tuple[str, ...]:
    """Of a DiagnosticArray what is wrong with the camera of these images' frame.

    The status' message where it is not well, refused images by reason, the last problem, the calibration where there is
    something about it.
    """
    found: list[str] = []
    for status in array.status:
        values = {str(value.key): str(value.value) for value in status.values}
        if _HANDS not in values or status.hardware_id != frame_id:
            continue
        level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
        if level:
            found.append(f"{status.message}.")
        refused = [f"{value} ({key.removeprefix(_REFUSED)})" for key, value in values.items() if key.startswith(_REFUSED)]
        if refused:
            found.append(f"Refused so far: {', '.join(refused)}.")
        if (problem := values.get("last problem")) and problem not in status.message:
            found.append(f"Last problem: {problem}.")
        if (calibration := values.get("calibration", "")) not in ("", "calibrated"):
            found.append(f"Calibration: {calibration}.")
    return tuple(found)


def recorder_words(array: Any) -> str:
    """What hands_recorder says of itself in a DiagnosticArray; empty where it is not in it."""
    return next((f"Recorder: {status.message}." for status in array.status if status.name.endswith("hands_recorder")), "")
