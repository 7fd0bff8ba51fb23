"""Errors of hands in millimetres and degrees, from arrays in metres: section 4.3 of the paper and its tables; for robots.

Perfect predictions give exactly 0 (AUC: exactly 1). `scores` adds them up over sequences.
"""

from __future__ import annotations

import numpy as np

from ...hand_model.skeleton import palm_length

WRIST, MIDDLE_KNUCKLE = 0, 9
AUC_THRESHOLDS = np.linspace(0.0, 50.0, 100)
"""Millimetres, as the evaluation of DexYCB and HO3D has them."""


def root_aligned(points: np.ndarray, joints: np.ndarray, root: int = WRIST) -> np.ndarray:
    """Points (..., N, 3) moved so that joint `root` of joints (..., 21, 3) is the origin."""
    return points - joints[..., root : root + 1, :]


def skeleton_scaled(points: np.ndarray, joints: np.ndarray, true_joints: np.ndarray) -> np.ndarray:
    """Points (..., N, 3) around their hand's middle knuckle, scaled so that wrist to middle knuckle is as long as in truth.

    What the paper follows: IntagHand's evaluation (apps/eval_interhand.py of Dw1010/IntagHand). Its truth is aligned at the
    middle knuckle too: `root_aligned(..., root=MIDDLE_KNUCKLE)`. joints, true_joints: (..., 21, 3).
    """
    scale = palm_length(true_joints) / np.maximum(palm_length(joints), 1e-9)
    return root_aligned(points, joints, MIDDLE_KNUCKLE) * scale[..., None, None]


def distances(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Distances of points (..., N, D), metres -> (..., N), mm."""
    return 1000.0 * np.linalg.norm(predicted - true, axis=-1)


def mpjpe(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Mean joint distance after moving both wrists (joint 0) to the origin: (..., 21, 3) -> (...), mm."""
    return mpvpe(predicted, true, predicted, true)


def mpvpe(vertices: np.ndarray, true_vertices: np.ndarray, joints: np.ndarray, true_joints: np.ndarray) -> np.ndarray:
    """Mean vertex distance after moving both wrists to the origin: (..., V, 3), joints (..., 21, 3) -> (...), mm."""
    return distances(root_aligned(vertices, joints), root_aligned(true_vertices, true_joints)).mean(-1)


def mpvpe_scaled(vertices: np.ndarray, true_vertices: np.ndarray, joints: np.ndarray, true_joints: np.ndarray) -> np.ndarray:
    """Mean vertex distance after `skeleton_scaled` by the joints: (..., V, 3), joints (..., 21, 3) -> (...), mm."""
    true = root_aligned(true_vertices, true_joints, MIDDLE_KNUCKLE)
    return distances(skeleton_scaled(vertices, joints, true_joints), true).mean(-1)


def procrustes(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """`predicted` (..., N, 3) moved onto `true` by the best similarity (rotation, scale, translation), in least squares.

    Mirroring is not among them (Umeyama, 1991). Where the prediction as it is fits better than rounding lets the solution
    fit, it stays as it is.
    """
    mean_p, mean_t = predicted.mean(-2, keepdims=True), true.mean(-2, keepdims=True)
    p, t = predicted - mean_p, true - mean_t
    u, s, vt = np.linalg.svd(np.swapaxes(t, -1, -2) @ p)
    sign = np.ones(s.shape)
    sign[..., 2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = (u * sign[..., None, :]) @ vt
    scale = (s * sign).sum(-1) / np.maximum((p * p).sum((-1, -2)), 1e-18)
    aligned = scale[..., None, None] * p @ np.swapaxes(rotation, -1, -2) + mean_t
    kept = np.square(predicted - true).sum((-1, -2)) <= np.square(aligned - true).sum((-1, -2))
    return np.where(kept[..., None, None], predicted, aligned)


def pa_mpjpe(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Mean distance after the best similarity: joints (..., 21, 3) -> (...), mm; of vertices (..., V, 3) it is PA-MPVPE."""
    return distances(procrustes(predicted, true), true).mean(-1)


pa_mpvpe = pa_mpjpe


def auc_of_curve(curve: np.ndarray, thresholds: np.ndarray = AUC_THRESHOLDS) -> float:
    """The area, 0 to 1, under curves (T, ...) of PCK, their mean: of 21 joints by joint, then the mean; perfect is 1.

    The thresholds are 0 to 50 mm in 100 steps and the curve is integrated by trapezia and divided by 50 mm, as in
    DexYCB's and HO3D's evaluation. The tables print it as per cent.
    """
    steps = np.diff(thresholds)
    middle = (curve[1:] + curve[:-1]) / 2.0
    return float((np.tensordot(steps, middle, 1) / steps.sum()).mean())


def mrrpe(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Error of the left root relative to the right root: (..., 3) -> (...), mm."""
    return distances(predicted, true)


def acceleration(joints: np.ndarray) -> np.ndarray:
    """Second differences in time of wrist-relative joints (T, ..., 21, 3) -> (T - 2, ..., 21, 3), metres/frame^2."""
    relative = root_aligned(joints, joints)
    return relative[2:] - 2.0 * relative[1:-1] + relative[:-2]


def acceleration_error(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Mean over joints of |x_t-1 - 2 x_t + x_t+1| between predicted and true wrist-relative joints (T, ..., 21, 3) ->
    (T - 2, ...), mm/frame^2; times the square of the frame rate it is mm/s^2.

    After VIBE (lib/utils/eval_utils.py of mkocabas/VIBE), whose tables, like the paper's, print this number with the unit
    mm/s^2. What touches a frame with NaN is NaN.
    """
    return distances(acceleration(predicted), acceleration(true)).mean(-1)


def rotation_error(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Angle between rotations (..., 3, 3) -> (...), degrees."""
    sine = np.linalg.norm(predicted - true, axis=(-1, -2)) / np.sqrt(8.0)  # of half the angle
    trace = (predicted * true).sum((-1, -2))
    return np.degrees(2.0 * np.arctan2(sine, np.sqrt(np.maximum(1.0 + trace, 0.0)) / 2.0))


def hand_length(joints: np.ndarray) -> np.ndarray:
    """Wrist to the middle finger's tip along its bones: (..., 21, 3) -> (...), in the unit given."""
    along = joints[..., [0, 9, 10, 11, 12], :]
    return np.linalg.norm(np.diff(along, axis=-2), axis=-1).sum(-1)


def jitter(joints: np.ndarray) -> float:
    """Mean norm of the second differences of root-relative joints (T, 21, 3), in hand sizes (median wrist to middle
    knuckle). Frames with NaN are left out together with the differences they touch."""
    second = acceleration(joints) / np.nanmedian(palm_length(joints))
    return float(np.nanmean(np.linalg.norm(second[:, 1:], axis=-1)))


def lag(joints: np.ndarray, reference: np.ndarray, smoothing: float = 2.0, most: int = 6) -> float:
    """By how many frames `joints` (T, 21, 3) trail `reference` (T, 21, 3), positive where they are late.

    The peak, interpolated between frames by a parabola, of the correlation of root-relative joint velocities, both
    smoothed by the same zero-phase Gaussian (`smoothing`, frames). NaN frames are left out.
    """
    from scipy.ndimage import gaussian_filter1d

    def velocities(points):
        relative = (points - points[:, :1]) / np.nanmedian(palm_length(points))
        bad = ~np.isfinite(relative).all((1, 2))
        good = np.flatnonzero(~bad)
        flat = relative.reshape(len(relative), -1)
        flat = np.stack([np.interp(np.arange(len(flat)), good, column[good]) for column in flat.T], axis=1)
        velocity = np.gradient(gaussian_filter1d(flat, smoothing, axis=0), axis=0)
        margin = gaussian_filter1d(bad.astype(float), smoothing) > 1e-3
        return velocity, margin

    a, bad_a = velocities(joints)
    b, bad_b = velocities(reference)
    shifts = np.arange(-most, most + 1)
    scores = []
    for shift in shifts:
        rows = np.arange(max(0, -shift), min(len(a), len(a) - shift))
        rows = rows[~(bad_a[rows + shift] | bad_b[rows])]
        x, y = a[rows + shift], b[rows]
        scores.append((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))
    k = int(np.clip(np.argmax(scores), 1, len(shifts) - 2))
    before, here, after = scores[k - 1 : k + 2]
    return float(shifts[k] + 0.5 * (before - after) / (before - 2.0 * here + after))
