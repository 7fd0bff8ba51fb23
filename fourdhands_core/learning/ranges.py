"""What numbers the settings of trainings may be."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ..errors import InputError

MOST = 2**40
"""Of any setting: a million times as much, as clips are numbered from a seed, is a whole number of 64 bits."""


def check_ranges(settings: Any, positive: str = "", shares: str = "") -> None:
    """Raise InputError where a number in a dataclass is not finite or below 0; positive: names, with blanks between, of those
    that must not be 0; shares: of those that are 1 at most."""
    for field in fields(settings):
        name, value = field.name, getattr(settings, field.name)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                continue
            if name in positive.split() and not 0 < number <= MOST:
                least = "at least 1" if isinstance(number, int) else "positive"
                raise InputError(f"{name} must be {least}{', and at most 2**40' * (number > MOST)}, not {number}")
            if name in shares.split() and not 0 <= number <= 1:
                raise InputError(f"{name} must be from 0 to 1, not {number}")
            if not 0 <= number <= MOST:
                raise InputError(f"{name} must be from 0 to 2**40, not {number}")
