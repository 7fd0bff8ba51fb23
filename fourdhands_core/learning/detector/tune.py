"""Trains the detector's landmark network on: rendered hands pull its landmarks to where it sees joints on average, real ones
hold it to what it said of them.

What it says else, depth, the 3-D hand and the side, stays what the network said before, on either; the presence learns on
rendered hands whether a hand is there and read rightly, and stays on real ones.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

from ...errors import InputError
from ...hand_model.skeleton import JOINT_PARENTS, TIP_JOINTS
from ...outputs import writing
from ...perception.hand_networks import HAND, HandNetworks
from ...runtime.image import check_device
from ..ranges import check_ranges
from .crop_files import PART, Crops, RealCrops, rendered_crops
from .graph import Graph

OUTPUTS = "landmarks", "presence", "handedness", "world"
"""Of the network: (N, 63) pixels of the crop, (N, 1) and (N, 1) 0-1, (N, 63) metres."""
_PARENTS = torch.tensor(JOINT_PARENTS.clip(min=0))
_TIPS = torch.tensor(TIP_JOINTS)
_EACH = 6
"""Crops of each real hand, all but one of them stretched and coloured."""
_CLIPPED = 50.0
"""Most norm of a step's gradient."""


@dataclass(frozen=True)
class TuneSettings:
    """Settings of a run."""

    seed: int = 1
    start: str = ""
    """The network to begin from, an ONNX file; the package's own where empty. What it says is kept to as well."""
    fixed: str = ""
    """What lies before this value of the graph stays as it is, and is computed once: t142 and t149 are values of the shipped
    network. Empty: all of it learns."""
    parts: int = 200
    """Files of rendered crops, of `clips` clips and some 12 crops a clip each, kept in `folder`; hand families by turns."""
    clips: int = PART
    folder: str = "crops"
    held_parts: int = 4
    """Files of rendered crops that are not learned from, to measure on."""
    real: str = ""
    """Videos and photos of real hands, with commas between."""
    real_held: str = ""
    """Such that are not learned from, to measure on."""
    workers: int = 1
    """Processes that render, and threads that decode."""
    threads: int = 1
    device: str = "cpu"
    """cpu or cuda, for what learns; crops are rendered on the CPU."""
    steps: int = 6000
    batch: int = 64
    """Rendered crops a step, and half as many real ones."""
    rate: float = 5e-4
    """Peak learning rate of AdamW; a short warm-up, then a cosine to zero."""
    relative: float = 0.5
    """Weight of each landmark's place beside its finger's one before, and of the thumb's tip beside the others."""
    kept: float = 4.0
    """Weight of the real hands."""
    presence: float = 4.0
    """Weight of the presence of rendered hands, which is to say whether they are read rightly; 0: it is kept as it was."""
    halved: bool = False
    """Products in 16 bits (bfloat16) while it learns."""
    share: float = 0.3
    """How much of the way from the weights that it began with to what it learned is taken: what is gained on rendered hands
    comes early on that way, and what is lost on others late (Wortsman et al., Robust fine-tuning of zero-shot models, 2022)."""
    average: float = 0.998
    """Of the exponential moving average of the weights, of which `share` is written."""
    every: int = 500
    """Steps after which it is measured, and written, with all that the run needs to go on."""

    def __post_init__(self):
        check_ranges(self, "parts clips held_parts threads steps batch every", "share average")


def places(said: torch.Tensor) -> torch.Tensor:
    """(N, 21, 2) pixels of the crop of landmarks (N, 63)."""
    return said.unflatten(1, (21, 3))[..., :2]


def beside(points: torch.Tensor) -> torch.Tensor:
    """(N, 25, 2) landmarks (N, 21, 2) beside the one before along their finger, and the thumb's tip beside the other tips."""
    return torch.cat([points - points[:, _PARENTS], points[:, _TIPS[:1]] - points[:, _TIPS[1:]]], dim=1)


def misplaced(points: torch.Tensor, wanted: torch.Tensor, relative: float) -> torch.Tensor:
    """(N,) how far landmarks are from where they are wanted, robustly."""

    def mean(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return functional.smooth_l1_loss(a, b, beta=3.0, reduction="none").sum(-1).mean(-1)

    return mean(points, wanted) + relative * mean(beside(points), beside(wanted))


def changed(said: dict[str, torch.Tensor], before: dict[str, torch.Tensor], hand: torch.Tensor) -> torch.Tensor:
    """(N,) how far what is said of depth, the 3-D hand and the side is from what was said before; of no hand (N,) bool, 0."""
    depth = (said["landmarks"] - before["landmarks"]).unflatten(1, (21, 3))[..., 2].abs().mean(1)
    world = (said["world"] - before["world"]).abs().mean(1)
    side = (said["handedness"] - before["handedness"]).abs()[:, 0]
    return hand * (0.3 * depth + 2000.0 * world + 5.0 * side)


def read_rightly(seen: torch.Tensor, points: torch.Tensor, hand: torch.Tensor) -> torch.Tensor:
    """(N,) the presence to say of landmarks that are seen there, (N, 21, 2): 1 where they are within a fifth of the hand's
    radius on average, 0 from 0.6 of it on and where there is no hand (N,)."""
    radius = (points - points.mean(1, keepdim=True)).norm(dim=-1).mean(-1).clamp(min=1.0)
    off = (seen.detach() - points).norm(dim=-1).mean(-1) / radius
    return hand * ((0.6 - off) / 0.4).clamp(0.0, 1.0)


class Tuner:
    """The network, its average, and crops with what it said of them before. out: the file that it is written to whenever it is
    measured; beside it, as OUT.state, is what a run that was ended goes on from."""

    def __init__(self, settings: TuneSettings, out: Path | None = None) -> None:
        check_device(settings.device)
        torch.manual_seed(settings.seed)
        torch.set_num_threads(settings.threads)
        self.settings, self.out = settings, out
        self.state = None if out is None else out.with_name(out.name + ".state")
        self.device = torch.device(settings.device)
        self.network = Graph.read(settings.start or HAND).to(self.device)
        self.given = settings.fixed or "image"
        if settings.fixed and not self.network.has(settings.fixed):
            raise InputError(f"fixed = {settings.fixed!r} is no value of the network; give one such as t149")
        if settings.fixed and any("image" in node.input for node in self.network.between({self.given}, OUTPUTS)):
            raise InputError(f"what comes after {settings.fixed} is made of other values too; give fixed = t142 or t149")
        self.learning = self.network.learn({self.given}, OUTPUTS)
        self.first = [weight.detach().clone() for weight in self.learning]
        self.average = [weight.clone() for weight in self.first]
        self.optimizer = torch.optim.AdamW(self.learning, settings.rate, weight_decay=0.0)
        self.step = 0
        self._pool = ThreadPoolExecutor(settings.workers) if settings.workers > 1 else None

    def run(self, rendered: Crops, real: Crops, held: dict[str, Crops]) -> list[dict[str, Any]]:
        """The steps that are left, and what was measured on the way."""
        s, curve = self.settings, []
        sources = [self._said(rendered)] + ([self._said(real)] if len(real) else [])
        held_said = {name: self._said(crops) for name, crops in held.items() if len(crops)}
        self._resume()
        for step in tqdm(range(self.step, s.steps), initial=self.step, total=s.steps, desc="steps", mininterval=5.0):
            self.step = step
            for group in self.optimizer.param_groups:
                group["lr"] = s.rate * min(1.0, (step + 1) / 50) * 0.5 * (1.0 + math.cos(math.pi * step / s.steps))
            rng = np.random.default_rng([s.seed, self.step])
            loss = torch.zeros((), device=self.device)
            for known, source, weight, count in zip((True, False), sources, (1.0, s.kept), (s.batch, max(1, s.batch // 2))):
                loss = loss + weight * self.loss(*source.batch(rng.integers(len(source), size=count)), known)
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.learning, _CLIPPED)
            self.optimizer.step()
            with torch.no_grad():
                fresh = 1.0 - min(s.average, (self.step + 1) / (self.step + 10))
                torch._foreach_lerp_(self.average, list[torch.Tensor](self.learning), fresh)
            if (self.step + 1) % s.every == 0 or self.step + 1 == s.steps:
                with self.averaged():
                    curve.append({"step": self.step + 1, "loss": round(loss.item(), 3)} | self._measured(held_said))
                tqdm.write(json.dumps(curve[-1]), sys.stderr)
                self._keep()
        return curve

    def loss(
        self,
        given: torch.Tensor,
        points: torch.Tensor,
        hand: torch.Tensor,
        before: dict[str, torch.Tensor],
        known: bool = False,
    ) -> torch.Tensor:
        """Of crops: what the network is given, points (N, 21, 2), hand (N,), and what it said before. known: whether the points
        are the truth, so that presence can be learned too.
        """
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.halved):
            said = {name: value.float() for name, value in self.network({self.given: given}, OUTPUTS).items()}
        near = ((points > -20.0) & (points < 244.0)).all(-1).all(-1) & hand
        seen = places(said["landmarks"])
        kept = 8.0 * (said["presence"] - before["presence"]).abs()[:, 0]
        if known and self.settings.presence:
            there = said["presence"][:, 0].clamp(1e-5, 1.0 - 1e-5)
            learned = functional.binary_cross_entropy(there, read_rightly(seen, points, hand), reduction="none")
            kept = torch.where(near | ~hand, self.settings.presence * learned, kept)
        return (near * misplaced(seen, points, self.settings.relative) + changed(said, before, near) + kept).mean()

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """While this lasts, the network has the weights that are written."""
        learned = [weight.detach().clone() for weight in self.learning]
        _copy(torch._foreach_lerp(self.first, self.average, self.settings.share), self.learning)
        try:
            yield
        finally:
            _copy(learned, self.learning)

    def write(self, out: Path) -> None:
        """The averaged network, as ONNX."""
        with self.averaged(), writing(out) as partial:
            partial.write_bytes(self.network.written())

    def _said(self, crops: Crops) -> _Said:
        """Crops with what the network says of them now, which is before it learns."""
        rows: dict[str, list[torch.Tensor]] = {name: [] for name in (*OUTPUTS, self.given)}
        wanted = [name for name in rows if name != "image"]
        run = self.network.onnxruntime(wanted) if self.device.type == "cpu" else None
        with torch.no_grad():
            for first in tqdm(range(0, len(crops), 32), desc="before", mininterval=5.0):
                images = crops.images(range(first, min(first + 32, len(crops))), self._pool)
                said = run(images.numpy()) if run else self.network({"image": images.to(self.device)}, wanted)
                for name, value in said.items():
                    rows[name].append(value.half().cpu() if name == self.settings.fixed else value.cpu())
        kept = {name: torch.cat(values) for name, values in rows.items() if values}
        return _Said(crops, {name: kept[name] for name in OUTPUTS}, kept.get(self.settings.fixed), self)

    def _measured(self, held: dict[str, _Said]) -> dict[str, float]:
        """Mean errors of landmarks, pixels of the crop, of hands that it saw, and the share of changed sides; beside all hands
        those found (believed: presence above a half; and read rightly), and phantoms: what is believed else."""
        result = {}
        for name, source in held.items():
            rows: dict[str, list[torch.Tensor]] = {}
            for first in range(0, len(source), 64):
                given, points, hand, before = source.batch(np.arange(first, min(first + 64, len(source))))
                with torch.no_grad():
                    said = self.network({self.given: given}, OUTPUTS)
                there = hand & (before["presence"][:, 0] > 0.5)
                changed_side = (said["handedness"] > 0.5) != (before["handedness"] > 0.5)
                rows.setdefault("sides_changed", []).append(changed_side[there].float())
                rows.setdefault("hands", []).append(hand.float())
                for when, values in (("", said), ("_before", before)):
                    seen, believed = places(values["landmarks"]), values["presence"][:, 0] > 0.5
                    rightly = read_rightly(seen, points, hand) > 0.0
                    rows.setdefault(f"pixels{when}", []).append((seen - points).norm(dim=-1)[there])
                    rows.setdefault(f"found{when}", []).append((believed & rightly).float())
                    rows.setdefault(f"phantoms{when}", []).append((believed & ~rightly).float())
            values = {what: torch.cat(parts) for what, parts in rows.items()}
            hands = values.pop("hands").sum().item()
            for what, value in values.items():
                of = hands if what.startswith(("found", "phantoms")) else value.numel()
                result[f"{name}_{what}"] = round(value.sum().item() / max(of, 1), 4)
        return result

    def _keep(self) -> None:
        if self.out is not None and self.state is not None:
            self.write(self.out)
            with writing(self.state) as partial:
                torch.save(
                    {
                        "settings": _same(self.settings),
                        "step": self.step + 1,
                        "weights": [weight.detach().cpu() for weight in self.learning],
                        "average": [weight.cpu() for weight in self.average],
                        "optimizer": self.optimizer.state_dict(),
                    },
                    partial,
                )

    def _resume(self) -> None:
        if self.state is None or not self.state.exists():
            return
        try:
            kept = torch.load(self.state, map_location=self.device, weights_only=True)
            if same := kept["settings"] == _same(self.settings):
                _copy(kept["weights"], self.learning)
                _copy(kept["average"], self.average)
                self.optimizer.load_state_dict(kept["optimizer"])
                self.step = kept["step"]
        except Exception as error:  # torch raises whatever its unpickler meets
            raise InputError(f"{self.state} is no state of this training ({type(error).__name__}); remove it") from error
        if not same:
            raise InputError(
                f"{self.state} is of a run with other settings, or that began with another network; give another --out, or "
                "remove it"
            )


class _Said:
    """Crops, what the network said of them before, and the value that it is given of each, None for the picture itself."""

    def __init__(self, crops: Crops, before: dict[str, torch.Tensor], values: torch.Tensor | None, tuner: Tuner) -> None:
        self.crops, self.before, self.values, self.device, self._pool = crops, before, values, tuner.device, tuner._pool

    def __len__(self) -> int:
        return len(self.crops)

    def batch(self, which: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """What `Tuner.loss` takes."""
        index = torch.from_numpy(which)
        given = self.crops.images(which.tolist(), self._pool) if self.values is None else self.values[index].float()
        given = given.transpose(0, 1).contiguous().transpose(0, 1)  # channels first in memory, as graph.py likes it
        before = {name: value[index].to(self.device) for name, value in self.before.items()}
        return given.to(self.device), self.crops.points[index].to(self.device), self.crops.hand[index].to(self.device), before


@torch.no_grad()
def _copy(values: Sequence[torch.Tensor], into: Sequence[torch.Tensor]) -> None:
    for weight, value in zip(into, values, strict=True):
        weight.copy_(value)


def _same(settings: TuneSettings) -> dict[str, Any]:
    """What must be the same for a run to go on: the network to begin from too, whatever its file is called."""
    free = "workers", "threads", "device", "folder", "every", "share"
    same = {name: value for name, value in asdict(settings).items() if name not in free}
    return same | {"start": _digest(settings)}


def _digest(settings: TuneSettings) -> str:
    """Of the network to begin from."""
    return hashlib.sha256(Path(settings.start or HAND).read_bytes()).hexdigest()


def _files(names: str) -> Iterator[Path]:
    for name in filter(None, names.split(",")):
        path = Path(name.strip())
        if not path.exists():
            raise InputError(f"{path} is not there; give videos and photos of hands, or folders of them, with commas between")
        yield path


def _real_crops(kept: Path, files: list[Path], settings: TuneSettings, seed: int, each: int) -> Crops:
    """Crops of real hands as the network to begin from sees them, which are kept in a file."""
    start = Path(settings.start or HAND)
    network = f"{start.name} ({_digest(settings)[:12]})"
    about = f"real hands of {', '.join(map(str, files))} by {network}, seed {seed}, {each} each"
    if not kept.exists():
        RealCrops(HandNetworks(threads=settings.threads, hand=start), seed, each).of(files).save(kept, about)
    return Crops.read(kept, about)


def train_detector(out: Path, settings: TuneSettings = TuneSettings()) -> dict[str, Any]:
    """Train and write the network to `out` (ONNX); a run that was ended goes on from `out`.state. Returns the last figures."""
    began = time.time()
    real, real_held = list(_files(settings.real)), list(_files(settings.real_held))
    tuner = Tuner(settings, out)
    folder = Path(settings.folder)
    first = 100_000 * settings.seed
    rendered = rendered_crops(folder, settings.parts, first, settings.workers, settings.clips)
    held = {"rendered": rendered_crops(folder, settings.held_parts, first + 90_000, settings.workers, settings.clips)}
    held["real"] = _real_crops(folder / "real_held.npz", real_held, settings, settings.seed + 1, 1)
    learned = _real_crops(folder / "real.npz", real, settings, settings.seed, _EACH)
    curve = tuner.run(rendered, learned, held)
    tuner.write(out)
    return (curve[-1] if curve else {"step": tuner.step}) | {"minutes": round((time.time() - began) / 60.0, 1)}
