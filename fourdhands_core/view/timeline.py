"""A recording's course as a drawing: a band for each hand, and marks where images were refused, missing, or sides exchanged."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from ..hand_model.skeleton import SIDES
from ..media.draw import SIDE_COLOURS
from . import events
from .moments import KEPT, SEEN, UNKNOWN, Course

_BAND, _GAP, _MARKS, _SPAN = 14, 3, 9, 3
_WIDTH = 1000
_UNREAD, _ABSENT = "#c8c8c8", "#37373c"
MARK_COLOURS = {events.REFUSAL: "#e62828", events.GAP: "#969696", events.EXCHANGE: "#c83cdc"}
HEIGHT = 2 * (_BAND + _GAP) + _MARKS + _SPAN


def drawing(course: Course) -> str:
    """SVG as wide as there is room, from the first image to the last, by their numbers; see `bands`."""
    return with_cursor(bands(course), len(course))


def with_cursor(drawn: str, count: int, cursor: int | None = None) -> str:
    """The SVG of what `bands` drew of a course of so many rows. cursor: a row that is marked."""
    columns = min(count, _WIDTH)
    if count and cursor is not None:
        drawn += _boxes([(cursor * columns / count, max(0.5, columns / 400))], 0, HEIGHT, "#000000")
    return (
        f'<svg viewBox="0 0 {max(columns, 1)} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="time line of {" and ".join(SIDES)} hand" '
        f'style="display:block;width:100%;height:{HEIGHT}px">{drawn}</svg>'
    )


def bands(course: Course, span: tuple[int, int] | None = None) -> str:
    """All of a time line but its cursor, which of an hour takes longer than a picture.

    Above the left hand, below the right one, in its colour where it is TRACKED, paler where it is HELD, dark where it is
    ABSENT, grey where the recording has not been read yet; below that marks: red of refusals, violet of exchanges, grey of
    gaps. A column shows the worst that happens in it, so that a loss of a single image is seen. span:
    nanoseconds between which the demonstration is, a black line below all.
    """
    count, shapes = len(course), []
    columns = min(count, _WIDTH)
    if count:
        first = (np.arange(columns) * count) // columns
        for side in range(2):
            shapes += _band(course.state[:, side], first, side)
        for kind, colour in MARK_COLOURS.items():
            places = np.unique((events.find(course, kind) * columns) // count)
            marks = [(place, max(1.0, columns / 300)) for place in places.tolist()]
            shapes.append(_boxes(marks, 2 * (_BAND + _GAP), _MARKS, colour))
        if span is not None:
            begin, end = np.searchsorted(course.stamp, span[0]), np.searchsorted(course.stamp, span[1], "right")
            place, wide = int(begin) * columns / count, max(int(end - begin), 1) * columns / count
            shapes.append(_boxes([(place, wide)], HEIGHT - _SPAN, _SPAN, "#000000"))
    return "".join(shapes)


def thinned(count: int, most: int = 800) -> np.ndarray:
    """Rows, increasing, of which a plot is made: all, or about so many."""
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).round().astype(int)


def _band(state: np.ndarray, first: np.ndarray, side: int) -> list[str]:
    order = np.select([state == UNKNOWN, state == SEEN, state == KEPT], [0, 3, 2], 1)  # the worst first
    worst = np.minimum.reduceat(order, first)
    colour = np.array(SIDE_COLOURS[side])
    colours = [_UNREAD, _ABSENT, _hex(0.4 * colour + 0.6 * 255), _hex(colour)]
    edges = [0, *(1 + np.flatnonzero(np.diff(worst))).tolist(), len(worst)]
    parts = [(start, end - start, worst[start]) for start, end in itertools.pairwise(edges)]
    top = side * (_BAND + _GAP)
    return [_boxes([part[:2] for part in parts if part[2] == k], top, _BAND, colour) for k, colour in enumerate(colours)]


def _boxes(places: Sequence[tuple[float, float]], y: float, height: float, colour: str) -> str:
    """Boxes from x, so wide, as one path: it is sent with each picture."""
    ways = "".join(f"M{x:g} {y}h{width:g}v{height}h{-width:g}z" for x, width in places)
    return f'<path d="{ways}" fill="{colour}"/>' if ways else ""


def _hex(colour: np.ndarray) -> str:
    return "#{:02x}{:02x}{:02x}".format(*np.asarray(colour).astype(int).tolist())
