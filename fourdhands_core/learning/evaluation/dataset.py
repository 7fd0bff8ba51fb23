"""Measures a predictor on a dataset: the metrics of the paper's tables, by sequence and over all, and every hand's errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...errors import DatasetError
from ...hand_model.assets import HandAsset, load_human_hand, pair_of
from ...hand_model.skeleton import LEFT, RIGHT
from ...streams import counted
from ..datasets.frames import DatasetFrame, HandDataset
from ..datasets.mano import regress_joints
from ..datasets.registry import dataset_class, open_dataset
from . import metrics
from .predictors import Prediction, Predictor
from .published import TABLES
from .scores import UNITS, HandFrames, Scores

REPEATED_BELOW = 6.0
"""Sequences of fewer frames a second, whose frames lie further apart than a window's 5/30 s, are evaluated as single images,
as the paper does with InterHand2.6M's 5 a second (Table 2)."""
SINGLE_IMAGES = "images"
"""Stands for a sequence's name where there are none."""
SAMPLE_METRICS = ("mpjpe", "mpjpe_scaled", "pa_mpjpe", "mpvpe", "mpvpe_scaled", "mrrpe", "wrist", "wrist_rotation", "points")
"""Errors given for every hand, units as in scores.UNITS; `points` in per cent of the longer side of the hand's box."""
_CHUNK = 128
_LEAST_JOINTS = 4
"""Joints that a hand's truth must have to be compared with: HO3D's evaluation has the wrist alone."""


@dataclass(eq=False)
class HandErrors:
    """One hand of one frame: errors (M,) float32 in the order of SAMPLE_METRICS, NaN where there is none; points (21, 2)
    pixels, where it was predicted, None once it is not among the worst."""

    key: str
    sequence: str
    index: int
    side: int
    errors: np.ndarray
    points: np.ndarray | None

    def error(self, metric: str) -> float:
        """One of the errors, by its name in SAMPLE_METRICS."""
        return float(self.errors[SAMPLE_METRICS.index(metric)])

    @property
    def measure(self) -> str:
        """What the worst are picked by: MPJPE, in 2-D datasets the error of the points."""
        return "points" if np.isnan(self.error("mpjpe")) else "mpjpe"


def _worst(samples: list[HandErrors], count: int) -> list[HandErrors]:
    """The `count` worst of them, worst first; the others let their points go."""
    known = [sample for sample in samples if not np.isnan(sample.error(sample.measure))]
    kept = sorted(known, key=lambda sample: sample.error(sample.measure))[: -count - 1 : -1]
    for sample in samples:
        sample.points = sample.points if sample in kept else None
    return kept


@dataclass(eq=False)
class Evaluation:
    """Results on a dataset. overall and sequences: Scores.summary with `points` beside it, the 2-D error in per cent of the
    hand's box. worst: the worst hands, worst first. notes: what a reader of the figures must know."""

    name: str
    split: str
    frames: int
    frame_rate: float | None
    overall: dict[str, float]
    sequences: dict[str, dict[str, float]]
    samples: list[HandErrors]
    worst: list[HandErrors]
    notes: list[str] = field(default_factory=list)


def testing_split(name: str) -> str:
    """The split of a dataset that is meant for testing: the first called test or evaluation, else val, else the first."""
    splits = dataset_class(name).splits
    return next((split for part in ("test", "eval", "val") for split in splits if part in split), splits[0])


def open_for_evaluation(
    name: str, root: Path, split: str | None, hands: tuple[HandAsset, HandAsset] | None
) -> tuple[HandDataset, list[str]]:
    """The dataset (split None: `testing_split`) and notes. A dataset that says where its hands are by MANO's parameters alone
    is read with the human hand where no hands are given."""
    split = testing_split(name) if split is None else split
    if hands is not None:
        return open_dataset(name, root, split, hands), []
    if not dataset_class(name).of_mano:
        return open_dataset(name, root, split), []
    try:
        return open_dataset(name, root, split), [
            "no hand model was given: the human hand stands in for MANO in the predictions, and ground truth that has to be "
            "made of MANO's parameters is absent; MPVPE, where it is printed, compares other vertices than MANO's"
        ]
    except DatasetError as error:
        try:
            dataset = open_dataset(name, root, split, pair_of(load_human_hand()))
        except DatasetError:
            raise error from None
        return dataset, [
            "no hand model was given and this dataset states MANO's parameters alone: the human hand stands in "
            "for MANO in predictions and ground truth; no figure compares with the paper's"
        ]


def evaluate_dataset(
    dataset: HandDataset, predictor: Predictor, limit: int | None = None, worst: int = 12, progress: bool = True
) -> Evaluation:
    """Run `predictor` over the dataset, sequence by sequence, and compare.

    limit: frames after which to stop. worst: how many of the worst hands to keep. Where the paper's table is of frames with
    both hands, hands that are alone count for nothing.
    """
    sequences = dict(dataset.sequences) or {SINGLE_IMAGES: range(len(dataset))}
    comparison = _Comparison.of(dataset)
    in_time = bool(dataset.sequences) and dataset.frame_rate is not None
    rate = dataset.frame_rate if in_time and dataset.frame_rate >= REPEATED_BELOW else None
    scores, samples, kept = Scores(rate), list[HandErrors](), list[HandErrors]()
    total = sum(map(len, sequences.values()))
    left = total if limit is None else min(limit, total)
    bar = tqdm(total=left, desc=dataset.name, unit="frame", mininterval=5.0, disable=not progress)
    frames = unusable = 0
    for name, indices in sequences.items():
        indices = list(islice(indices, left - frames))
        taken: list[int] = []
        pairs = predictor.predict(_usable(dataset, indices, taken), rate)
        position = 0
        while chunk := list(islice(pairs, _CHUNK)):
            comparison.add(scores, name, chunk)
            numbered = zip(taken[position:], chunk)
            found = [sample for index, pair in numbered for sample in comparison.samples(index, name, *pair)]
            samples += found
            kept = _worst([*kept, *found], worst)
            position += len(chunk)
            bar.update(len(chunk))
        frames += len(indices)
        unusable += len(indices) - position
        if frames >= left:
            break
    bar.close()
    result = _results(dataset, scores, samples, frames - unusable, rate, kept)
    if unusable:
        result.notes.append(f"left out as the dataset's users do: {counted(unusable, 'images')} (black)")
    if frames < total:
        result.notes.append(f"{frames} of {counted(total, 'frames')} were evaluated; the paper's figures are of all")
    return result


def _usable(dataset: HandDataset, indices: list[int], taken: list[int]) -> Iterator[DatasetFrame]:
    """The frames of usable images; their numbers are added to `taken`."""
    asked = type(dataset).usable is not HandDataset.usable
    for index in indices:
        frame = dataset[index]
        if asked:
            image = frame.load()
            if not dataset.usable(image):
                continue
            frame = replace(frame, load=partial(np.asarray, image))
        taken.append(index)
        yield frame


def _stacked(predictions: list[Prediction]) -> HandFrames:
    return HandFrames(**{name: np.stack([getattr(p, name) for p in predictions]) for name in HandFrames.__dataclass_fields__})


@dataclass(frozen=True)
class _Comparison:
    """How frames are compared. pairs_only: hands that are alone count for nothing. hands: (left, right) models whose regressor
    makes the joints of meshes (Scores.add), None where meshes have no part in the joints."""

    pairs_only: bool
    hands: tuple[HandAsset, HandAsset] | None

    @classmethod
    def of(cls, dataset: HandDataset) -> _Comparison:
        """As in the paper's table of that dataset, where there is one."""
        table = TABLES.get(dataset.name)
        return cls(table is not None and table.pairs_only, dataset.hands if table is not None and table.mesh_joints else None)

    def add(self, scores: Scores, name: str, chunk: list[tuple[DatasetFrame, Prediction]]) -> None:
        """Add frames to the scores, those that lack every joint too: time goes on."""
        true, valid = self._truth([frame for frame, _ in chunk])
        predicted = _stacked([prediction for _, prediction in chunk])
        scores.add(predicted, true, valid, np.isfinite(true.joints).all(-1), name, self._mesh_joints(predicted, true))

    def _truth(self, frames) -> tuple[HandFrames, np.ndarray]:
        """The ground truth of N frames, NaN where there is none, and (N, 2) bool, the hands with joints enough to compare."""
        joints, vertices = np.full((len(frames), 2, 21, 3), np.nan), np.full((len(frames), 2, 778, 3), np.nan)
        wrist, rotation = np.full((len(frames), 2, 3), np.nan), np.full((len(frames), 2, 3, 3), np.nan)
        for n, frame in enumerate(frames):
            for side, hand in enumerate(frame.hands):
                if hand is None:
                    continue
                if hand.joints is not None:
                    joints[n, side] = hand.joints
                    if hand.metric:
                        wrist[n, side] = hand.joints[0]
                if hand.vertices is not None:
                    vertices[n, side] = hand.vertices
                if hand.rotations is not None:
                    rotation[n, side] = hand.rotations[0]
        valid = np.isfinite(joints).all(-1).sum(-1) >= _LEAST_JOINTS
        if self.pairs_only:
            valid &= valid.all(1, keepdims=True)
        return HandFrames(joints, vertices, wrist[:, LEFT] - wrist[:, RIGHT], wrist, rotation), valid

    def _mesh_joints(self, found: HandFrames, true: HandFrames) -> tuple[np.ndarray, np.ndarray] | None:
        """(N, 2, 21, 3) of the meshes of each; None where meshes have no part in the joints."""
        if self.hands is None:
            return None
        of_found, of_true = (
            np.stack([regress_joints(hands.vertices[:, side], self.hands[side]) for side in (LEFT, RIGHT)], axis=1)
            for hands in (found, true)
        )
        return of_found, of_true

    def samples(self, index: int, sequence: str, frame: DatasetFrame, prediction: Prediction) -> Iterator[HandErrors]:
        """The errors of the frame's hands that have a truth, each for itself."""
        true, valid = self._truth([frame])
        found, joint_valid = _stacked([prediction]), np.isfinite(true.joints).all(-1)
        meshes = self._mesh_joints(found, true)
        for side, hand in enumerate(frame.hands):
            if hand is None or not (valid[0, side] or hand.points is not None):
                continue
            errors = {}
            if valid[0, side]:
                alone, one = Scores(), valid.copy()
                one[0, 1 - side] = False
                alone.add(found, true, one, joint_valid, mesh_joints=meshes)
                errors = {name: value for name, value in alone.summary().items() if name in SAMPLE_METRICS}
                if valid.all():
                    errors["mrrpe"] = float(metrics.mrrpe(prediction.left_root, true.left_root[0]))
            if hand.points is not None:
                size = (hand.box[2:] - hand.box[:2]).max()
                off = 100.0 * np.linalg.norm(prediction.points[side] - hand.points, axis=-1) / size
                errors.update({"points": float(np.nanmean(off))} if np.isfinite(off).any() else {})
            listed = np.array([errors.get(name, np.nan) for name in SAMPLE_METRICS], np.float32)
            yield HandErrors(frame.key, sequence, index, side, listed, prediction.points[side])


def _results(dataset, scores, samples, frames, rate, worst):
    report = scores.report()
    names = list(report["sequences"])
    by_sequence: dict[str, list[float]] = {name: [] for name in names}
    for sample in samples:
        if not np.isnan(sample.error("points")):
            by_sequence[sample.sequence].append(sample.error("points"))
    overall = _with_points(report["overall"], [value for values in by_sequence.values() for value in values], rate)
    sequences = {name: _with_points(report["sequences"][name], by_sequence[name], rate) for name in names}
    notes, table = [], TABLES.get(dataset.name)
    if table is not None and table.pairs_only:
        notes.append("as in the paper, errors in 3-D are over frames with both hands alone")
    if table is not None and table.mesh_joints and "mpjpe_scaled" in overall:
        notes.append(
            "the scaled errors are of the joints that MANO's regressor makes of the meshes, as in the paper"
            if dataset.hands
            else "without a hand model the scaled errors are of the dataset's own joints, the paper's "
            "of those that MANO's regressor makes of the meshes"
        )
    if rate is None and dataset.sequences:
        slow, unknown = "as the paper does where sequences are slow (Table 2)", "as their rate is not published"
        notes.append(f"the frames were evaluated each for itself, {slow if dataset.frame_rate else unknown}")
    if overall["found"] < overall["hands"]:
        notes.append(f"{overall['found']} of {overall['hands']} hands were found; errors are over those, the paper's over all")
    return Evaluation(dataset.name, dataset.split, frames, rate, overall, sequences, samples, worst, notes)


def _with_points(summary, points, rate):
    if rate is None:  # frames that know nothing of each other have no acceleration
        summary = {name: value for name, value in summary.items() if not name.startswith("accel")}
    return {**summary, "points": float(np.mean(points))} if points else summary


def unit(metric: str) -> str:
    """The unit of a metric of an Evaluation."""
    return "% of box" if metric == "points" else UNITS[metric]
