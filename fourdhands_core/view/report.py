"""A recording as one HTML file that needs nothing else: summary, time line, trajectories, latency, the worst moments."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..hand_model.skeleton import SIDES
from ..media.draw import SIDE_COLOURS, draw_hands
from ..media.images import jpeg
from ..outputs import write_text
from . import events
from .moments import SEEN, Course, pinch
from .recordings import Recording
from .timeline import drawing, thinned

_PICTURE_WIDTH, _QUALITY = 480, 80
_PICTURES = 9
_STYLE = """
body{font:15px/1.45 sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse}td,th{padding:.15em .9em .15em 0;text-align:left;vertical-align:top}td+td,th+th{text-align:right}
figure{display:inline-block;margin:.4em;width:310px;vertical-align:top}figure img{width:100%}figcaption{font-size:.9em}
svg.plot{width:100%;height:auto;font:11px sans-serif}.note{color:#a33}
"""


def write_report(recording: Recording, out: Path, progress: Callable[[int], object] = lambda rows: None) -> None:
    """Read a recording whole and write its report; the file appears complete or not at all.

    progress: called with the number of rows read so far. Raises InputError where the recording holds no image.
    """
    while recording.advance():
        progress(recording.course.read)
    if not len(recording.course):
        told = "".join(f"; {warning}" for warning in recording.warnings)
        raise InputError(f"{recording.name} holds no image that could be used{told}")
    write_text(out, report(recording))


def report(recording: Recording) -> str:
    """The HTML of a recording that has been read whole."""
    course, name = recording.course, html.escape(recording.name)
    pictures = _pictures(recording)
    notes = "".join(f'<p class="note">{html.escape(warning)}</p>' for warning in recording.warnings)
    parts = [
        f"<h1>Hands in {name}</h1>{notes}",
        f"<h2>Summary</h2>{_table(summary(course))}",
        f"<h2>Time line</h2>{drawing(course)}<p>Above the left hand, below the right one: coloured where tracked, pale where "
        "held, dark where absent. Below: red where images were refused, violet where left and right are exchanged, grey where "
        "images are missing.</p>",
        f"<h2>Wrists</h2>{_trajectories(course)}<p>In the frame of the positions: a camera's, x to its right, y down, z away "
        "from it, or another one, such as the fixed frame of several cameras.</p>",
        f"<h2>Pinch</h2>{_pinch(course)}",
        f"<h2>Latency</h2>{_latency(course)}",
        f"<h2>Worst moments</h2>{pictures}",
    ]
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Hands in {name}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def summary(course: Course) -> list[tuple[str, str]]:
    """What a recording came to, as names and values for people."""
    seconds = float(course.stamp[-1] - course.stamp[0]) / 1e9
    seen = course.state == SEEN
    rows = [("images", str(len(course))), ("seconds", f"{seconds:.1f}")]
    if len(course) > 1 and (period := float(np.median(np.diff(course.times())))) > 0:
        rows.append(("images a second, by the median period", f"{1e9 / period:.1f}"))
    for side, name in enumerate(SIDES):
        sure = course.confidence[seen[:, side], side]
        mean = f", mean confidence {sure.mean():.2f}" if len(sure) else ""
        rows.append((f"{name} hand tracked", f"{100 * seen[:, side].mean():.1f} %{mean}"))
    rows.append(("both tracked", f"{100 * seen.all(axis=1).mean():.1f} %"))
    if seen.any():
        rows.append(("positions in metres", f"{100 * (course.scaled[seen] > 0).mean():.0f} % of the tracked hands"))
    for kind, what in zip(events.KINDS, ("losses", "exchanges of sides", "times images were refused", "gaps")):
        rows.append((what, str(len(events.find(course, kind)))))
    rows.append(("images dropped for newer ones, refused", f"{int(course.dropped.max())}, {int(course.rejected.max())}"))
    return rows


def worst(course: Course, most: int = _PICTURES) -> list[tuple[int, str]]:
    """Rows worth a look, in order, at most one in a third of a second, and why: losses, exchanges, jumps of a wrist, slow
    images and the least confidence; of each kind the worst first, in turns."""
    kinds = [_events(course, events.EXCHANGE), _events(course, events.LOSS), _jumps(course), _doubtful(course), _slow(course)]
    chosen: list[tuple[int, str]] = []
    while len(chosen) < most and any(kinds):
        for kind in kinds:
            while kind:
                row, why = kind.pop(0)
                if all(abs(int(course.stamp[row]) - int(course.stamp[other])) > 333_000_000 for other, _ in chosen):
                    chosen.append((row, why))
                    break
            if len(chosen) == most:
                break
    return sorted(chosen)


def _events(course: Course, kind: str) -> list[tuple[int, str]]:
    return [(row, events.describe(course, kind, row)) for row in events.find(course, kind).tolist()]


def _jumps(course: Course) -> list[tuple[int, str]]:
    """Fastest wrists first."""
    if len(course) < 2:
        return []
    wrist = course.joints[:, :, 0].astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        speed = np.linalg.norm(np.diff(wrist, axis=0), axis=2) / (np.diff(course.times())[:, None] / 1e9)
    speed = np.where(np.isfinite(speed), speed, -1.0)
    fastest, side = speed.max(axis=1), speed.argmax(axis=1)
    rows = [row for row in np.argsort(-fastest, kind="stable")[:50].tolist() if fastest[row] > 1.0]
    return [(row + 1, f"{SIDES[side[row]]} wrist at {fastest[row]:.1f} m/s") for row in rows]


def _doubtful(course: Course) -> list[tuple[int, str]]:
    """Least confidence of a tracked hand first."""
    confidence = np.where(course.state == SEEN, course.confidence, np.inf)
    least, side = confidence.min(axis=1), confidence.argmin(axis=1)
    return [(row, f"{SIDES[side[row]]} hand with confidence {least[row]:.2f}") for row in _least(least)]


def _slow(course: Course) -> list[tuple[int, str]]:
    total = course.stages.get("total", np.full(len(course), np.nan))
    return [(row, f"{1e3 * total[row]:.0f} ms of processing") for row in _least(-total)]


def _least(values: np.ndarray) -> list[int]:
    """The rows of the least of (N,) values, those first; without what is not finite."""
    return [row for row in np.argsort(values, kind="stable")[:50].tolist() if np.isfinite(values[row])]


def _pictures(recording: Recording) -> str:
    """The worst moments, each with the hands drawn on its image."""
    figures = []
    for row, why in worst(recording.course):
        image, moment = recording.image(row), recording.moment(row)
        seconds = (int(recording.course.stamp[row]) - int(recording.course.stamp[0])) / 1e9
        caption = f"<figcaption>{seconds:.2f} s, image {row}: {html.escape(why)}</figcaption>"
        if image is None:
            figures.append(f"<figure>{caption}</figure>")
            continue
        if not recording.overlaid:
            image = image.copy()
            draw_hands(image, moment.pair)
        coded = base64.b64encode(jpeg(image, _QUALITY, _PICTURE_WIDTH)).decode()
        figures.append(f'<figure><img alt="image {row}" src="data:image/jpeg;base64,{coded}">{caption}</figure>')
    return "".join(figures) or "<p>None.</p>"


def _trajectories(course: Course) -> str:
    """x, y and z of both wrists over time."""
    wrist = course.joints[thinned(len(course)), :, 0].astype(np.float64)
    return "".join(_by_side(course, wrist[:, :, axis], f"{name}, m") for axis, name in enumerate("xyz"))


def _pinch(course: Course) -> str:
    joints = course.joints[thinned(len(course))]
    return _by_side(course, 1e3 * pinch(joints.astype(np.float64)), "thumb to index finger, mm")


def _by_side(course: Course, values: np.ndarray, title: str) -> str:
    return _over_time(course, [(SIDES[side], values[:, side], SIDE_COLOURS[side]) for side in range(2)], title)


def _over_time(course: Course, lines: Sequence[tuple[str, np.ndarray, tuple[int, int, int]]], title: str) -> str:
    """A plot of lines with a value for each thinned row of a course."""
    return line_plot((course.stamp[thinned(len(course))] - course.stamp[0]) / 1e9, lines, title)


def _latency(course: Course) -> str:
    stages = {name: values[np.isfinite(values)] for name, values in course.stages.items()}
    if not (stages := {name: values for name, values in stages.items() if len(values)}):
        return "<p>Not recorded.</p>"
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td>"
        + "".join(f"<td>{1e3 * value:.1f}</td>" for value in np.percentile(values, (50, 95, 99)))
        + "</tr>"
        for name, values in stages.items()
    )
    table = f"<table><tr><th>stage</th><th>p50, ms</th><th>p95, ms</th><th>p99, ms</th></tr>{rows}</table>"
    total = course.stages.get("total")
    if total is None:
        return table
    return table + _over_time(course, [("total", 1e3 * total[thinned(len(course))], (60, 60, 60))], "processing, ms")


def line_plot(
    x: np.ndarray, lines: Sequence[tuple[str, np.ndarray, tuple[int, int, int]]], title: str, height: int = 130
) -> str:
    """SVG of lines over x, each a name, values (N,) and a colour; broken where values are not finite."""
    values = np.concatenate([line[1] for line in lines])
    values = values[np.isfinite(values)]
    if not len(values) or not len(x):
        return f"<p>{html.escape(title)}: nothing.</p>"
    low, high = float(values.min()), float(values.max())
    pad = 0.05 * (high - low) or max(abs(high), 1.0) * 0.05
    low, high = low - pad if low < 0 else max(low - pad, 0.0), high + pad  # no distance or time is below 0
    left, right, top, bottom = 60.0, 990.0, 20.0, height - 20.0
    span = float(x[-1] - x[0]) or 1.0
    px = left + (x - x[0]) / span * (right - left)
    shapes = [f'<text x="{left}" y="12">{html.escape(title)}</text>']
    for part in (0.0, 0.5, 1.0):
        y, value = bottom - part * (bottom - top), low + part * (high - low)
        text = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"  # which of thousands were 1.79e+03
        shapes.append(f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        shapes.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
        at = left + part * (right - left)
        anchor = "end" if part == 1.0 else "middle"
        shapes.append(f'<text x="{at:.0f}" y="{height - 5}" text-anchor="{anchor}">{x[0] + part * span:.1f} s</text>')
    for k, (name, line, colour) in enumerate(lines):
        stroke = "rgb({},{},{})".format(*colour)
        py = bottom - (line - low) / (high - low) * (bottom - top)
        path = " ".join(_pieces(px, py))
        shapes.append(f'<path d="{path}" fill="none" stroke="{stroke}" stroke-width="1.3" stroke-linecap="round"/>')
        shapes.append(f'<text x="{right - 60 * (len(lines) - k)}" y="12" fill="{stroke}">{html.escape(name)}</text>')
    return f'<svg class="plot" viewBox="0 0 1000 {height}">{"".join(shapes)}</svg>'


def _pieces(x: np.ndarray, y: np.ndarray) -> list[str]:
    """The commands of a path that is broken where y is not finite; a point alone is a dot."""
    there = np.isfinite(y)
    commands = []
    for i in np.flatnonzero(there).tolist():
        begins = i == 0 or not there[i - 1]
        commands.append(f"{'M' if begins else 'L'}{x[i]:.1f} {y[i]:.1f}" + ("h0" if begins else ""))
    return commands


def _table(rows: list[tuple[str, str]]) -> str:
    return "<table>" + "".join(f"<tr><td>{html.escape(a)}</td><td>{html.escape(b)}</td></tr>" for a, b in rows) + "</table>"
