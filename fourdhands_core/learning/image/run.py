"""A training run: AdamW on the mixture, kept in a folder from which it goes on after any end."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from ...errors import CheckpointError, DependencyError, InputError
from ...hand_model.assets import open_pair
from ...hand_model.skeleton import RIGHT
from ...network.checkpoint import load_weights, save_weights
from ...network.image_model import ImageNetwork
from ...network.import_weights import import_backbone
from ...outputs import locked_if_possible, writing
from ...signals import held, not_for_children
from ..datasets.registry import dataset_class
from .batches import Batches, loader
from .objective import ImageObjective, SequenceNetwork, TokenPoints, present_crops
from .report import Report
from .settings import SourceSettings, TrainingSettings

STATE, WEIGHTS = "state.pt", "weights.safetensors"
"""Files of a run's folder: all that it needs to go on, and the averaged network."""
_MAY_CHANGE = "steps workers save_interval log_interval picture_interval evaluate_interval evaluated threads device".split()
"""Fields of RunSettings that may differ when a run goes on."""


class Run:
    """A run in the folder `out`, begun or gone on with. Under torchrun one of several processes, each with its own data.

    Raises InputError where the folder holds a run of other settings, CheckpointError where its state cannot be read.
    """

    def __init__(self, settings: TrainingSettings, out: str | Path):
        self.settings, self.out = settings, Path(out)
        if settings.network.mean_pose:
            raise InputError("network.mean_pose must be false: what is trained here bends from the flat hand")
        torch.set_num_threads(settings.run.threads)
        self.rank, self.device = _join_processes(settings.run.device)
        data = settings.data
        if not data.hand_model:
            _tell_of_mano(data.sources)
        self.hands = open_pair(data.hand_model, data.hand_model_left)
        torch.manual_seed(settings.run.seed)
        self.network = _network(settings).to(self.device)
        self.average = ImageNetwork(settings.network).to(self.device).requires_grad_(False)
        self.average.load_state_dict(self.network.state_dict())
        self.objective = ImageObjective(settings.network, self.hands[RIGHT], settings.losses).to(self.device)
        token_points = TokenPoints(settings.network) if settings.losses.tokens > 0.0 else None
        self.sequences = SequenceNetwork(self.network, token_points).to(self.device)
        o = settings.optimiser
        self.optimiser = torch.optim.AdamW(self.sequences.parameters(), o.rate, o.betas, weight_decay=o.weight_decay)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=settings.run.precision == "float16")
        self._parts: dict[str, Any] = {name: getattr(self, name) for name in ("sequences", "average", "optimiser", "scaler")}
        self.step = 0
        self._resume()
        self._model = DistributedDataParallel(self.sequences) if torch.distributed.is_initialized() else self.sequences

    def _resume(self) -> None:
        path = self.out / STATE
        if not path.is_file():
            return
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            differences = _differences(state["settings"], json.loads(json.dumps(asdict(self.settings))))
            if not differences:
                for name, part in self._parts.items():
                    part.load_state_dict(state[name])
                self.step = state["step"]
        except Exception as error:  # torch and pickle fail in many ways on a file that is none of theirs
            raise CheckpointError(
                f"{path} cannot be read ({type(error).__name__}: {str(error)[:200]}); move it away to "
                "begin again, or give another --out"
            ) from error
        if differences:
            raise InputError(
                f"{self.out} holds a run with other settings ({'; '.join(differences)}); give them as they were, "
                "or another --out"
            )

    def save(self, curve: list[dict]) -> None:
        """Write the state and the averaged weights, each in one stroke, so that an end at any moment leaves whole files."""
        if self.rank:
            return
        state = {
            "settings": json.loads(json.dumps(asdict(self.settings))),
            "step": self.step,
            **{name: part.state_dict() for name, part in self._parts.items()},
        }
        with writing(self.out / STATE) as partial, partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
            # Before the state takes its place: a run that goes on from the last step writes none.
            save_weights(self.average, self.out / WEIGHTS, settings=asdict(self.settings), step=self.step, curve=curve[-200:])

    def advance(self, batch: dict[str, torch.Tensor]) -> dict[str, float]:
        """One optimiser step; the losses' terms."""
        run, optimiser = self.settings.run, self.settings.optimiser
        batch = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
        rate = optimiser.rate * min((self.step + 1) / max(1, optimiser.warm_up), 1.0 - self.step / run.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self._model.train()
        with torch.autocast(self.device.type, getattr(torch, run.precision), enabled=run.precision != "float32"):
            hands, seen = self._model(present_crops(batch), batch["squares"], batch["present"])
        terms, _ = self.objective(hands, batch)
        if seen is not None:
            there = batch["present"]
            logits, found = seen
            terms["tokens"] = self.settings.losses.tokens * self.sequences.token_points.loss(
                logits, found, batch["points"][there], batch["point_valid"][there]
            )
        loss = sum(terms.values())
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimiser)
        norm = torch.nn.utils.clip_grad_norm_(self.sequences.parameters(), optimiser.clip)
        if run.precision == "float16" or torch.isfinite(norm):  # the scaler leaves such a step out by itself
            self.scaler.step(self.optimiser)
        else:
            logging.getLogger("fourdhands").warning("step %d left out: its gradient is not finite", self.step)
        self.scaler.update()
        keep = min(optimiser.average, (1.0 + self.step) / (10.0 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1.0 - keep)
        self.step += 1
        return {
            "loss": float(loss.detach()),
            **{name: float(term.detach()) for name, term in terms.items()},
            "gradient": float(norm),
            "rate": rate,
        }

    def train(self, progress: bool = True) -> dict:
        """All steps that are left; returns the last line of the curve."""
        run = self.settings.run
        report = Report(self, progress=progress)
        with held(), not_for_children():  # the loader's processes
            batches = iter(loader(Batches(self.settings, self.hands, self.rank), self.step, self.settings))
        hidden = bool(self.rank) or not progress
        bar = tqdm(batches, desc="training", initial=self.step, total=run.steps, mininterval=2.0, disable=hidden)
        if self.step == 0 or not (self.out / WEIGHTS).is_file():
            self.save(report.curve)
        begun = time.monotonic()
        for batch in bar:
            terms = self.advance(batch)
            if self.rank == 0:
                report.after(self.step, terms, batch, bar, time.monotonic() - begun)
            if self.step % run.save_interval == 0 or self.step == run.steps:
                self.save(report.curve)
        report.close()
        return report.curve[-1] if report.curve else {}


def _network(settings: TrainingSettings) -> ImageNetwork:
    """The network that the run starts from."""
    start = settings.start
    if start.backbone:
        return import_backbone(start.backbone, settings.network).network
    if not start.weights:
        return ImageNetwork(settings.network)
    network = load_weights(start.weights)
    found = network.config.to_dict()
    for name, wanted in settings.network.to_dict().items():
        if found.get(name) != wanted and name not in ("window", "frame_gap"):  # which leave no trace in the weights
            raise InputError(
                f"start.weights {start.weights} has network.{name} {found.get(name)!r}, the configuration {wanted!r}; "
                "they must agree"
            )
    fresh = ImageNetwork(settings.network)
    fresh.load_state_dict(network.state_dict())
    return fresh


def _tell_of_mano(sources: tuple[SourceSettings, ...]) -> None:
    """Warn where the sources state MANO's poses and shapes, and there is no MANO; DatasetError for an unknown one."""
    names = [source.name for source in sources if source.name != "synthesis" and dataset_class(source.name).of_mano]
    if names:
        logging.getLogger("fourdhands").warning(
            "data.hand_model is not given: the poses and shapes of %s are MANO's and are left out, so that their joints and "
            "points alone are learned; give the npz of `fourdhands convert-mano`",
            ", ".join(names),
        )


def _join_processes(kind: str) -> tuple[int, torch.device]:
    """The rank of this process among those of torchrun (0 without), and its device."""
    if kind == "cuda" and not torch.cuda.is_available():
        raise DependencyError("run.device cuda was asked for, but torch sees no CUDA device here; use run.device=cpu")
    local = int(os.environ.get("LOCAL_RANK", 0))
    if int(os.environ.get("WORLD_SIZE", 1)) > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if kind == "cuda" else "gloo")
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    return rank, torch.device(kind, local) if kind == "cuda" else torch.device(kind)


def _differences(before: dict, now: dict, name: str = "") -> list[str]:
    """The fields that differ and must not."""
    found = []
    for key in sorted(set(before) | set(now)):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += _differences(old, new, f"{name}{key}.")
        elif old != new and not (name == "run." and key in _MAY_CHANGE):
            found.append(f"{name}{key} was {old!r}, is {new!r}")
    return found


def train(settings: TrainingSettings, out: str | Path, progress: bool = True) -> dict:
    """Train, or go on training, in the folder `out`; returns the last line of the curve."""
    try:
        run = Run(settings, out)
        busy = f"another process trains in {out}; wait for it, or give another --out"
        with contextlib.nullcontext() if run.rank else locked_if_possible(run.out, busy):
            return run.train(progress)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
