"""Fits anew the layer of a landmark network that says which side a hand is: rendered hands, whose side is known, pull it, real
ones hold it to what the network said from which `fourdhands train detector` began.

    python tools/hand_side.py tuned.onnx networks/hand_landmarks.onnx crops/real.npz --out hand_landmarks.onnx

real.npz is of that command's folder. 14 files of crops are rendered as there; about four minutes of a core.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as surprise
from tqdm import tqdm

from fourdhands_core.learning.detector.crop_files import PART, Crops
from fourdhands_core.learning.detector.crops import FAMILIES, rendered
from fourdhands_core.learning.detector.graph import Graph
from fourdhands_core.outputs import writing

_LAST, _SIDE = "t160", "t161"
"""Values of the network: what its last layers are given, and the side before the sigmoid."""
_HELD, _FIRST = (190_002, 190_003), 100_000
"""Files of rendered crops to measure on, and the first to learn from, as `train detector --seed 1` numbers them."""
_REAL, _STAY, _SEEN = 2.0, 0.0015, 0.2
"""Weight of real hands, and of the weights' way; least presence of a rendered hand."""


def sided(number: int) -> tuple[Crops, torch.Tensor]:
    """Every second rendered hand of a file, and (N,) its side, right 1."""
    made = [crop for k in range(PART) for crop in rendered(number * PART + k, number % len(FAMILIES))]
    hands = [crop for crop in made if crop.side is not None]
    kept = hands if number in _HELD else hands[::2]
    return Crops.of([(crop.picture, crop.points) for crop in kept]), torch.tensor([float(crop.side or 0) for crop in kept])


def said(network: Graph, crops: Crops, names: list[str]) -> list[torch.Tensor]:
    """What the network says of crops, by name."""
    run, rows = network.onnxruntime(names), []
    for first in range(0, len(crops), 32):
        values = run(crops.images(range(first, min(first + 32, len(crops)))).numpy())
        rows.append([values[name] for name in names])
    return [torch.cat(parts) for parts in zip(*rows)]


def real_hands(path: Path) -> Crops:
    """Every third crop of a real hand in a file of `train detector`."""
    with np.load(path) as file:
        crops = Crops.read(path, str(file["about"]))
    chosen = np.flatnonzero(crops.hand.numpy())[::3].tolist()
    return Crops([crops.pictures[k] for k in chosen], crops.points[chosen], crops.hand[chosen])


def gathered(network: Graph, files: Iterator[int]) -> list[torch.Tensor]:
    """(N, 1152) what the layer is given, (N,) presence and (N,) side of rendered hands."""
    rows = []
    for number in files:
        crops, side = sided(number)
        given, presence = said(network, crops, [_LAST, "presence"])
        rows.append((given, presence[:, 0], side))
    return [torch.cat(parts) for parts in zip(*rows)]


def main() -> None:
    """Fit, print how often the side is right before and after, of hands that are seen, and write the network."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("network", type=Path)
    parser.add_argument("before", type=Path)
    parser.add_argument("real", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--files", type=int, default=14)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network = Graph.read(arguments.network)
    given, presence, side = gathered(network, iter(tqdm(range(_FIRST, _FIRST + arguments.files))))
    real = real_hands(arguments.real)
    (real_given,), (held_to,) = said(network, real, [_LAST]), said(Graph.read(arguments.before), real, ["handedness"])
    (node,) = (node for node in network.between({_LAST}, [_SIDE]) if node.output[0] == _SIDE)
    weights, bias = (network.weights[name].detach() for name in node.input[1:])
    first = weights[0].clone()
    learned, shift = weights[0].clone().requires_grad_(True), bias.clone().requires_grad_(True)
    seen = (presence > _SEEN).float()
    optimiser = torch.optim.LBFGS([learned, shift], max_iter=120, history_size=20, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        rendered_loss = surprise(given @ learned + shift, 0.98 * side + 0.01, reduction="none") * seen
        stay = _STAY * (learned - first).square().sum()
        total = rendered_loss.mean() + _REAL * surprise(real_given @ learned + shift, held_to[:, 0]) + stay
        total.backward()
        return total

    optimiser.step(loss)
    held, held_presence, held_side = gathered(network, iter(_HELD))
    with torch.no_grad():
        for name, values in (("before", held @ first + bias), ("after", held @ learned + shift)):
            right = ((values > 0) == (held_side > 0.5))[held_presence > 0.5]
            print(f"{name}: right side of {right.float().mean():.3f} of {len(right)} rendered hands that are not learned from")
        weights[0], bias[:] = learned, shift
    with writing(arguments.out) as partial:
        partial.write_bytes(network.written())


if __name__ == "__main__":
    main()
