"""Adds up the metrics over frames, batches and sequences, whatever part of the truth each frame has."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...errors import InputError
from ...hand_model.skeleton import LEFT, RIGHT
from . import metrics


@dataclass
class HandFrames:
    """Hands (left, right) of N frames, predicted or true; None for what is not known, NaN where it is not.

    joints: (N, 2, 21, 3) and vertices: (N, 2, V, 3), metres, each hand in a frame of its own choice, as only what is
    relative to its root is compared. left_root: (N, 3), left wrist minus right wrist, metres. wrist: (N, 2, 3), metres, and
    wrist_rotation: (N, 2, 3, 3), in the camera optical frame.
    """

    joints: np.ndarray
    vertices: np.ndarray | None = None
    left_root: np.ndarray | None = None
    wrist: np.ndarray | None = None
    wrist_rotation: np.ndarray | None = None

    @classmethod
    def in_camera(
        cls, joints: np.ndarray, vertices: np.ndarray | None = None, wrist_rotation: np.ndarray | None = None
    ) -> HandFrames:
        """Hands whose joints and vertices are in the camera optical frame, which says where the wrists are as well."""
        return cls(joints, vertices, joints[:, LEFT, 0] - joints[:, RIGHT, 0], joints[:, :, 0], wrist_rotation)


UNITS = (
    dict.fromkeys("mpjpe mpjpe_scaled mpvpe mpvpe_scaled pa_mpjpe pa_mpvpe mrrpe".split(), "mm")
    | {"accel": "mm/frame^2", "accel_per_second": "mm/s^2", "wrist": "mm", "wrist_rotation": "degrees"}
    | dict.fromkeys(("auc", "pa_auc"), "0-1")
)
"""What `Scores.summary` gives, by name; see `metrics` for each."""


class _Sequence:
    """The metrics of one sequence so far: a value for every hand, pair or frame triple, and counts for AUC."""

    def __init__(self):
        self.values: dict[str, list[np.ndarray]] = {}
        self.within = {name: np.zeros((len(metrics.AUC_THRESHOLDS), 21), np.int64) for name in ("auc", "pa_auc")}
        self.counted = np.zeros(21, np.int64)
        self.hands = self.found = 0
        self.tail: tuple[np.ndarray, np.ndarray] | None = None

    def keep(self, name, values):
        self.values.setdefault(name, []).append(np.asarray(values, np.float64).ravel())


def _mean(errors, known):
    """Means of errors (N, 21) over the joints that are known (N, 21) -> (N,)."""
    return np.where(known, errors, 0.0).sum(-1) / known.sum(-1)


def _aligning(joints, true, known, mesh_joints):
    """Predicted and true joints (N, 2, 21, 3), and which are known (N, 2, 21): the meshes' where both sides have them."""
    if mesh_joints is None:
        return joints, true, known
    mesh, true_mesh = (np.asarray(side, np.float64) for side in mesh_joints)
    there = (np.isfinite(mesh) & np.isfinite(true_mesh)).all((-1, -2))[..., None]
    return np.where(there[..., None], mesh, joints), np.where(there[..., None], true_mesh, true), known | there


@dataclass
class Scores:
    """Metrics of frames given in order, by sequence, in batches of any size: the numbers are those of one batch.

    frame_rate: frames a second, for the acceleration error in mm/s^2; left out where None.
    """

    frame_rate: float | None = None
    _sequences: dict[str, _Sequence] = field(default_factory=dict)

    def add(
        self,
        predicted: HandFrames,
        true: HandFrames,
        valid: np.ndarray,
        joint_valid: np.ndarray | None = None,
        sequence: str = "",
        mesh_joints: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        """The next frames of a sequence.

        valid: (N, 2) bool, hands that have a truth. joint_valid: (N, 2, 21) bool, their joints that have one (default: all);
        a hand whose wrist has none counts for nothing, one whose middle knuckle has none for nothing that is scaled. A
        valid hand predicted as NaN counts as not found and for nothing else. mesh_joints: predicted and true (N, 2, 21, 3),
        metres, what MANO's regressor makes of the vertices, NaN where there are none. Vertices are then aligned by them, and
        everything that is scaled is of them, as in IntagHand's evaluation: measured joints are not those of a mesh fitted to
        them.
        """
        joints, true_joints = (np.asarray(hands.joints, np.float64) for hands in (predicted, true))
        valid = np.asarray(valid, bool)
        if joints.shape != true_joints.shape or joints.shape[1:] != (2, 21, 3) or valid.shape != joints.shape[:2]:
            raise InputError(
                f"predicted joints {joints.shape}, true joints {true_joints.shape} and valid {valid.shape} do not "
                "fit; give (N, 2, 21, 3) twice and (N, 2)"
            )
        known = np.ones(joints.shape[:3], bool) if joint_valid is None else np.asarray(joint_valid, bool)
        valid = valid & known[..., 0]
        known = known & valid[..., None]
        found = valid & np.isfinite(joints).all((-1, -2))
        into = self._sequences.setdefault(sequence, _Sequence())
        into.hands += int(valid.sum())
        into.found += int(found.sum())
        self._joints(into, joints[found], true_joints[found], known[found])
        aligning = _aligning(joints, true_joints, known, mesh_joints)
        self._scaled(into, *(array[found] for array in aligning))
        if predicted.vertices is not None and true.vertices is not None:
            self._vertices(into, predicted.vertices, true.vertices, aligning, found)
        self._wrists(into, predicted, true, found)
        seen = found[..., None, None]
        self._acceleration(into, np.where(seen, joints, np.nan), np.where(seen & known[..., None], true_joints, np.nan))

    @staticmethod
    def _joints(into, joints, true, known):
        true = np.where(known[..., None], true, 0.0)
        errors = metrics.distances(metrics.root_aligned(joints, joints), metrics.root_aligned(true, true))
        into.keep("mpjpe", _mean(errors, known))
        aligned = np.empty_like(joints)
        whole = known.all(-1)
        aligned[whole] = metrics.procrustes(joints[whole], true[whole])
        for k in np.flatnonzero(~whole):
            aligned[k, known[k]] = metrics.procrustes(joints[k, known[k]], true[k, known[k]])
            aligned[k, ~known[k]] = 0.0
        after = metrics.distances(aligned, true)
        into.keep("pa_mpjpe", _mean(after, known))
        into.counted += known.sum(0)
        for name, of in (("auc", errors), ("pa_auc", after)):
            into.within[name] += np.stack([((of <= limit) & known).sum(0) for limit in metrics.AUC_THRESHOLDS])

    @staticmethod
    def _scaled(into, joints, true, known):
        usable = known[:, metrics.WRIST] & known[:, metrics.MIDDLE_KNUCKLE]
        p, known = joints[usable], known[usable]
        t = np.where(known[..., None], true[usable], 0.0)
        errors = metrics.distances(metrics.skeleton_scaled(p, p, t), metrics.root_aligned(t, t, metrics.MIDDLE_KNUCKLE))
        into.keep("mpjpe_scaled", _mean(errors, known))

    @staticmethod
    def _vertices(into, vertices, true_vertices, aligning, found):
        joints, true_joints, known = aligning
        found = found & np.isfinite(true_vertices[..., 0, 0])
        scaled = found & known[..., metrics.MIDDLE_KNUCKLE]
        for name, error, chosen in (("mpvpe", metrics.mpvpe, found), ("mpvpe_scaled", metrics.mpvpe_scaled, scaled)):
            v, tv, j, tj = (np.asarray(x, np.float64)[chosen] for x in (vertices, true_vertices, joints, true_joints))
            into.keep(name, error(v, tv, j, tj))
        v, tv = (np.asarray(x, np.float64)[found] for x in (vertices, true_vertices))
        into.keep("pa_mpvpe", metrics.pa_mpvpe(v, tv))

    @staticmethod
    def _wrists(into, predicted, true, found):
        for name, attribute, error, chosen in (
            ("wrist", "wrist", metrics.distances, found),
            ("wrist_rotation", "wrist_rotation", metrics.rotation_error, found),
            ("mrrpe", "left_root", metrics.mrrpe, found.all(1)),
        ):
            mine, theirs = getattr(predicted, attribute), getattr(true, attribute)
            if mine is not None and theirs is not None:
                errors = error(np.asarray(mine, np.float64)[chosen], np.asarray(theirs, np.float64)[chosen])
                into.keep(name, errors[np.isfinite(errors)])

    @staticmethod
    def _acceleration(into, joints, true):
        if into.tail is not None:  # the two frames before these
            joints, true = np.concatenate([into.tail[0], joints]), np.concatenate([into.tail[1], true])
        if len(joints) > 2:
            errors = metrics.acceleration_error(joints, true)
            into.keep("accel", errors[np.isfinite(errors)])
        into.tail = joints[-2:], true[-2:]

    def summary(self, sequence: str | None = None) -> dict[str, float]:
        """Means over the hands (pairs, frame triples) of one sequence, or of all, by the names of UNITS; what was never
        measured is left out. `hands` have a truth, `found` were predicted, `pairs` were both."""
        if sequence is not None and sequence not in self._sequences:
            raise InputError(f"no frames of sequence {sequence!r} were given; there are {sorted(self._sequences)}")
        chosen = list(self._sequences.values()) if sequence is None else [self._sequences[sequence]]
        result = {}
        for name in UNITS:
            values = [part for entry in chosen for part in entry.values.get(name, [])]
            if sum(map(len, values)):
                result[name] = float(np.concatenate(values).mean())
        if "accel" in result and self.frame_rate is not None:
            result["accel_per_second"] = result["accel"] * self.frame_rate**2
        counted = np.sum([entry.counted for entry in chosen], axis=0) if chosen else np.zeros(21)
        for name in ("auc", "pa_auc"):
            if np.any(counted > 0):
                within = np.sum([entry.within[name] for entry in chosen], axis=0)
                result[name] = metrics.auc_of_curve(within[:, counted > 0] / counted[counted > 0])
        pairs = sum(len(part) for entry in chosen for part in entry.values.get("mrrpe", []))
        return {
            **result,
            "hands": sum(entry.hands for entry in chosen),
            "found": sum(entry.found for entry in chosen),
            "pairs": pairs,
        }

    def report(self) -> dict:
        """The summary of all frames and of every sequence: {"overall": ..., "sequences": {name: ...}}."""
        return {"overall": self.summary(), "sequences": {name: self.summary(name) for name in self._sequences}}
