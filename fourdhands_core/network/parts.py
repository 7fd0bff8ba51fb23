"""The landmark network's two parts with plain tensors in and out, as tracing and exporting want them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import torch

from ..errors import DependencyError
from .execution import ENCODE, REASON
from .landmark_tokens import BOX_SCALE, landmark_tokens
from .model import FourDHands


class EncodePart(torch.nn.Module):
    """`execution.Execution.encode` for one sample, each input and output with a leading axis of 1."""

    def __init__(self, network: FourDHands):
        super().__init__()
        self.network = network

    def forward(self, rays, world, has_world, present):
        tokens = landmark_tokens(rays, world, has_world, present, self.network.config.tau)
        return self.network.encode_frame(tokens), tokens.rotation, tokens.size / BOX_SCALE

    def examples(self) -> tuple[torch.Tensor, ...]:
        """Inputs of the right shapes; all of them distinct, as tracing takes one tensor for one input."""
        return (torch.rand(1, 2, 21, 2), torch.rand(1, 2, 21, 3),
                torch.ones(1, 2, dtype=torch.bool), torch.ones(1, 2, dtype=torch.bool))


class ReasonPart(torch.nn.Module):
    """`execution.Execution.reason` for one sample, each input and output with a leading axis of 1."""

    def __init__(self, network: FourDHands):
        super().__init__()
        self.network = network

    def forward(self, hands, offsets, valid):
        output = self.network.reason(hands, offsets, valid)
        return output.rotations, output.betas, output.other_root, output.other_root_sigma, output.joint_sigma

    def examples(self) -> tuple[torch.Tensor, ...]:
        """Inputs of the right shapes."""
        config = self.network.config
        return (torch.zeros(1, 2, config.window, config.width), torch.zeros(1, config.window),
                torch.ones(1, 2, config.window, dtype=torch.bool))


def traced(part):
    """A part as one call that leaves Python, and Python's lock, alone: it has many operations, all of them small."""
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of its deprecation (its successors need a compiler on the robot), of fixed shapes
        return torch.jit.freeze(torch.jit.trace(part.eval(), part.examples()))


def export_onnx(network: FourDHands, folder: str | Path) -> tuple[Path, Path]:
    """Write both parts as ONNX, with the network's configuration in their metadata; returns the two files.

    Raises DependencyError without the exporter's packages.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  what torch.onnx exports with
    except ImportError as error:
        raise DependencyError(f"the export needs {error.name}: pip install 'fourdhands[onnx]'") from error

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for part, name in ((EncodePart(network), ENCODE), (ReasonPart(network), REASON)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = torch.onnx.export(part.eval(), part.examples(), dynamo=True, verbose=False).model_proto
        onnx.helper.set_model_props(model, {"fourdhands": json.dumps(network.config.to_dict())})
        onnx.save(model, str(folder / name))
        written.append(folder / name)
    return tuple(written)
