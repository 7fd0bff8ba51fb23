"""What a training run is made of: one dataclass a concern, read from one YAML file, every wrong field named."""

from __future__ import annotations

import contextlib
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from ...errors import FourDHandsError, InputError
from ...files import check_file, not_a
from ...network.image_config import ImageConfig
from ..losses import LossWeights
from ..ranges import check_ranges
from ..synthesis.settings import SynthesisSettings


@dataclass(frozen=True)
class RunSettings:
    """Length, machine and reports of a run."""

    steps: int = 100000
    """Optimiser steps."""
    batch: int = 16
    """Sequences a step, of each process."""
    seed: int = 1
    """Of everything random."""
    device: str = "cpu"
    """cpu or cuda."""
    precision: str = "float32"
    """float32, bfloat16 or float16."""
    threads: int = 1
    """Of torch in each process."""
    workers: int = 0
    """Processes that make batches, 0 for the training process itself."""
    save_interval: int = 200
    log_interval: int = 20
    picture_interval: int = 500
    evaluate_interval: int = 500
    """save_interval, log_interval, picture_interval, evaluate_interval: steps."""
    evaluated: int = 128
    """Frames of unseen renders measured at each evaluation."""

    def __post_init__(self):
        if self.device not in ("cpu", "cuda"):
            raise InputError(f"device must be 'cpu' or 'cuda', not {self.device!r}")
        if self.precision not in ("float32", "bfloat16", "float16"):
            raise InputError(f"precision must be 'float32', 'bfloat16' or 'float16', not {self.precision!r}")
        check_ranges(self, "steps batch threads save_interval log_interval picture_interval evaluate_interval evaluated")


@dataclass(frozen=True)
class OptimiserSettings:
    """AdamW with a rate that falls linearly to zero (paper section 4.1: from 1e-5)."""

    rate: float = 1e-5
    """The first."""
    warm_up: int = 0
    """Steps over which it rises to that."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    average: float = 0.999
    """Of the exponential moving average of the weights, which is what is kept."""
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    """weight_decay, betas: AdamW's."""

    def __post_init__(self):
        check_ranges(self, "rate clip")
        for value in (self.average, *self.betas):
            if not value < 1.0:
                raise InputError(f"average and betas must be from 0 to below 1, not {value}")


@dataclass(frozen=True)
class SourceSettings:
    """One part of the mixture. name: "synthesis", or a dataset of `fourdhands data check`."""

    name: str
    path: str = ""
    split: str | None = None
    """path, split: of the dataset."""
    weight: float = 1.0
    """Its share of the samples, in proportion to the others'."""

    def __post_init__(self):
        check_ranges(self, "weight")
        if (self.name == "synthesis") == bool(self.path):
            raise InputError(
                f"path must name the folder of a dataset, and be left out for synthesis; it is {self.path!r} for {self.name}"
            )


@dataclass(frozen=True)
class DataSettings:
    """What a sample is: `length` frames, `gap` seconds apart (paper: 9, of 5 frames of 1/30 s)."""

    sources: tuple[SourceSettings, ...] = (SourceSettings("synthesis"),)
    """The mixture."""
    length: int = 9
    gap: float = 5.0 / 30.0
    opposite: float = 1.0
    """Share of the samples with one hand in which the other is its flipped crop, far away (paper section 4.5); in the others it
    is left out."""
    hand_model: str = ""
    hand_model_left: str = ""
    """hand_model, hand_model_left: MANO by convert-mano, the human hand where left out."""

    def __post_init__(self):
        check_ranges(self, "length", "opposite")
        if not self.sources:
            raise InputError("sources must name one source at least")


@dataclass(frozen=True)
class AugmentationSettings:
    """Changes of the crops."""

    shift: float = 0.03
    scale: float = 0.08
    """shift, scale: standard deviations of the square, in its sides and in logarithms."""
    rotation: float = 15.0
    """Degrees, standard deviation of the camera's roll (datasets; a synthetic hand is turned anyway)."""
    colour: float = 0.25
    """Strength, 0 for none."""
    blur: float = 0.4
    motion_blur: float = 0.2
    occlusion: float = 0.1
    coarse: float = 0.25
    """blur, motion_blur, occlusion, coarse: shares of samples that are out of focus, smeared, behind a patch, of low
    resolution."""
    noise: float = 4.0
    """Grey levels. The occlusion is for datasets too; synthesis has its own objects."""

    def __post_init__(self):
        check_ranges(self, shares="blur motion_blur occlusion coarse")


@dataclass(frozen=True)
class StartSettings:
    """What the network starts from, nothing by default: weights (safetensors), or a ViT's checkpoint as its backbone."""

    weights: str = ""
    backbone: str = ""

    def __post_init__(self):
        if self.weights and self.backbone:
            raise InputError("weights and backbone were both given; give one of them to start from")


@dataclass(frozen=True)
class ImageLossWeights(LossWeights):
    """The paper's losses' weights, and tokens: of the loss of TokenPoints, which teaches the backbone where the joints are."""

    tokens: float = 0.0


@dataclass(frozen=True)
class TrainingSettings:
    """A whole run."""

    run: RunSettings = field(default_factory=RunSettings)
    network: ImageConfig = field(default_factory=ImageConfig)
    start: StartSettings = field(default_factory=StartSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    data: DataSettings = field(default_factory=DataSettings)
    synthesis: SynthesisSettings = field(default_factory=SynthesisSettings)
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    losses: ImageLossWeights = field(default_factory=ImageLossWeights)


class _Loader(yaml.SafeLoader):
    """YAML in which no key is twice, where otherwise the last one would be taken."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := [key for number, key in enumerate(keys) if key in keys[:number]]:
            raise yaml.constructor.ConstructorError(None, None, f"{twice[0]} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_settings(path: str | Path, changes: Sequence[str] = ()) -> TrainingSettings:
    """The settings of a YAML file; changes: SECTION.FIELD=VALUE texts that are put in its place.

    Raises InputError naming the field that is unknown, or whose value is of another kind or out of range.
    """
    path = check_file(path, "training configuration", "config/train/ has examples")
    try:
        data = yaml.load(path.read_bytes(), _Loader)
    except Exception as error:  # YAML's tags have constructors that fail in many ways
        raise InputError(not_a(path, "YAML", " ".join(str(error).split()), "config/train/ has examples")) from error
    if data is None:
        raise InputError(not_a(path, "a training configuration", "it holds nothing", "config/train/ has examples"))
    if isinstance(data, str):
        raise InputError(not_a(path, "a training configuration", f"it holds {data[:60]!r}", "config/train/ has examples"))
    for change in changes:
        name, equals, value = change.partition("=")
        *sections, last = name.split(".")
        if not equals:
            raise InputError(f"--set {change}: give SECTION.FIELD=VALUE, for instance run.steps=1000")
        inner = data
        for section in sections:
            inner = inner.setdefault(section, {}) if isinstance(inner, dict) else None
        if not isinstance(inner, dict):
            raise InputError(f"--set {change}: {'.'.join(sections)} has no fields")
        try:
            inner[last] = yaml.load(value, _Loader)
        except Exception as error:
            raise InputError(f"--set {change}: {value!r} is not YAML ({' '.join(str(error).split())})") from error
    return build(TrainingSettings, data, str(path), "")


def build(kind: Any, data: Any, source: str, name: str) -> Any:
    """A dataclass of plain values, InputError with the name of the field that does not fit."""
    if not isinstance(data, dict):
        raise InputError(f"{source}: {name or 'the file'} must hold fields and their values, not {data!r}")
    hints = typing.get_type_hints(kind)
    if unknown := [key for key in data if key not in hints]:
        raise InputError(
            f"{source}: there is no field {name}{unknown[0]}; there are "
            f"{', '.join(name + field.name for field in fields(kind))}"
        )
    values = {key: _value(hints[key], value, source, name + str(key)) for key, value in data.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise InputError(f"{source}: {name.rstrip('.') or 'a field'} is incomplete: {error}") from error
    except FourDHandsError as error:
        raise InputError(f"{source}: {name}{error}") from error


def _value(hint, value, source, name):
    """One value as the kind that its field declares."""
    kinds = typing.get_args(hint)
    if is_dataclass(hint):
        return build(hint, value, source, name + ".")
    if isinstance(hint, types.UnionType):
        return None if value is None else _value(kinds[0], value, source, name)
    if typing.get_origin(hint) is tuple:
        count = None if kinds[-1] is Ellipsis else len(kinds)
        if not isinstance(value, (list, tuple)) or count not in (None, len(value)):
            raise InputError(f"{source}: {name} must be a list{f' of {count}' if count else ''}, not {value!r}")
        return tuple(_value(kinds[0], item, source, f"{name}[{k}]") for k, item in enumerate(value))
    if hint is float and isinstance(value, str):  # YAML 1.1 takes 1e-5, without a point, for a text
        with contextlib.suppress(ValueError):
            value = float(value)
    wanted = (int, float) if hint is float else hint
    if not isinstance(value, wanted) or (isinstance(value, bool) and hint is not bool):
        raise InputError(f"{source}: {name} must be {_WORDS[hint]}, not {value!r}")
    return float(value) if hint is float else value


_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
