"""Plots of the page: confidence, age, time of processing, rate, how fingers bend, pinch, and how far two results are apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import viser

from ..hand_model.skeleton import FINGERS, SIDES
from ..media.draw import FINGER_COLOURS, SIDE_COLOURS
from .moments import Course, flexion, pinch
from .timeline import thinned

_STAGE_COLOURS = ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75), (23, 190, 207))
Lines = dict[str, tuple[np.ndarray, tuple[int, int, int]]]
"""By its name a line's values, one a row, and its colour, RGB."""


def processing(course: Course, rows: np.ndarray) -> Lines:
    """Milliseconds by stage, and from an image's reception to its result."""
    return {
        name: (1e3 * seconds[rows], _STAGE_COLOURS[k % len(_STAGE_COLOURS)] if name != "total" else (40, 40, 40))
        for k, (name, seconds) in enumerate(course.stages.items())
    } or {"not known": (np.full(len(rows), np.nan), (90, 90, 90))}


def rate(course: Course, rows: np.ndarray) -> Lines:
    """A second, over half a second around each: results; images dropped and refused, where any are."""
    grey = (90, 90, 90)
    stamps = course.stamp / 1e9
    if len(stamps) < 2:
        return {"shown": (np.full(len(rows), np.nan), grey)}
    first = np.searchsorted(stamps, stamps[rows] - 0.25)
    last = np.searchsorted(stamps, stamps[rows] + 0.25) - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        seconds = stamps[last] - stamps[first]
        lines: Lines = {"shown": ((last - first) / seconds, grey)}
        for name, counts, colour in (("dropped", course.dropped, (214, 140, 40)), ("refused", course.rejected, (230, 40, 40))):
            if counts.any():
                lines[name] = (np.maximum(counts[last] - counts[first], 0) / seconds, colour)
    return lines


def bending(side: int) -> Callable[[Course, np.ndarray], Lines]:
    """Degrees that each finger of a side is bent."""

    def lines(course: Course, rows: np.ndarray) -> Lines:
        degrees = np.degrees(flexion(course.joints[rows, side]))
        return {finger: (degrees[:, k], FINGER_COLOURS[side][k]) for k, finger in enumerate(FINGERS)}

    return lines


PLOTS: dict[str, Callable[[Course, np.ndarray], Lines]] = {
    "Confidence": lambda course, rows: by_side(np.nan_to_num(course.confidence[rows])),  # 0 where not seen, as in messages
    "Pinch, mm": lambda course, rows: by_side(1e3 * pinch(course.joints[rows])),
    "Fingers of the left hand, degrees": bending(0),
    "Fingers of the right hand, degrees": bending(1),
    "Age, s": lambda course, rows: by_side(course.age[rows]),
    "Processing by stage, ms": processing,
    "Rate, images a second": rate,
}
"""By its title the lines of a plot."""


class PlotPanel:
    """One plot in the page and a choice of what it shows.

    more: further plots than PLOTS. span: seconds of the end of the course that are shown; 0 for all.
    """

    def __init__(
        self, server: viser.ViserServer, more: dict[str, Callable[[Course, np.ndarray], Lines]] | None = None, span: float = 0.0
    ) -> None:
        self._server, self._span = server, span
        self._plots = {**(more or {}), **PLOTS}
        self.choice = server.gui.add_dropdown("Plot", tuple(self._plots), initial_value=next(iter(self._plots)))
        self._shown, self._plot = "", None  # type: tuple[str, Any]

    @property
    def title(self) -> str:
        """Of what is chosen."""
        return self.choice.value if self.choice.value in self._plots else next(iter(self._plots))

    def draw(self, course: Course) -> None:
        """Bring the plot up to date."""
        title = self.title
        start = 0
        if self._span and len(course):
            start = int(np.searchsorted(course.stamp, course.stamp[-1] - round(self._span * 1e9)))
        rows = start + thinned(len(course) - start)
        if len(rows) < 2:
            return
        seconds = (course.stamp[rows] - course.stamp[0]) / 1e9
        lines = self._plots[title](course, rows)
        data = (seconds, *(np.asarray(values, np.float64) for values, _ in lines.values()))
        if title == self._shown and self._plot is not None:
            self._plot.data = data
            return
        if self._plot is not None:
            self._plot.remove()
        series = ({"label": "s"}, *(_series(name, values, colour) for name, (values, colour) in lines.items()))
        self._plot = self._server.gui.add_uplot(
            data,
            series,  # type: ignore[arg-type]  # plain dictionaries, which viser takes
            scales={"x": {"time": False}},
            legend={"show": True},
            aspect=1.6,
            padding=(14, 8, 0, 0),
            order=self.choice.order + 0.1,
        )
        self._shown = title


def by_side(values: np.ndarray) -> Lines:
    """Values (N, 2) as a line for each hand."""
    return {name: (values[:, side], SIDE_COLOURS[side]) for side, name in enumerate(SIDES)}


def _series(name: str, values: np.ndarray, colour: tuple[int, int, int]) -> dict[str, Any]:
    """A line; dots where there are gaps in it, across which uPlot would draw the line."""
    dots = bool(np.isnan(values).any())
    points = {"show": True, "size": 3, "fill": _css(colour)} if dots else {"show": False}
    return {"label": name, "stroke": _css(colour), "width": 0 if dots else 1.5, "points": points}


def _css(colour: tuple[int, int, int]) -> str:
    return "rgb({}, {}, {})".format(*colour)
