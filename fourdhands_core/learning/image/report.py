"""What a training run tells of itself: the curve as JSON lines and in TensorBoard, pictures, errors on unseen renders."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from tqdm import tqdm

from ...hand_model.skeleton import BONES
from ...network.image_model import ImageNetwork
from ...outputs import write_text, writing
from ...runtime.crops import CROP_SIZE, MARGIN
from ..evaluation.metrics import mpjpe, mrrpe, pa_mpjpe
from .batches import Batches
from .objective import ImageObjective, SequenceNetwork, present_crops

if TYPE_CHECKING:
    from .run import Run

CURVE, PLOT = "curve.jsonl", "curve.png"
_PICTURES = 12
_TERMS = ("mano", "joints", "points", "vertices", "relation", "close", "tokens")
_ERRORS = (
    ("mpjpe_mm", "mean_pose_mpjpe_mm", "MPJPE"),
    ("pa_mpjpe_mm", "mean_pose_pa_mpjpe_mm", "PA-MPJPE"),
    ("mrrpe_mm", "mean_root_mrrpe_mm", "MRRPE"),
)
_TRUE, _PREDICTED = (60, 220, 60), (240, 60, 40)


class Report:
    """Keeps `curve`, the lines so far, in the run's folder; lines of steps that were lost with a killed run go."""

    def __init__(self, run: Run, progress: bool = True):
        self._run, self._settings, self._progress = run, run.settings, progress
        self._path = Path(run.out) / CURVE
        self.curve: list[dict] = []
        self._writer = None
        self._unseen: list[dict] = []
        if run.rank:
            return
        if self._path.is_file():
            lines = [json.loads(line) for line in self._path.read_text().splitlines() if line.endswith("}")]
            self.curve = [line for line in lines if line["step"] <= run.step]
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in self.curve))
        try:
            from tensorboardX import SummaryWriter

            self._writer = SummaryWriter(str(self._path.parent / "tensorboard"), purge_step=run.step + 1)
        except ImportError:
            logging.getLogger("fourdhands").warning("no TensorBoard log: pip install 'fourdhands[train]'")

    def after(self, step: int, terms: dict, batch: dict, bar: tqdm, seconds: float) -> None:
        """What a finished step asks for."""
        run = self._settings.run
        line = {}
        if step % run.log_interval == 0 or step == run.steps:
            line = {**terms, "seconds": round(seconds, 1)}
            bar.set_postfix(loss=f"{terms['loss']:.3f}")
        if step % run.evaluate_interval == 0 or step == run.steps:
            line.update(self.evaluate())
            if self._progress:
                bar.write(json.dumps({"step": step, **{k: v for k, v in line.items() if k.endswith("_mm") or k == "loss"}}))
        evaluated = "mpjpe_mm" in line
        if line:
            self.curve.append({"step": step, **{name: round(value, 6) for name, value in line.items()}})
            with self._path.open("a") as file:
                file.write(json.dumps(self.curve[-1]) + "\n")
            if self._writer:
                for name, value in line.items():
                    self._writer.add_scalar(("unseen/" if name.endswith("_mm") else "training/") + name, value, step)
        if evaluated:
            with writing(self._path.parent / PLOT) as partial:
                plot_curve(self.curve, partial)
        if self._writer and (step % run.picture_interval == 0 or step == run.steps):
            for name, picture in (("training", self.picture(batch)), ("unseen", self.picture(self._unseen_batches()[0]))):
                self._writer.add_image(name, picture, step, dataformats="HWC")

    def _unseen_batches(self):
        if not self._unseen:
            run = replace(self._settings.run, batch=min(self._settings.run.evaluated, 32))
            batches = Batches(replace(self._settings, run=run), self._run.hands, unseen=True)
            frames = run.batch * self._settings.data.length
            self._unseen = [batches[k] for k in range(max(1, math.ceil(run.evaluated / frames)))]
        return self._unseen

    def evaluate(self) -> dict[str, float]:
        """Errors of the averaged network on unseen renders, millimetres, beside those of a mean pose."""
        return errors(self._run.average, self._run.objective, self._unseen_batches(), self._run.device)

    def picture(self, batch: dict) -> np.ndarray:
        """Crops (H, W, 3) uint8 with true joints (green) and those of the averaged network (red)."""
        flat = {name: value[:_PICTURES] for name, value in batch.items()}
        hands, _ = predict(self._run.average, flat, self._run.device)
        _, joints = self._run.objective.pose(hands.rotations, hands.betas)
        seen = ((self._run.objective.project(joints, hands.camera) + 1.0) * (CROP_SIZE / 2)).cpu().numpy()
        flat = {name: value.flatten(0, 1).numpy() for name, value in flat.items()}
        tiles = []
        for k, side in zip(*np.nonzero(flat["present"])):
            tile = np.ascontiguousarray(flat["crops"][k, side])
            draw_skeleton(tile, flat["points"][k, side], _TRUE)
            draw_skeleton(tile, seen[k, side], _PREDICTED)
            tiles.append(tile)
        tiles = tiles[: 2 * _PICTURES] or [np.zeros((CROP_SIZE, CROP_SIZE - 2 * MARGIN, 3), np.uint8)]
        columns = min(len(tiles), 8)
        tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
        return np.vstack([np.hstack(tiles[row : row + columns]) for row in range(0, len(tiles), columns)])

    def close(self) -> None:
        """Let go of the files."""
        if self._writer:
            self._writer.close()


def plot_curve(curve: list[dict], path: Path) -> None:
    """A curve's losses, and its errors on unseen renders beside a mean pose's, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in ("loss", *sorted({name for line in curve for name in line} & set(_TERMS))):
        lines = [line for line in curve if name in line]
        left.plot([line["step"] for line in lines], [line[name] for line in lines], label=name, lw=1.0)
    left.set(title="losses, weighted", xlabel="step", yscale="log")
    evaluated = [line for line in curve if "mpjpe_mm" in line]
    steps = [line["step"] for line in evaluated]
    for colour, (name, baseline, title) in zip(("C0", "C1", "C2"), _ERRORS):
        for key, style, label in ((name, "o-", title), (baseline, "--", f"{title} of a mean")):
            lines = [line for line in evaluated if key in line]
            right.plot([line["step"] for line in lines], [line[key] for line in lines], style, color=colour, label=label, ms=3)
    right.set(title="errors on unseen renders, mm", xlabel="step", ylim=(0.0, None))
    if steps:
        right.set_xlim(0, max(steps))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=110)


def draw_skeleton(crop: np.ndarray, points: np.ndarray, colour: tuple[int, int, int]) -> None:
    """The bones between points (21, 2) of a square, onto its crop (256, 192, 3)."""
    points = np.round((points - (MARGIN, 0)).clip(-1000, 1000)).astype(int)
    for a, b in BONES:
        cv2.line(crop, points[a].tolist(), points[b].tolist(), colour, 1, cv2.LINE_AA)


@torch.no_grad()
def predict(network: ImageNetwork, batch: dict[str, torch.Tensor], device: torch.device | str) -> tuple:
    """The hands of a batch, and the batch with (B L, ...) in front, both on the device."""
    model = SequenceNetwork(network).to(device).eval()
    batch = {name: value.to(device) for name, value in batch.items()}
    hands, _ = model(present_crops(batch), batch["squares"], batch["present"])
    return hands, {name: value.flatten(0, 1) for name, value in batch.items() if name != "crops"}


@torch.no_grad()
def errors(
    network: ImageNetwork, objective: ImageObjective, batches: list[dict], device: torch.device | str
) -> dict[str, float]:
    """Mean errors over all hands (pairs) of batches, mm: MPJPE, PA-MPJPE, MRRPE, and the same of a mean pose.

    The mean pose is, for MPJPE and MRRPE, the mean of the true joints (roots) of these very batches; for PA-MPJPE the mean
    bend of their fingers. Joints are in the hands' own axes (ImageConfig.virtual_camera), root-aligned at the wrist.
    """
    predicted, true, bend, roots, true_roots = [], [], [], [], []
    for batch in batches:
        hands, flat = predict(network, batch, device)
        _, joints = objective.pose(hands.rotations, hands.betas)
        known = flat["present"] & flat["joint_valid"].all(-1)
        predicted.append(joints[known].cpu().numpy())
        true.append(flat["joints"][known].cpu().numpy())
        bend.append(true[-1] @ flat["rotations"][:, :, 0][known].cpu().numpy())
        roots.append(objective.left_root(hands, joints, flat["left_to_right"])[flat["related"]].cpu().numpy())
        true_roots.append(flat["left_root"][flat["related"]].cpu().numpy())
    predicted, true, bend, roots, true_roots = (
        np.concatenate(x).astype(float) for x in (predicted, true, bend, roots, true_roots)
    )
    result = {
        "mpjpe_mm": mpjpe(predicted, true),
        "pa_mpjpe_mm": pa_mpjpe(predicted, true),
        "mean_pose_mpjpe_mm": mpjpe(np.broadcast_to(true.mean(0), true.shape), true),
        "mean_pose_pa_mpjpe_mm": pa_mpjpe(np.broadcast_to(bend.mean(0), true.shape), true),
    }
    if len(true_roots):
        result["mrrpe_mm"] = mrrpe(roots, true_roots)
        result["mean_root_mrrpe_mm"] = mrrpe(np.broadcast_to(true_roots.mean(0), true_roots.shape), true_roots)
    return {name: float(np.mean(values)) for name, values in result.items()}
