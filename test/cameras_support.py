"""One motion of two hands seen by several cameras whose poses are known, for tests and benchmarks of several cameras."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fourdhands_core.geometry.camera import Camera
from fourdhands_core.geometry.rigid import Rigid
from fourdhands_core.geometry.rotations import matrix_from_axis_angle, mirror_matrix
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import load_human_hand, pair_of
from fourdhands_core.hand_model.skeleton import LEFT
from fourdhands_core.learning.landmark.motion import MotionSampler
from fourdhands_core.media.choreography import demo_motion
from fourdhands_core.media.clips import HandScene

_GRID = 240.0
"""Moments a second from which stamps are taken."""
_ROUNDS = np.array([7.3, 4.1, 9.7])
"""Seconds in which hands that roam come back to the side, the height, and the distance where they were."""


@dataclass(frozen=True)
class Layout:
    """Cameras on an arc around the hands, all looking at its middle.

    distance: of the cameras from the middle, metres. angles: where on the arc each stands, degrees. rates: images a second of
    each. offsets: seconds between the stamps of the first camera and each. seconds: length. drawn: the motions are those that
    networks are trained with, any pose and turn; otherwise hands that show gestures, turn, cross, leave and touch. roams: how
    far these go, besides, to each side, up and down, near and far, in shares of the distance.
    """

    distance: float
    angles: tuple[float, ...]
    rates: tuple[float, ...]
    offsets: tuple[float, ...]
    seconds: float = 4.0
    drawn: bool = False
    roams: tuple[float, float, float] = (0.0, 0.0, 0.0)
    size: tuple[int, int] = (640, 480)
    fov: float = 60.0

    def poses(self) -> list[Rigid]:
        """Each camera's optical frame in the fixed frame, whose origin is the middle; x right, y down, z away."""
        result = []
        for angle in np.radians(self.angles):
            turn = matrix_from_axis_angle(np.array([0.0, -angle, 0.0]))
            result.append(Rigid(turn, turn @ np.array([0.0, 0.0, -self.distance])))
        return result


@dataclass(frozen=True, eq=False)
class Truth:
    """Both hands at one camera's T stamps, fixed frame; axis 1 is the side.

    stamp: (T,) nanoseconds. rotations: (T, 2, 16, 3, 3). betas: (2, 10). joints: (T, 2, 21, 3) metres. vertices: (T, 2, V, 3).
    """

    stamp: np.ndarray
    rotations: np.ndarray
    betas: np.ndarray
    joints: np.ndarray
    vertices: np.ndarray


class SeenByCameras:
    """A motion drawn from a seed, and what each camera of a layout sees of it. cameras, poses, truth: of each camera."""

    def __init__(self, layout: Layout, seed: int, hands: HandArrays | None = None) -> None:
        self.layout, self.seed = layout, seed
        hands = hands or HandArrays(pair_of(load_human_hand()))
        self.cameras = [Camera.from_fov(*layout.size, layout.fov, calibrated=True) for _ in layout.angles]
        self.poses = layout.poses()
        times = [offset + np.arange(int(layout.seconds * rate)) / rate for rate, offset in zip(layout.rates, layout.offsets)]
        every = np.unique(np.round(np.concatenate([[0.0], *times]) * _GRID)) / _GRID
        rotations, root, betas = (_drawn if layout.drawn else _shown)(layout, seed, every)
        self.truth = []
        for one in times:
            at = np.searchsorted(every, one - 0.5 / _GRID)
            posed = rotations[at][:, :, 0], rotations[at][:, :, 1:], np.broadcast_to(betas, (len(at), 2, 10))
            self.truth.append(
                Truth(
                    1 + np.round(every[at] * 1e9).astype(np.int64),
                    rotations[at],
                    betas,
                    hands.joints(*posed) + root[at][:, :, None],
                    hands.vertices(*posed) + root[at][:, :, None],
                )
            )

    def images(self, number: int) -> Iterator[tuple[int, np.ndarray]]:
        """(stamp, image (H, W, 3) uint8 RGB) of every frame of a camera."""
        scene = HandScene(self.cameras[number], self.seed)
        there, truth = self.poses[number].inverse(), self.truth[number]
        for stamp, vertices in zip(truth.stamp.tolist(), truth.vertices):
            yield stamp, scene.sense(scene.render([there.apply(points) for points in vertices.astype(float)])[0])


def _drawn(layout: Layout, seed: int, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotations (T, 2, 16, 3, 3), wrists (T, 2, 3) and betas (2, 10) of motions as networks are trained with."""
    distance = layout.distance
    sampler = MotionSampler(
        seed, (0.94 * distance, 1.06 * distance), float(np.degrees(np.arctan(0.14 / distance))), 0.0, 0.4, upright=1.0
    )
    motion = sampler.sample(torch.as_tensor(times, dtype=torch.float32)[None])
    rotations = motion.rotations[0].numpy().astype(float).swapaxes(0, 1)
    root = motion.root[0].numpy().astype(float).swapaxes(0, 1)
    rotations[:, LEFT] = mirror_matrix(rotations[:, LEFT])
    root[:, LEFT, 0] *= -1.0
    return rotations, root - (0.0, 0.0, distance), motion.betas[0].numpy().astype(float)


def _shown(layout: Layout, seed: int, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same of hands that show gestures: a part of the demo's 12 seconds, which one the seed says; all of it, slower, in a
    longer clip."""
    seconds = max(12.0, layout.seconds + 1.0 / _GRID)
    motion = demo_motion(seconds, _GRID, seed)
    at = np.round((times + seed % 7 * (seconds - layout.seconds) / 6.0) * _GRID).astype(int).clip(max=len(motion.stamp) - 1)
    angles = np.concatenate([motion.global_orient[at][:, :, None], motion.hand_pose[at].reshape(-1, 2, 15, 3)], axis=2)
    roamed = layout.distance * np.array(layout.roams) * np.sin(2.0 * np.pi * times[:, None] / _ROUNDS + np.arange(3))
    return matrix_from_axis_angle(angles), motion.wrist[at] + roamed[:, None] - (0.0, 0.0, 0.5), motion.betas


def arc(baseline: float, distance: float, count: int = 2) -> tuple[float, ...]:
    """Angles on the arc, degrees, of so many cameras of which neighbours are `baseline` metres apart."""
    step = 2.0 * np.degrees(np.arcsin(baseline / (2.0 * distance)))
    return tuple(float(step * (k - (count - 1) / 2)) for k in range(count))


def standard_layouts(seconds: float = 4.0, drawn: bool = False) -> dict[str, Layout]:
    """The layouts of the benchmark, by name."""

    def layout(baseline: float, distance: float, count: int = 2, rates: Sequence[float] = (), late: float = 0.0125) -> Layout:
        offsets = tuple(float(late * k / max(count - 1, 1)) for k in range(count))
        return Layout(distance, arc(baseline, distance, count), tuple(rates) or (30.0,) * count, offsets, seconds, drawn)

    return {
        "0.3 m apart, 0.5 m away": layout(0.3, 0.5),
        "0.6 m apart, 0.5 m away": layout(0.6, 0.5),
        "0.3 m apart, 0.85 m away": layout(0.3, 0.85),
        "0.6 m apart, 1.0 m away": layout(0.6, 1.0),
        "1.0 m apart, 1.0 m away": layout(1.0, 1.0),
        "1.4 m apart, 1.0 m away": layout(1.4, 1.0),
        "3 cameras, 0.3 m apart, 0.5 m away": layout(0.3, 0.5, 3),
        "3 cameras, 0.6 m apart, 1.0 m away": layout(0.6, 1.0, 3),
        "one at 15 Hz, 0.3 m apart, 0.5 m away": layout(0.3, 0.5, rates=(30.0, 15.0)),
        "one at 15 Hz, 0.6 m apart, 1.0 m away": layout(0.6, 1.0, rates=(30.0, 15.0)),
    }
