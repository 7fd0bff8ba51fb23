"""Measures of the generic hand: rest joints, how they move with the shape numbers, and a distance field of its skin.

Right hand in MANO's axes: fingers toward -x, thumb toward +z, palm toward -y, wrist at the origin; metres.
Length, breadth and depth are those of an adult of average size (hand length 0.185 m). The joints lie where MANO and
hand landmark detectors have them: lengths are the medians of MediaPipe's world landmarks over two persons' hands on
video, brought to that hand length and rounded. (By X-ray the knuckles lie some millimetres nearer to the wrist and the
last joints nearer to the tip: Buryanov & Kotiuk, Int. J. Morphol. 28(3), 2010.)

Only additions, products, quotients, square roots and comparisons are used on the way to the mesh: they are exact to
the last bit on every IEEE machine, so that the same mesh comes out everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial, reduce

import numpy as np

from fourdhands_core.hand_model.skeleton import DORSAL, FINGERS, JOINT_NAMES

WRIST_CUT = 0.020
"""The skin ends at the plane x = WRIST_CUT, behind the wrist."""

_MILLI = 1e-3

# finger: base joint, then direction and length of each phalanx (the last to the skin of the fingertip), millimetres.
_PHALANGES = {
    "thumb": (
        (-24.5, -13.5, 28.0),
        (((-0.730, -0.190, 0.657), 34.0), ((-0.790, -0.110, 0.603), 31.0), ((-0.850, -0.040, 0.525), 28.5)),
    ),
    "index": (
        (-92.0, 0.5, 24.5),
        (((-0.9962, 0.0, 0.0872), 34.5), ((-0.9976, 0.0, 0.0698), 22.0), ((-0.9986, 0.0, 0.0523), 25.0)),
    ),
    "middle": (
        (-95.0, 3.0, 1.5),
        (((-0.9998, 0.0, -0.0175), 37.0), ((-0.9998, 0.0, -0.0175), 25.5), ((-0.9998, 0.0, -0.0175), 27.5)),
    ),
    "ring": (
        (-89.0, 1.0, -19.5),
        (((-0.9903, 0.0, -0.1392), 33.5), ((-0.9925, 0.0, -0.1219), 25.0), ((-0.9945, 0.0, -0.1045), 25.5)),
    ),
    "little": (
        (-78.0, -4.0, -36.5),
        (((-0.9563, 0.0, -0.2924), 26.0), ((-0.9613, 0.0, -0.2756), 20.0), ((-0.9703, 0.0, -0.2419), 20.5)),
    ),
}

# finger: skin radius at joints 1, 2, 3 and near the tip, millimetres.
_RADII = {
    "thumb": (13.0, 11.3, 9.7, 7.3),
    "index": (10.2, 8.9, 7.6, 6.2),
    "middle": (10.4, 9.1, 7.8, 6.4),
    "ring": (9.9, 8.6, 7.4, 6.0),
    "little": (8.9, 7.5, 6.5, 5.3),
}


def _unit(vector) -> np.ndarray:
    vector = np.asarray(vector, dtype=np.float64)
    return vector / np.sqrt((vector * vector).sum(-1, keepdims=True))


def rest_joints() -> np.ndarray:
    """(21, 3) joints of the mean hand, metres, in the order of skeleton.JOINT_NAMES."""
    joints = [np.zeros(3)]
    for finger in FINGERS:
        base, phalanges = _PHALANGES[finger]
        point = np.array(base)
        joints.append(point)
        for direction, length in phalanges:
            point = point + length * _unit(direction)
            joints.append(point)
    return np.array(joints) * _MILLI


SHAPE_NAMES = (
    "overall size",
    "finger length",
    "palm width",
    "finger thickness",
    "palm length",
    "thumb length",
    "index length",
    "ring against little finger length",
    "thumb set",
    "palm thickness",
)
"""What each of the ten shape numbers changes; one unit is about a standard deviation among adults."""


def joint_shape_directions(joints: np.ndarray) -> np.ndarray:
    """(21, 3, 10): how the joints (21, 3) move with each shape number."""
    directions = np.zeros((21, 3, 10))

    def stretch(shape: int, finger: str, amount: float):
        """Lengthen the three phalanges of a finger (for the thumb: with its metacarpal) by a fraction."""
        first = JOINT_NAMES.index(f"{finger}_1")
        directions[first : first + 4, :, shape] += amount * (joints[first : first + 4] - joints[first])

    directions[:, :, 0] = 0.039 * joints
    for finger in FINGERS:
        stretch(1, finger, 0.035)
        first = JOINT_NAMES.index(f"{finger}_1")
        directions[first : first + 4, 2, 2] = 0.045 * joints[first, 2]
        directions[first : first + 4, 0, 4] = 0.03 * joints[first, 0]
    stretch(5, "thumb", 0.045)
    stretch(6, "index", 0.035)
    stretch(7, "ring", 0.025)
    stretch(7, "little", -0.035)
    thumb = JOINT_NAMES.index("thumb_1")
    directions[thumb : thumb + 4, :, 8] = np.array([-2.0, -0.8, 0.8]) * _MILLI
    return directions


THICKENING = {3: ("finger", 0.045), 9: ("palm", 0.045)}
"""shape number: (part, fraction by which its skin moves away from the bone per unit)."""


@dataclass(frozen=True)
class Cone:
    """A round cone from `start` to `end` with radii at both ends, flattened by `squash` along the unit vector `up`."""

    start: np.ndarray
    end: np.ndarray
    radius_start: float
    radius_end: float
    up: np.ndarray
    squash: float = 1.0

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Signed distance of points (N, 3) (exact for squash 1), by Quilez' construction in the cone's own plane."""

        def flatten(p):
            offset = p - self.start
            along = offset[..., 0] * self.up[0] + offset[..., 1] * self.up[1] + offset[..., 2] * self.up[2]
            return offset + ((self.squash - 1.0) * along)[..., None] * self.up

        axis = flatten(self.end)
        length2 = float(axis[0] * axis[0] + axis[1] * axis[1] + axis[2] * axis[2])
        delta = self.radius_start - self.radius_end
        a2 = length2 - delta * delta
        pa = flatten(points)
        y = pa[:, 0] * axis[0] + pa[:, 1] * axis[1] + pa[:, 2] * axis[2]
        z = y - length2
        side = pa * length2 - axis * y[:, None]
        x2 = side[:, 0] ** 2 + side[:, 1] ** 2 + side[:, 2] ** 2
        y2, z2 = y * y * length2, z * z * length2
        k = np.sign(delta) * delta * delta * x2
        distance = (np.sqrt(x2 * a2 / length2) + y * delta) / length2 - self.radius_start
        at_end = np.sqrt(x2 + z2) / length2 - self.radius_end
        at_start = np.sqrt(x2 + y2) / length2 - self.radius_start
        distance = np.where(np.sign(y) * a2 * y2 < k, at_start, distance)
        return np.where(np.sign(z) * a2 * z2 > k, at_end, distance)


def _cone(start, end, radius_start, radius_end, up=(0.0, 1.0, 0.0), squash=1.0) -> Cone:
    return Cone(
        np.asarray(start) * _MILLI, np.asarray(end) * _MILLI, radius_start * _MILLI, radius_end * _MILLI, _unit(up), squash
    )


def finger_cones(finger: str) -> list[Cone]:
    """Skin of one finger from its first joint to its tip (the thumb from its metacarpal's middle)."""
    joints = rest_joints() / _MILLI
    first = JOINT_NAMES.index(f"{finger}_1")
    chain = joints[first : first + 4].copy()
    radii = _RADII[finger]
    bone = _unit(chain[3] - chain[2])
    chain[3] -= radii[3] * bone
    up = _unit(DORSAL[finger] - (DORSAL[finger] * bone).sum() * bone)
    cones = []
    for i in range(3):
        # A phalanx is slimmer between its joints, its flesh lies on the palm side, and it is flatter toward the tip.
        middle = 0.5 * (chain[i] + chain[i + 1]) - 0.9 * up
        waist = (0.492 if i < 2 else 0.525) * (radii[i] + radii[i + 1])
        squash = (1.0, 1.03, 1.10)[i]
        below = -0.4 * up
        cones.append(_cone(chain[i] + below, middle, radii[i], waist, up, squash))
        cones.append(_cone(middle, chain[i + 1] + below, waist, radii[i + 1], up, squash))
    return cones


def palm_cones() -> list[Cone]:
    """Skin of the palm: metacarpals, the bases of the fingers (which make the webs), thumb ball, little-finger ball,
    the web of the thumb and the wrist."""
    joints = dict(zip(JOINT_NAMES, rest_joints() / _MILLI))
    down = np.array([0.0, -1.0, 0.0])
    cones = []
    carpus = {
        "index": (-18.0, -2.0, 10.0),
        "middle": (-18.0, -1.0, 3.0),
        "ring": (-16.0, -2.0, -5.0),
        "little": (-14.0, -4.0, -12.0),
    }
    shift = {"index": 2.6, "middle": 3.0, "ring": 2.8, "little": 2.0}
    for finger, base in carpus.items():
        knuckle = joints[f"{finger}_1"]
        radius = _RADII[finger][0]
        cones.append(_cone(base, knuckle + shift[finger] * down, 14.5, radius + 1.0))
        web = knuckle + 0.42 * (joints[f"{finger}_2"] - knuckle) + 1.5 * down
        cones.append(_cone(knuckle + 0.8 * shift[finger] * down, web, radius + 0.3, radius - 1.0))
    thumb_1, thumb_2 = joints["thumb_1"], joints["thumb_2"]
    cones.append(_cone((-10.0, -7.0, 13.0), thumb_1 + 0.40 * (thumb_2 - thumb_1), 14.5, 14.0))
    cones.append(_cone((-22.0, -11.0, 16.0), (-52.0, -11.5, 33.0), 13.0, 11.5))
    cones.append(_cone((-52.0, -8.0, 40.0), (-64.0, -4.0, 24.0), 7.0, 8.0))
    cones.append(_cone((-8.0, -8.0, -13.0), (-55.0, -9.0, -31.0), 13.0, 10.5))
    for z in (11.0, -11.0):
        cones.append(_cone((60.0, -2.0, z), (-12.0, -3.0, 1.1 * z), 17.5, 15.5))
    return cones


def smooth_union(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Union of two distance fields, rounded where both are within `width` (metres) of each other."""
    overlap = np.maximum(width - np.abs(a - b), 0.0) / width
    return np.minimum(a, b) - overlap * overlap * overlap * (width / 6.0)


def skin_distance(points: np.ndarray) -> np.ndarray:
    """Signed distance (about; exact near the skin) of points (N, 3) to the skin: negative inside, metres."""

    def joined(width: float, parts: Iterable[np.ndarray]) -> np.ndarray:
        return reduce(partial(smooth_union, width=width), parts)

    palm = joined(0.012, (cone.distance(points) for cone in palm_cones()))
    fingers = (joined(0.003, (cone.distance(points) for cone in finger_cones(finger))) for finger in FINGERS)
    # Each finger melts into the palm, but hardly into its neighbour.
    return joined(0.0005, (smooth_union(palm, finger, 0.010) for finger in fingers))
