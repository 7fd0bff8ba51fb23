"""How bags become a dataset, and what became of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fourdhands_core.episodes.actions import files_of
from fourdhands_core.episodes.folder import content_key
from fourdhands_core.episodes.resampling import Cutting

from ..bags.camera import Options as Conversion
from .source import Chosen

LAYOUT = 13
"""Of parts; another number makes all that was done before worthless. 13: a JointState that names a joint without telling its
place is left out."""


@dataclass(frozen=True)
class Options:
    """How bags become a dataset.

    chosen: what of them is read. action: see actions.ACTIONS. cutting: see Cutting. task: of bags that do not say theirs.
    vcodec: see pictures.CODECS. outcome: only episodes that ended so, success or failure; empty for all. conversion: how hands
    are found in bags without. operator: the file of the operator's range, of a robot's action.

    Another one is an argument of `commands/episodes.py` with its place in `export` there, told of in `docs/demonstrations.md`.
    Bags that are done are done again where `plain` has another value, which leaves out what concerns the whole dataset alone,
    and has files by what is in them.
    """

    chosen: Chosen = field(default_factory=Chosen)
    action: str = "mano102"
    cutting: Cutting = field(default_factory=Cutting)
    task: str = ""
    vcodec: str = "h264"
    outcome: str = ""
    conversion: Conversion = field(default_factory=lambda: Conversion(markers=False))
    operator: Path | None = None

    def plain(self) -> dict[str, Any]:
        """What decides what becomes of a bag, in plain values."""
        values = {name: value for name, value in asdict(self).items() if name not in ("task", "outcome", "operator")}
        if files := files_of(self.action):
            values["robot"] = content_key(files, "")
        if self.operator is not None:
            values["operator"] = content_key([self.operator], "")
        values["conversion"] = self.conversion.plain()
        return json.loads(json.dumps({"layout": LAYOUT, **values}, default=str))

    def text(self) -> str:
        """The same in a line."""
        return json.dumps(self.plain(), sort_keys=True)


@dataclass
class Report:
    """What became of an export. episodes, rows: written. skipped: bags that are not in it, with the reason. again: it was there
    already."""

    episodes: int = 0
    rows: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    again: bool = False
