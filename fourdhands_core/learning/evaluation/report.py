"""Writes an evaluation for people and programs: tables beside the paper's, JSON, every hand's errors, the worst hands drawn."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...hand_model.skeleton import BONES, SIDES
from ...media.draw import contact_sheet, draw_skeleton, draw_text
from ...media.images import write_image
from ...outputs import TEXT, write_text, writing
from ...streams import counted
from ..datasets.frames import DatasetFrame, HandDataset
from .dataset import SAMPLE_METRICS, SINGLE_IMAGES, Evaluation, HandErrors, unit
from .published import ALL_COLUMNS, TABLES, Column

_TRUTH_COLOUR = (255, 255, 255)
_CELL = 320
OUTPUTS = "tables.txt", "results.json", "samples.csv", "worst.png"
"""What `write` makes."""


def as_text(evaluation: Evaluation, label: str) -> str:
    """The tables: the paper's columns with its and its peers' figures, then all columns by sequence and over all.

    label: names the network in the row of its figures. Metrics that the ground truth does not allow are left out and named.
    """
    overall = evaluation.overall
    lines = [
        f"{evaluation.name} {evaluation.split}: {counted(evaluation.frames, 'frames')}, "
        f"{counted(int(overall['hands']), 'hands')} with joints, {overall['found']} found, "
        f"{counted(int(overall['pairs']), 'pairs')}"
    ]
    if (table := TABLES.get(evaluation.name)) is not None:
        if columns := [column for column in table.columns if column.metric in overall]:
            places = [table.columns.index(column) for column in columns]
            rows = [
                (method, [_number(figures[k], columns[n], as_printed=True) for n, k in enumerate(places)])
                for method, figures in table.rows
            ]
            rows.append((label, [_number(overall[column.metric], column) for column in columns]))
            lines += ["", f"Table {table.number} of the paper ({table.title})", *_grid(columns, rows)]
    columns = [column for column in ALL_COLUMNS if column.metric in overall]
    rows = [
        (name, [_number(summary.get(column.metric), column) for column in columns])
        for name, summary in [*evaluation.sequences.items(), ("overall", overall)]
        if name != SINGLE_IMAGES
    ]
    lines += ["", *_grid(columns, rows)]
    wanted = {column.metric: column for column in (*ALL_COLUMNS, *(table.columns if table else ()))}
    if absent := [column.title for metric, column in wanted.items() if metric not in overall]:
        lines += ["", f"left out, for want of ground truth or of hands found: {', '.join(absent)}"]
    return "\n".join(lines + [f"note: {note}" for note in evaluation.notes])


def as_json(evaluation: Evaluation, **about: Any) -> dict:
    """The results as plain values; `about` says what was evaluated. The paper's table comes with them."""
    table = TABLES.get(evaluation.name)
    result = {
        **about,
        "dataset": evaluation.name,
        **{name: getattr(evaluation, name) for name in ("split", "frames", "frame_rate", "overall", "sequences")},
        "units": {name: unit(name) for name in evaluation.overall if name not in ("hands", "found", "pairs")},
        "notes": evaluation.notes,
    }
    if table is not None:
        rows = {method: list(figures) for method, figures in table.rows}
        result["paper"] = {"table": table.number, "columns": [column.title for column in table.columns], "rows": rows}
    return result


def write(evaluation: Evaluation, dataset: HandDataset, folder: Path, text: str, **about: Any) -> None:
    """Write tables.txt, results.json, samples.csv and worst.png into `folder`, made if missing. InputError if it cannot be."""
    write_text(folder / "tables.txt", text + "\n")
    write_text(folder / "results.json", json.dumps(as_json(evaluation, **about), indent=1) + "\n")
    with writing(folder / "samples.csv") as partial, partial.open("w", newline="", **TEXT) as file:
        rows = csv.writer(file)
        rows.writerow(["key", "sequence", "side", *SAMPLE_METRICS])
        for sample in evaluation.samples:
            errors = ("" if np.isnan(error) else f"{error:.4f}" for error in sample.errors)
            rows.writerow([sample.key, sample.sequence, SIDES[sample.side], *errors])
    (folder / "worst.png").unlink(missing_ok=True)  # of an earlier evaluation
    if evaluation.worst:
        pictures = [draw_sample(dataset[sample.index], sample) for sample in evaluation.worst]
        write_image(folder / "worst.png", contact_sheet(pictures, cell_width=_CELL))


def draw_sample(frame: DatasetFrame, sample: HandErrors) -> np.ndarray:
    """The hand's surroundings, (_CELL, _CELL, 3) uint8 RGB: truth in white, prediction in the fingers' colours, its error."""
    hand = frame.hands[sample.side]
    centre, half = (hand.box[:2] + hand.box[2:]) / 2, 0.75 * (hand.box[2:] - hand.box[:2]).max()
    scale = _CELL / (2.0 * half)
    matrix = np.array([[scale, 0.0, _CELL / 2 - scale * centre[0]], [0.0, scale, _CELL / 2 - scale * centre[1]]])
    picture = cv2.warpAffine(frame.load(), matrix, (_CELL, _CELL), flags=cv2.INTER_LINEAR)
    points = hand.points
    if points is None and hand.joints is not None and hand.metric and frame.camera is not None:
        points = frame.camera.project(hand.joints)
    if points is not None:
        places = points * scale + matrix[:, 2]
        for a, b in BONES:
            if np.isfinite(places[[a, b]]).all():
                start, end = np.clip(places[[a, b]], -1e4, 1e4).round().astype(int).tolist()
                cv2.line(picture, start, end, _TRUTH_COLOUR, 2, cv2.LINE_AA)
    draw_skeleton(picture, np.clip(sample.points * scale + matrix[:, 2], -1e4, 1e4), sample.side)
    draw_text(picture, f"{SIDES[sample.side]} {sample.error(sample.measure):.1f} {unit(sample.measure)}", (2, 2), scale=0.45)
    draw_text(picture, sample.key[-44:], (2, _CELL), scale=0.35)
    return picture


def _number(value: float | None, column: Column, as_printed: bool = False) -> str:
    """A figure; as_printed: it is in the column's unit already, as the paper prints it."""
    return "-" if value is None else f"{value * (1.0 if as_printed else column.factor):.{column.decimals}f}"


def _grid(columns, rows) -> list[str]:
    """Lines with the rows' names on the left and their figures under the titles."""
    width = max(len(name) for name, _ in rows)
    widths = [max(len(column.title), 7) for column in columns]
    lines = [" " * width + "".join(f"  {column.title:>{w}}" for column, w in zip(columns, widths))]
    return lines + [f"{name:<{width}}" + "".join(f"  {cell:>{w}}" for cell, w in zip(cells, widths)) for name, cells in rows]
