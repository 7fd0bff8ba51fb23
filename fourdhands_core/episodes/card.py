"""The card of a dataset: one HTML page without any address outside it, with pictures, statistics and what was left out."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import Any

import numpy as np

from ..files import from_root
from ..outputs import TEXT

NAME = "card.html"
_PICTURES = 12
_WIDTH = 240


def write_card(whole: Path, told: dict[str, Any], parts: list[dict[str, Any]]) -> None:
    """Write the page. told: the manifest. parts: what the parts say whose episodes are in the dataset, in order."""
    episodes = [(part, episode) for part in parts for episode in part["episodes"]]
    rows = sum(episode["length"] for _, episode in episodes)
    fps = told["options"]["cutting"]["fps"]
    body = [
        "<h1>Dataset of hands</h1>",
        _table(
            [
                ("format", told["format"]),
                ("episodes, rows", f"{len(episodes)}, {rows} ({rows / fps:.1f} s at {fps} a second)"),
                ("action", told["options"]["action"]),
                ("frame", parts[0]["frame"]),
                ("tasks", "; ".join(dict.fromkeys(part["task"] or told["task"] or "not said" for part in parts))),
                ("hand model, network", f"{parts[0]['facts'].get('hand_model')}, {parts[0]['facts'].get('network')}"),
            ]
        ),
        "<h2>Pictures</h2>",
        "".join(_pictures(whole)) or "<p>None.</p>",
        "<h2>Lengths of the episodes</h2>",
        _bars([episode["length"] / fps for _, episode in episodes]),
        "<h2>Columns</h2>",
        _columns(parts),
        "<h2>Bags, and what was left out</h2>",
        _bags(told),
    ]
    style = "body{font:14px sans-serif;max-width:60em;margin:2em auto}td,th{padding:2px 10px 2px 0;text-align:left}"
    page = f"<!doctype html><meta charset=utf-8><title>Dataset of hands</title><style>{style}</style>{''.join(body)}\n"
    (whole / NAME).write_text(page, **TEXT)


def _table(rows: list[tuple], head: tuple = ()) -> str:
    cells = "".join(f"<th>{html.escape(str(cell))}" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}" for cell in row) for row in rows)
    return f"<table>{'<tr>' + cells if cells else ''}{lines}</table>"


def _columns(parts: list[dict[str, Any]]) -> str:
    from .statistics import together

    rows = []
    for name, one in sorted(parts[0]["features"].items()):
        statistics = together([episode["statistics"][name] for part in parts for episode in part["episodes"]])
        shown = [f"{of(statistics[key]):.4g}" for key, of in (("min", np.min), ("mean", np.mean), ("max", np.max))]
        rows.append((name, one["dtype"], "x".join(map(str, one["shape"])), *shown))
    return _table(rows, ("column", "type", "size", "least", "mean", "most"))


def _bags(told: dict[str, Any]) -> str:
    rows = []
    for one in told["bags"]:
        why = [f"{piece['seconds']:.2f} s from {piece['start']:.2f} s: {piece['reason']}" for piece in one["left_out"]]
        why += [f"{count} times {reason}" for reason, count in one["unusable"].items()] + one["warnings"]
        off = "{mean_mm:.2f}, {p95_mm:.2f}, {most_mm:.2f}".format(**one["resampling"])
        seconds = f"{one['seconds_exported']:.1f} of {one['seconds']:.1f}"
        rows.append((one["bag"], one["episodes"], seconds, off, "; ".join(why)))
    rows += [(bag, 0, "", "", reason) for bag, reason in told["skipped"].items()]
    about = "interpolation, about: mm in the mean, 95 %, most"
    return _table(rows, ("bag", "episodes", "seconds", about, "left out"))


def _bars(seconds: list[float]) -> str:
    counts, edges = np.histogram(seconds, bins=min(10, max(1, len(seconds))))
    most = max(int(counts.max()), 1)
    rows = [
        f'<rect x="90" y="{18 * k}" width="{300 * count / most:.1f}" height="14" fill="#5b8fc9"/>'
        f'<text x="0" y="{18 * k + 12}" font-size="11">{edges[k]:.1f} to {edges[k + 1]:.1f} s</text>'
        f'<text x="{96 + 300 * count / most:.1f}" y="{18 * k + 12}" font-size="11">{count}</text>'
        for k, count in enumerate(counts.tolist())
    ]
    return f'<svg width="460" height="{18 * len(rows) + 4}" xmlns="http://www.w3.org/2000/svg">{"".join(rows)}</svg>'


def _pictures(whole: Path) -> list[str]:
    """The first picture of some of the videos."""
    if not (videos := sorted(whole.rglob("*.mp4"))):
        return []
    import av

    from ..media.images import jpeg

    shown = []
    for number in np.unique(np.linspace(0, len(videos) - 1, min(_PICTURES, len(videos))).astype(int)):
        with av.open(from_root(videos[number])) as container:
            image = next(container.decode(video=0)).to_ndarray(format="rgb24")
        text = base64.b64encode(jpeg(image, width=_WIDTH)).decode()
        name = html.escape(str(videos[number].relative_to(whole)))
        picture = f'<img src="data:image/jpeg;base64,{text}" alt="{name}">'
        shown.append(f'<figure style="display:inline-block;margin:4px">{picture}</figure>')
    return shown
