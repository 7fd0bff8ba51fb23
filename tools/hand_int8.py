"""Writes a landmark network in 8-bit numbers, which says nearly the same in less time on processors made for them.

    python tools/hand_int8.py crops --out fourdhands_core/perception/assets/hand_landmarks_int8.onnx

crops: the folder of `fourdhands train detector`, of which nothing that is held back is looked at. Layer after layer is fitted
by least squares to what it says in the whole network, from what the layers before it say in 8 bits, its weights rounded one by
one, each making good what the ones before lost (Frantar et al., GPTQ, 2023); its bias takes the rest of the mean. The layers up
to t106, of few channels in large maps, which are no faster in 8 bits, and the last ones stay in 32. Weights are within ±64, so
that no processor's sums of two products overflow 16 bits.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from tqdm import tqdm

from fourdhands_core.learning.detector.crop_files import Crops
from fourdhands_core.outputs import writing
from fourdhands_core.perception.hand_networks import HAND

FIRST = "t106"
"""The value up to which all is computed in 32 bits."""
LAST = "t158"
"""The one after which all is."""
_MOST = 64
"""Of a weight in 8 bits."""
_CLIPPED, _ROOM, _MOST_GAIN = 6.0, 1.5, 16.0
"""Where the network clips values; how much larger values may become than was seen; and most that a channel is scaled up."""
_BATCH = 16
_PLACES = 64
"""Of a map, at most, that a layer is fitted to in each crop."""
_STAY = 0.02
"""Weight of the weights as they were, beside the crops."""


class Rounded(NamedTuple):
    """A convolution: weights (out, in, height, width) int8 of `scale` (out,), and bias (out,)."""

    weights: np.ndarray
    scale: np.ndarray
    bias: np.ndarray


class Limits(NamedTuple):
    """What of a value 8 bits hold: scale * (0..255 - zero)."""

    scale: np.ndarray
    zero: np.ndarray

    def rounded(self, value: np.ndarray) -> np.ndarray:
        """The values that are left of these."""
        steps = np.rint(value / self.scale) + self.zero.astype(np.float32)
        return (np.clip(steps, 0, 255) - self.zero.astype(np.float32)) * self.scale


class EightBits:
    """A network of tools/hand_networks.py that becomes one in 8 bits, convolution by convolution."""

    def __init__(self, path: Path) -> None:
        self._model = onnx.load(str(path))
        self._weights = {
            kept.name.removesuffix("_16"): numpy_helper.to_array(kept).astype(np.float32)
            for kept in self._model.graph.initializer
        }
        self._nodes = [node for node in self._model.graph.node if node.op_type != "Cast"]
        self._made_by = {node.output[0]: node for node in self._nodes}
        outputs = [node.output[0] for node in self._nodes]
        inside = self._nodes[outputs.index(FIRST) + 1 : outputs.index(LAST)]
        self.convolutions = [node for node in inside if node.op_type == "Conv"]
        self.last = [node for node in self._nodes if node.op_type == "Gemm"]
        self._rounded: dict[str, Rounded] = {}
        self._limits: dict[str, Limits] = {}

    def written(self, wanted: list[str] | None = None) -> bytes:
        """The file as far as it is in 8 bits; wanted: outputs in place of its own."""
        nodes: list[Any] = []
        constants: dict[str, Any] = {}

        def constant(name: str, array: Any) -> str:
            # a scalar stays one: only then does onnxruntime add in 8 bits
            constants[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
            return name

        def widened(name: str, *given: str, **attributes: int) -> str:
            nodes.append(helper.make_node("DequantizeLinear", list(given), [name + "_8"], name=f"Widen_{name}", **attributes))
            return name + "_8"

        for node in self._nodes:
            output, given = node.output[0], list(node.input)
            limits = self._limits.get(output)
            rounded = self._rounded.get(output)
            if rounded is not None:
                weights, bias = given[1:]
                scale = rounded.scale * self._limits[given[0]].scale
                parts = (weights, rounded.weights, rounded.scale), (bias, np.rint(rounded.bias / scale).astype(np.int32), scale)
                for k, (name, whole, step) in enumerate(parts, start=1):
                    named = constant(name + "_q", whole), constant(name + "_scale", step.astype(np.float32))
                    given[k] = widened(name, *named, axis=0)
            sum_of = node.op_type == "Add"  # sums stay in 32 bits for the next sum
            given = [
                name + "_8" if name in self._limits and not (sum_of and self._made_by[name].op_type == "Add") else name
                for name in given
            ]
            for name in given:
                if name in self._weights:
                    constant(name, self._weights[name])
            if node.op_type == "Clip" and limits is not None:
                value = given[0]  # what 8 bits hold is within its limits
            else:
                value = output
                nodes.append(helper.make_node(node.op_type, given, [output], name=node.name))
                nodes[-1].attribute.extend(node.attribute)
            if limits is not None:
                named = constant(output + "_scale", limits.scale), constant(output + "_zero", limits.zero)
                nodes.append(helper.make_node("QuantizeLinear", [value, *named], [output + "_q"], name=f"Round_{output}"))
                widened(output, output + "_q", *named)
        made = self._model.graph.output if wanted is None else [onnx.ValueInfoProto(name=name) for name in wanted]
        graph = helper.make_graph(nodes, "hand", self._model.graph.input, made, list(constants.values()))
        model = helper.make_model(graph, opset_imports=self._model.opset_import, ir_version=self._model.ir_version)
        if wanted is None:
            onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))

    def limited(self, name: str) -> bool:
        """Whether a value is in 8 bits."""
        return name in self._limits

    def limit(self, name: str, values: np.ndarray) -> None:
        """Choose what of a value 8 bits hold, by the least squared error."""
        clipped = self._made_by[name].op_type == "Clip"
        low, high = (0.0, max(float(values.max()), 0.1)) if clipped else (float(values.min()), float(values.max()))
        best: tuple[float, Limits] | None = None
        for share in np.linspace(0.5, 1.0, 26):
            scale = np.array((high - low) * share / 255.0, np.float32)
            limits = Limits(scale, np.array(np.rint(-low * share / scale), np.uint8))
            error = float(np.square(limits.rounded(values) - values).mean())
            if best is None or error < best[0]:
                best = error, limits
        assert best is not None
        self._limits[name] = best[1]

    def beside(self, node: Any) -> tuple[str, str] | None:
        """Of a convolution whose output is only added to something: the sum, and that."""
        users = [user for user in self._nodes if node.output[0] in user.input]
        if len(users) > 1 or users[0].op_type != "Add":
            return None
        (other,) = (name for name in users[0].input if name != node.output[0])
        return users[0].output[0], other if self._made_by[other].op_type == "Add" else other + "_8"

    def widened_before(self) -> list[tuple[Any, Any]]:
        """Convolutions whose values, clipped, only go on channel by channel; and what they go to."""
        pairs = []
        for node in self._nodes:
            clip = self._made_by.get(node.input[0])
            if node.op_type == "Conv" and clip is not None and clip.op_type == "Clip":
                made = self._made_by[clip.input[0]]
                if made in self.convolutions and self._weights[node.input[1]].shape[1] == 1:
                    pairs.append((made, node))
        return pairs

    def scale_up(self, node: Any, after: Any, gain: np.ndarray) -> None:
        """Make a convolution's values so many times as large (channels,), and the weights after it as much smaller."""
        for name, factor in ((node.input[1], gain), (node.input[2], gain), (after.input[1], 1.0 / gain)):
            weights = self._weights[name]
            self._weights[name] = (weights * factor.reshape(-1, *[1] * (weights.ndim - 1))).astype(np.float32)

    def fit(self, node: Any, pixels: Pixels) -> None:
        """Round a convolution's weights."""
        weights, bias = (self._weights[name] for name in node.input[1:])
        count, inside = len(weights), weights[0].size
        alone = weights.shape[2] > 1  # each channel by itself
        before = weights.reshape(count, 1, inside) if alone else weights.reshape(1, count, inside)
        smallest = np.maximum(np.abs(bias) / (2.0**28 * self._limits[node.input[0]].scale), 1e-8)  # the bias has 32 bits
        fitted, scale = rounded_weights(before, pixels.products(), pixels.with_wanted(), smallest)
        mean = (fitted * scale[..., None] * pixels.mean()[:, None]).sum(2).ravel()
        self._rounded[node.output[0]] = Rounded(
            fitted.reshape(weights.shape).astype(np.int8), scale.ravel(), pixels.mean_wanted().ravel() - mean
        )

    def shift(self, node: Any, by: np.ndarray) -> None:
        """Add to a layer's bias (out,)."""
        self._weights[node.input[2]] = (self._weights[node.input[2]] + by).astype(np.float32)


class Pixels:
    """Sums over places of maps: what a convolution is given, and what it should make of that.

    node: the convolution. Groups are 1, or its channels where each is by itself; (groups, in) numbers make (groups, out) ones.
    """

    def __init__(self, node: Any) -> None:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        self._kernel, self._stride = attributes["kernel_shape"][0], attributes["strides"][0]
        self._pads = attributes["pads"]
        self._rng = np.random.default_rng(7)
        self._count = 0
        self._sums: list[Any] = [0.0, 0.0, 0.0, 0.0]
        self._shift: Any = None  # near the means, for exact sums

    def add(self, given: np.ndarray, wanted: np.ndarray) -> None:
        """Maps (n, channels, height, width) of both."""
        height, width = wanted.shape[2:]
        chosen = self._rng.permutation(height * width)[:_PLACES]
        y, x = np.divmod(chosen, width)
        if self._kernel > 1:
            top, left, bottom, right = self._pads
            padded = np.pad(given, ((0, 0), (0, 0), (top, bottom), (left, right)))
            windows = np.lib.stride_tricks.sliding_window_view(padded, (self._kernel, self._kernel), (2, 3))
            seen = windows[:, :, y * self._stride, x * self._stride]  # n, channels, places, kernel, kernel
            rows = seen.transpose(1, 0, 2, 3, 4).reshape(given.shape[1], -1, self._kernel**2)
            made = wanted[:, :, y, x].transpose(1, 0, 2).reshape(given.shape[1], -1, 1)
        else:
            rows = given[:, :, y, x].transpose(0, 2, 1).reshape(1, -1, given.shape[1])
            made = wanted[:, :, y, x].transpose(0, 2, 1).reshape(1, -1, wanted.shape[1])
        rows, made = rows.astype(np.float64), made.astype(np.float64)
        if self._shift is None:
            self._shift = rows.mean(1, keepdims=True), made.mean(1, keepdims=True)
        rows, made = rows - self._shift[0], made - self._shift[1]
        turned = rows.transpose(0, 2, 1)
        new = rows.sum(1), made.sum(1), turned @ rows, turned @ made
        self._sums = [old + value for old, value in zip(self._sums, new)]
        self._count += rows.shape[1]

    def mean(self) -> np.ndarray:
        """(groups, in) of what it is given."""
        return np.asarray(self._sums[0] / self._count + self._shift[0][:, 0])

    def mean_wanted(self) -> np.ndarray:
        """(groups, out)."""
        return np.asarray(self._sums[1] / self._count + self._shift[1][:, 0])

    def products(self) -> np.ndarray:
        """(groups, in, in) of what it is given, beside the mean; a little more where that is always the same."""
        sums, _, squares, _ = (value / self._count for value in self._sums)
        beside_mean = squares - sums[:, :, None] * sums[:, None]
        least = 1e-5 * np.square(self.mean()).mean(1) + 1e-9
        return np.asarray(beside_mean + least[:, None, None] * np.eye(sums.shape[1]))

    def with_wanted(self) -> np.ndarray:
        """(groups, in, out), likewise."""
        sums, wanted, _, both = (value / self._count for value in self._sums)
        return np.asarray(both - sums[:, :, None] * wanted[:, None])


def rounded_weights(
    before: np.ndarray, products: np.ndarray, with_wanted: np.ndarray, smallest: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers within ±64 (groups, out, in), and their scales (groups, out), from weights before and what `Pixels` has.

    smallest: (groups * out,) scales at least.
    """
    size = products.shape[-1]
    power = np.einsum("gii->gi", products)
    stay = _STAY * power + 1e-3 * power.mean(1, keepdims=True) + 1e-12
    firm = products + stay[..., None] * np.eye(size)
    weights = np.linalg.solve(firm, with_wanted + stay[..., None] * before.transpose(0, 2, 1)).transpose(0, 2, 1)
    widest = np.abs(weights).max(2)
    scale, least = np.zeros_like(widest), np.full(widest.shape, np.inf)
    for share in np.linspace(0.6, 1.0, 21):
        tried = np.maximum(widest * share / _MOST, smallest.reshape(widest.shape))
        steps = np.clip(np.rint(weights / tried[..., None]), -_MOST, _MOST)
        error = (np.square(steps * tried[..., None] - weights) * (power + stay)[:, None]).sum(2)
        scale, least = np.where(error < least, tried, scale), np.minimum(error, least)
    order = np.argsort(-power, axis=1)
    by_power = np.take_along_axis(np.take_along_axis(firm, order[:, :, None], 1), order[:, None], 2)
    upper = np.linalg.cholesky(np.linalg.inv(by_power)).transpose(0, 2, 1)
    left = np.take_along_axis(weights, order[:, None], 2)
    chosen = np.empty_like(left)
    for k in range(size):
        chosen[..., k] = np.clip(np.rint(left[..., k] / scale), -_MOST, _MOST)
        lost = (left[..., k] - chosen[..., k] * scale) / upper[:, None, k, k]
        left[..., k:] -= lost[..., None] * upper[:, None, k, k:]
    return np.take_along_axis(chosen, np.argsort(order, axis=1)[:, None], 2), scale


def shown(folder: Path, count: int) -> np.ndarray:
    """Crops (count, 3, 224, 224) uint8 to learn from, half of them of rendered hands and half of real ones."""
    rng = np.random.default_rng(1)
    parts = sorted(path for path in folder.glob("*.npz") if path.stem.isdigit() and int(path.stem) % 100_000 < 90_000)
    rows = []
    for what, paths in (("rendered", parts[:12]), ("real", list(folder.glob("real.npz")))):
        crops = Crops.joined([Crops.of([]), *(Crops.read(path, str(np.load(path)["about"])) for path in paths)])
        if len(crops) < count // 2:
            held = f"{folder} holds {len(crops)} crops of {what} hands, and {count // 2} are needed"
            raise SystemExit(f"{held}; give the folder of a `fourdhands train detector` with more of them")
        images = crops.images(rng.choice(len(crops), count // 2, replace=False).tolist())
        rows.append(np.rint(images.numpy() * 255.0).astype(np.uint8))
    return rng.permutation(np.concatenate(rows))


def said(network: EightBits, names: list[str], images: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Values of the network as it is now, of a few crops at a time."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    run = onnxruntime.InferenceSession(network.written(names), options, providers=["CPUExecutionProvider"])
    for first in range(0, len(images), _BATCH):
        yield run.run(names, {"image": images[first : first + _BATCH].astype(np.float32) / np.float32(255.0)})


def in_eight_bits(start: Path, images: np.ndarray, few: np.ndarray) -> bytes:
    """The network of a file in 8 bits. images: crops (N, 3, 224, 224) uint8 that it is fitted to; few: by which limits are
    chosen."""
    network, whole = EightBits(start), EightBits(start)
    pairs = whole.widened_before()
    largest = [np.zeros(1)] * len(pairs)
    for row in said(whole, [made.output[0] for made, _ in pairs], images):
        largest = [np.maximum(old, values.max((0, 2, 3))) for old, values in zip(largest, row)]
    for (made, after), most in zip(pairs, largest):  # a channel then makes use of all that 8 bits hold
        gain = np.clip(_CLIPPED / np.maximum(_ROOM * most, 1e-6), 1.0, _MOST_GAIN)
        for each in (network, whole):
            each.scale_up(made, after, gain)

    def limit(name: str) -> None:
        network.limit(name, np.concatenate([values.ravel()[::7] for (values,) in said(network, [name], few)]))

    limit(FIRST)
    for node in tqdm(network.convolutions, mininterval=5.0):
        given, made = node.input[0], node.output[0]
        if not network.limited(given):
            limit(given)
        summed = network.beside(node)
        now, truth = [given + "_8"], made
        if summed is not None:  # it makes good what the sum lost before
            truth = summed[0]
            now.append(summed[1])
        pixels = Pixels(node)
        for (seen, *other), (wanted,) in zip(said(network, now, images), said(whole, [truth], images)):
            pixels.add(seen, wanted - other[0] if other else wanted)
        network.fit(node, pixels)
        if summed is not None:
            limit(made)
    limit(LAST)
    ends = [node.output[0] for node in network.last]
    now, before = ([np.concatenate(rows) for rows in zip(*said(each, ends, images))] for each in (network, whole))
    for node, values, wanted in zip(network.last, now, before):
        network.shift(node, (wanted - values).mean(0))
    return network.written()


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("crops", type=Path)
    parser.add_argument("--start", type=Path, default=HAND, help="the network in 32 bits")
    parser.add_argument("--count", type=int, default=480, help="crops that it is fitted to (default: 480)")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    images = shown(arguments.crops, arguments.count)
    file = in_eight_bits(arguments.start, images, images[:48])
    with writing(arguments.out) as partial:
        partial.write_bytes(file)


if __name__ == "__main__":
    main()
