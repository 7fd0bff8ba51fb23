"""Trains what `hand_model.landmark_bias` knows of the detector's errors, on renders, and writes the file that ships.

    python tools/landmark_bias.py [FILE] [--hands N]

Hands of random shapes in the random poses that networks are trained with, most with their fingers up, seen from all sides; the
landmark network is shown each where it is and follows it by one look. About 60 ms of a core a hand, and a minute of training.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from fourdhands_core.geometry.camera import Camera
from fourdhands_core.geometry.rotations import mirror_matrix
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import load_human_hand, pair_of
from fourdhands_core.hand_model.landmark_bias import TRAINED, Pattern
from fourdhands_core.hand_model.landmarks import landmarks_of_both
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.learning.landmark.motion import MotionSampler
from fourdhands_core.media.clips import HandScene
from fourdhands_core.outputs import writing
from fourdhands_core.perception.hand_networks import HandNetworks
from fourdhands_core.perception.squares import around_landmarks

_SEED, _BLOCK, _SCENE = 4711, 200, 12
"""Of all random numbers; pairs of hands drawn at once, and before one background."""
_BESIDE = (0.03, 0.02)
"""Of a hand's size, by how much the square that is looked at first lies elsewhere, as a whole and by each landmark."""
_MISREAD, _WRONG = 0.25, 0.35
"""Of a hand's size, and of its radius: landmarks that lie so far off in the median are another hand's."""
_HIDDEN, _EPOCHS, _BATCH, _RATE, _DECAY, _NOISE, _HUBER = 64, 40, 256, 4e-3, 0.1, 0.2, 0.05
_KEPT_OUT = 0.1
"""Share of the hands, the last ones, with which nothing is trained: what is printed is of these."""


def observe(count: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """`count` human hands: side, rays (21, 2) where the detector sees the landmarks, and where `Landmarks` has them."""
    asset, rng, networks = load_human_hand(), np.random.default_rng(_SEED), HandNetworks()
    hands, places = HandArrays(pair_of(asset)), landmarks_of_both(pair_of(asset))
    sampler = MotionSampler(_SEED, (0.35, 1.2), 20.0, 0.0, 0.1, upright=0.9, grasps=0.3, asset=asset)
    found, number = 0, 0
    with tqdm(total=count, mininterval=5.0) as bar:
        while found < count:
            if number % _BLOCK == 0:
                drawn = sampler.sample(torch.zeros(_BLOCK, 1))
            if number % _SCENE == 0:
                camera = Camera.from_fov(640, 480, float(rng.uniform(50, 75)))
                scene = HandScene(camera, seed=int(rng.integers(1 << 31)), asset=asset)
            one, number = number % _BLOCK, number + 1
            rotations = drawn.rotations[one, :, 0].numpy().astype(float).copy()
            root, betas = drawn.root[one, :, 0].numpy().astype(float).copy(), drawn.betas[one].numpy().astype(float)
            rotations[LEFT] = mirror_matrix(rotations[LEFT])
            root[LEFT, 0] *= -1.0
            joints, bones = hands.joints_and_bones(rotations[:, 0], rotations[:, 1:], betas)
            marks = joints + places.beside(bones) + root[:, None]
            vertices = hands.vertices(rotations[:, 0], rotations[:, 1:], betas).astype(float) + root[:, None]
            image = scene.sense(scene.render(list(vertices))[0])
            for side in (LEFT, RIGHT):
                rays = _seen(networks, image, camera, camera.project(joints[side] + root[side]), side, rng)
                if rays is not None:
                    found += 1
                    bar.update()
                    yield side, rays, marks[side, :, :2] / marks[side, :, 2:]


def _seen(
    networks: HandNetworks, image: np.ndarray, camera: Camera, pixels: np.ndarray, side: int, rng: np.random.Generator
) -> np.ndarray | None:
    """Rays of a hand whose joints are at pixels (21, 2), None where it is not whole, not seen, or misread."""
    if (pixels < 2).any() or (pixels > np.array([image.shape[1], image.shape[0]]) - 3).any():
        return None
    size = float(np.ptp(pixels, axis=0).max())
    start = pixels + rng.normal(0.0, _BESIDE[0] * size, 2) + rng.normal(0.0, _BESIDE[1] * size, (21, 2))
    (look,) = networks.looks(image, [around_landmarks(start)])
    (look,) = networks.looks(image, [around_landmarks(look.landmarks)])
    off = float(np.median(np.linalg.norm(look.landmarks - pixels, axis=1)))
    if look.presence < 0.5 or (look.right > 0.5) != (side == RIGHT) or off > _MISREAD * size:
        return None
    return camera.unproject(look.landmarks)


def train(rows: Iterator[tuple[int, np.ndarray, np.ndarray]]) -> tuple[list[np.ndarray], tuple[float, float]]:
    """The arrays of the file; of the last hands, which are kept out, the median error before and after, of their radius."""
    features, targets = [], []
    for side, rays, places in rows:
        pattern = Pattern(rays, side)
        target = pattern.of(places) - pattern.points
        if np.median(np.linalg.norm(target, axis=-1)) < _WRONG:
            features.append(pattern.features())
            targets.append(target.ravel())
    count = round((1.0 - _KEPT_OUT) * len(features))
    mean, deviation = np.mean(features[:count], axis=0), np.std(features[:count], axis=0) + 1e-6
    inputs = torch.tensor((np.array(features) - mean) / deviation, dtype=torch.float32)
    outputs = torch.tensor(np.array(targets), dtype=torch.float32)
    x, y, unseen, true = inputs[:count], outputs[:count], inputs[count:], outputs[count:]
    torch.manual_seed(0)
    sizes = [x.shape[1], _HIDDEN, _HIDDEN, y.shape[1]]
    layers = [torch.nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
    with torch.no_grad():  # begins at what is usual
        layers[-1].weight.mul_(0.1)
        layers[-1].bias.copy_(y.median(dim=0).values)
    network = torch.nn.Sequential(layers[0], torch.nn.SiLU(), layers[1], torch.nn.SiLU(), layers[2])
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=_EPOCHS * -(-len(x) // _BATCH))
    for _ in range(_EPOCHS):
        for chosen in torch.randperm(len(x)).split(_BATCH):
            guess = network(x[chosen] + _NOISE * torch.randn(len(chosen), x.shape[1]))
            loss = torch.nn.functional.smooth_l1_loss(guess, y[chosen], beta=_HUBER)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        before, after = (float(one.reshape(-1, 21, 2).norm(dim=-1).median()) for one in (true, true - network(unseen)))
        weights = [array.numpy() for layer in layers for array in (layer.weight.T, layer.bias)]
    return [mean, deviation, *weights], (before, after)


def main() -> None:
    """Render, train, print what is left, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, nargs="?", default=TRAINED)
    parser.add_argument("--hands", type=int, default=4000)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)  # sums in one order: the same file again
    arrays, (before, after) = train(observe(args.hands))
    kept = f"of those kept out {before:.3f} of their radius in the median before, {after:.3f} after"
    print(f"{args.hands} hands, {kept}")
    with writing(args.file) as partial, partial.open("wb") as out:
        np.savez_compressed(out, **{f"human_{k}": one.astype(np.float32) for k, one in enumerate(arrays)})


if __name__ == "__main__":
    main()
