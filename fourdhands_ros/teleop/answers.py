"""What hands_teleop answers to who calls ~/engage, ~/release, ~/reset, and shows it the operator's fingers."""

from __future__ import annotations

from collections.abc import Callable

from fourdhands_core.teleop import ESTOP, FAULT, IDLE, READY, STATE_NAMES, TeleopState
from fourdhands_core.teleop.types import MOVING_STATES


def answer(name: str, state: TeleopState, estop: str, missing: Callable[[], str]) -> tuple[bool, bool, str]:
    """(whether it is to be done, whether it is or was done, in words) of engage, release or reset.

    estop: what has to be done about ~/estop first, in words. missing: what keeps the robot from being engaged, in words.
    """
    called = STATE_NAMES[state.state]
    if name == "engage" and state.state in MOVING_STATES:
        return False, True, f"{called}: it follows already"
    if name == "engage" and state.state == READY:
        return True, True, "following"
    if name == "engage":
        why = "; ".join(filter(None, (", ".join(state.reasons) or "not ready yet", missing())))
        return False, False, f"{called}: {why}"
    if name == "release":
        return True, True, "released"
    if state.state not in (ESTOP, FAULT):
        return False, True, f"{called}: nothing to reset, and nothing was changed"
    if estop or not state.rests:
        return False, False, f"{called}: {estop or 'the robot still stops; ask again'}"
    return True, True, "asked for; ~/state tells"


def fingers_follow(state: TeleopState) -> str:
    """Why the operator's range cannot be shown now, in words; empty where it can."""
    if state.state in (IDLE, READY) and state.rests:
        return ""
    how = "~/reset" if state.state in (ESTOP, FAULT) else "~/release"
    return f"{STATE_NAMES[state.state]}: fingers that follow would move by it; call {how} first"
