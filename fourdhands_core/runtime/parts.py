"""The networks' parts with plain tensors in and out, as tracing and exporting want them."""

from __future__ import annotations

import json
import math
import threading
import warnings
from pathlib import Path
from typing import Any

import torch

from ..extras import needed_for
from ..network.image_config import CROP_HEIGHT, CROP_WIDTH
from ..network.image_model import ImageNetwork
from ..network.landmark_model import LandmarkNetwork
from ..network.landmark_tokens import BOX_SCALE, landmark_tokens
from ..outputs import writing_folder
from .onnx_files import BACKBONE, ENCODE, REASON, SPATIAL, TEMPORAL

# What `traced` uses is deprecated (its successors need a compiler on the robot), and shapes are fixed. Nodes of two cameras
# trace in two threads, in which warnings.catch_warnings would leave the process without warnings for good.
warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)

_TRACING = threading.Lock()
"""torch traces one network at a time: two that are traced at once may get into each other's graph."""


class Part(torch.nn.Module):
    """What is traced and exported of a network: `forward` takes what `examples` gives, of any values."""

    def __init__(self, network: Any):
        super().__init__()
        self.network = network

    def examples(self) -> tuple[torch.Tensor, ...]:
        """Inputs of the right shapes; all of them distinct, as tracing takes one tensor for one input."""
        raise NotImplementedError


class EncodePart(Part):
    """`execution.Execution.encode` for one sample, each input and output with a leading axis of 1."""

    def forward(
        self, rays: torch.Tensor, world: torch.Tensor, has_world: torch.Tensor, present: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        config = self.network.config
        tokens = landmark_tokens(rays, world, has_world, present, config.tau, config.common_box)
        return self.network.encode_frame(tokens), tokens.rotation, tokens.size / BOX_SCALE

    def examples(self) -> tuple[torch.Tensor, ...]:
        """Inputs of the right shapes."""
        return (
            torch.rand(1, 2, 21, 2),
            torch.rand(1, 2, 21, 3),
            torch.ones(1, 2, dtype=torch.bool),
            torch.ones(1, 2, dtype=torch.bool),
        )


class ReasonPart(Part):
    """`execution.Execution.reason` for one sample, each input and output with a leading axis of 1."""

    def forward(self, hands: torch.Tensor, offsets: torch.Tensor, seen: torch.Tensor) -> tuple[torch.Tensor, ...]:
        # attention to nothing but the estimated frame is what its repetition gives, section 3.3
        alone = seen & (offsets == 0.0)[:, None]
        output = self.network.reason(torch.cat([hands, hands]), torch.cat([offsets, offsets]), torch.cat([seen, alone]))
        rotations, *others = output.rotations, output.betas, output.other_root, output.other_root_sigma, output.joint_sigma
        return rotations[:1], *(other[:1] for other in others), rotations[1:]

    def examples(self) -> tuple[torch.Tensor, ...]:
        """Inputs of the right shapes."""
        config = self.network.config
        return (
            torch.zeros(1, 2, config.window, config.width),
            torch.zeros(1, config.window),
            torch.ones(1, 2, config.window, dtype=torch.bool),
        )


def traced(part: Part) -> torch.jit.ScriptModule:
    """A part as one call that leaves Python, and Python's lock, alone: it has many operations, all of them small."""
    with _TRACING, torch.inference_mode():
        return torch.jit.freeze(torch.jit.trace(part.eval(), part.examples()))


class SpatialPart(Part):
    """`ImageNetwork.interact` for one frame, whichever hands are present."""

    def forward(self, features: torch.Tensor, squares: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        return self.network.interact(features, squares, present)

    def examples(self) -> tuple[torch.Tensor, ...]:
        """Inputs of the right shapes."""
        return (
            torch.rand(1, 2, math.prod(self.network.config.grid), self.network.config.width),
            torch.rand(1, 2, 4) + 1.0,
            torch.ones(1, 2, dtype=torch.bool),
        )


class TemporalPart(Part):
    """`ImageNetwork.reason` for one window, whichever hands are there in whichever frames."""

    def forward(self, tokens: torch.Tensor, valid: torch.Tensor) -> tuple[torch.Tensor, ...]:
        hands = self.network.reason(tokens, valid)
        return hands.rotations, hands.betas, hands.camera, hands.left_root_relative

    def examples(self) -> tuple[torch.Tensor, ...]:
        """Inputs of the right shapes."""
        config = self.network.config
        return (torch.rand(1, 2, config.window, config.hand_width), torch.ones(1, 2, config.window, dtype=torch.bool))


class BackbonePart(Part):
    """The ViT for the crops of one or two hands, or of several cameras' hands."""

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return self.network.backbone(crops)

    def examples(self) -> tuple[torch.Tensor, ...]:
        """Inputs of the right shapes."""
        return (torch.rand(2, 3, CROP_HEIGHT, CROP_WIDTH),)


def export_onnx(network: LandmarkNetwork | ImageNetwork, folder: str | Path) -> list[Path]:
    """Write the parts as ONNX, with the network's configuration in their metadata; returns the files.

    Of a landmark network what is computed once a frame, and on each window; of an image network the ViT, what follows
    it once a frame, and on each window. Raises DependencyError without the exporter's packages.
    """
    with needed_for("the export"):
        import onnx
        import onnxscript  # noqa: F401  what torch.onnx exports with

    parts: dict[str, Part]
    if isinstance(network, LandmarkNetwork):
        parts = {ENCODE: EncodePart(network), REASON: ReasonPart(network)}
    else:
        parts = {BACKBONE: BackbonePart(network), SPATIAL: SpatialPart(network), TEMPORAL: TemporalPart(network)}
    folder = Path(folder)
    for name, part in parts.items():
        batch = ({0: torch.export.Dim("hands", min=1, max=64)},) if name == BACKBONE else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.onnx.export(part.eval(), part.examples(), dynamo=True, verbose=False, dynamic_shapes=batch)
        assert exported is not None, "with dynamo there is a program"
        model = exported.model_proto
        onnx.helper.set_model_props(model, {"fourdhands": json.dumps(network.config.to_dict())})
        large = model.ByteSize() > 2**30  # a protobuf holds no more than 2 GB
        with writing_folder(folder) as partial:
            onnx.save(model, str(partial / name), save_as_external_data=large, location=f"{name}.data" if large else None)
    return [folder / name for name in parts]
