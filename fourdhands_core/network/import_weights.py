"""Weights made elsewhere: the authors' released checkpoints, and ViT backbones of HaMeR or ViTPose to start training from.

The released files are a flat mapping of names to tensors; their names and shapes, and what they compute, were worked out
from the files. They and MANO are under licences of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..errors import CheckpointError
from .checkpoint import empty_network, fault_of
from .foreign_checkpoint import read_checkpoint
from .image_config import CROP_HEIGHT, CROP_WIDTH, ImageConfig
from .image_model import ImageNetwork

RELEASED = ImageConfig(relation="add", frame_gap=10.0 / 30.0, root=9, mean_pose=True)
"""The configuration of Demo_Video.pth: its windows are 9 frames, 10 apart; its root is the middle finger's knuckle."""

_BACKBONE = (
    (r"patch_embed\.proj\.", "patches."),
    (r"pos_embed$", "position"),
    (r"last_norm\.", "norm."),
    (r"blocks\.(\d+)\.norm1\.", r"blocks.\1.norm_attention."),
    (r"blocks\.(\d+)\.norm2\.", r"blocks.\1.norm_mlp."),
    (r"blocks\.(\d+)\.attn\.qkv\.", r"blocks.\1.qkv."),
    (r"blocks\.(\d+)\.attn\.proj\.", r"blocks.\1.output."),
    (r"blocks\.(\d+)\.mlp\.fc1\.", r"blocks.\1.mlp.0."),
    (r"blocks\.(\d+)\.mlp\.fc2\.", r"blocks.\1.mlp.2."),
)
_DECODER = (
    (r"pos_embedding$", "query"),
    (r"transformer\.layers\.(\d+)\.0\.norm\.", r"layers.\1.norm_self."),
    (r"transformer\.layers\.(\d+)\.0\.fn\.to_qkv\.", r"layers.\1.value."),
    (r"transformer\.layers\.(\d+)\.0\.fn\.to_out\.0\.", r"layers.\1.output_self."),
    (r"transformer\.layers\.(\d+)\.1\.norm\.", r"layers.\1.norm_cross."),
    (r"transformer\.layers\.(\d+)\.1\.fn\.to_q\.", r"layers.\1.query."),
    (r"transformer\.layers\.(\d+)\.1\.fn\.to_kv\.", r"layers.\1.key_value."),
    (r"transformer\.layers\.(\d+)\.1\.fn\.to_out\.0\.", r"layers.\1.output_cross."),
    (r"transformer\.layers\.(\d+)\.2\.norm\.", r"layers.\1.norm_mlp."),
    (r"transformer\.layers\.(\d+)\.2\.fn\.net\.0\.", r"layers.\1.mlp.0."),
    (r"transformer\.layers\.(\d+)\.2\.fn\.net\.3\.", r"layers.\1.mlp.2."),
)
_NAMES = (
    *((r"backbone\." + old, "backbone." + new) for old, new in _BACKBONE),
    (r"map_head\.", "relation."),
    (r"mano_head\.inter_attn\.layers\.(\d+)\.0\.norm\.", r"spatial.\1.norm_attention."),
    (r"mano_head\.inter_attn\.layers\.(\d+)\.0\.fn\.to_qkv\.", r"spatial.\1.qkv."),
    (r"mano_head\.inter_attn\.layers\.(\d+)\.0\.fn\.to_out\.0\.", r"spatial.\1.output."),
    (r"mano_head\.inter_attn\.layers\.(\d+)\.1\.norm\.", r"spatial.\1.norm_mlp."),
    (r"mano_head\.inter_attn\.layers\.(\d+)\.1\.fn\.net\.0\.", r"spatial.\1.mlp.0."),
    (r"mano_head\.inter_attn\.layers\.(\d+)\.1\.fn\.net\.3\.", r"spatial.\1.mlp.2."),
    *((r"mano_head\.transformer\." + old, "decoder." + new) for old, new in _DECODER),
    *((r"time_head\.temp_decoder\." + old, "temporal." + new) for old, new in _DECODER),
    (r"time_head\.mano_branch\.mano_base_layer\.", "base."),
    (r"time_head\.mano_branch\.pose_reg\.", "pose."),
    (r"time_head\.mano_branch\.shape_reg\.", "betas."),
    (r"time_head\.mano_branch\.cam_reg\.", "camera."),
    (r"time_head\.mano_branch\.rel_reg\.", "relative."),
    (r"time_head\.init_cam$", "mean_camera"),
)
_QUERIES = {"mano_head.transformer": "decoder", "time_head.temp_decoder": "temporal"}


@dataclass(frozen=True)
class Imported:
    """A network with the weights of a checkpoint, and the names of the checkpoint that it has no use for."""

    network: ImageNetwork
    superfluous: list[str]


def import_released(path: str | Path, window: int | None = None) -> Imported:
    """The network of the authors' Demo_Video.pth, Eval_Video.pth (window of 9 frames) or Demo_Image.pth (1 frame).

    The depth of the backbone is the file's; the window, which leaves no trace in the weights, is told by the file's name
    where it is not given. Raises CheckpointError naming what is missing, misshapen or not finite.
    """
    tensors = read_checkpoint(path)
    depth = _count(tensors, r"backbone\.blocks\.(\d{1,2})\.")
    if not depth:
        raise CheckpointError(
            f"{path} holds no backbone.blocks.0; give the authors' Demo_Video.pth, Eval_Video.pth or "
            f"Demo_Image.pth (it holds {_some(sorted(tensors))})"
        )
    if window is None:
        window = 1 if "image" in Path(path).stem.lower() else RELEASED.window
    network = empty_network(replace(RELEASED, depth=depth, window=window))
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    renamed = {name: _renamed(name, _NAMES) for name in tensors}
    found = {ours: (name, tensors[name]) for name, ours in renamed.items() if ours in expected}
    embeddings = "to_token_embedding.weight", "to_token_embedding.bias"
    superfluous = [name for name, ours in renamed.items() if ours not in expected and not name.endswith(embeddings)]
    faults, state = _take_queries(tensors, found), {}
    for ours, shape in expected.items():
        if ours not in found:
            faults.append(f"missing {_published(ours)}")
            continue
        name, tensor = found[ours]
        if ours == "mean_camera":
            tensor = tensor.reshape(-1)
        elif ours.endswith(".value.weight") and tensor.ndim and tensor.shape[0] == 3 * shape[0]:
            tensor = tensor[2 * shape[0] :]  # a single query attends to itself alone: its value is all that counts
        if fault := fault_of(tensor, shape):
            faults.append(f"{name} {fault}")
        else:
            state[ours] = tensor.float()
    if faults:
        raise CheckpointError(f"{path} is not the released network: {_some(faults)}")
    network.load_state_dict(state, assign=True)
    return Imported(network.eval(), sorted(superfluous))


def _take_queries(tensors: Mapping[str, torch.Tensor], found: dict[str, tuple[str, torch.Tensor]]) -> list[str]:
    """Make the queries in `found` what they are here: a released one is a zero through a linear layer, plus its position.
    found: name and tensor of the file, by our names. Returns what is wrong with them."""
    faults = []
    for published, ours in _QUERIES.items():
        bias = tensors.get(f"{published}.to_token_embedding.bias")
        place, position = found.get(f"{ours}.query") or (None, None)
        if bias is None or place is None or position is None or position.numel() != bias.numel():
            faults.append(f"missing or misshapen {published}.to_token_embedding.bias, {published}.pos_embedding")
        elif not (bias.is_floating_point() and position.is_floating_point()):
            faults.append(f"{published}.to_token_embedding.bias is {bias.dtype}, {place} {position.dtype}, not numbers")
        else:
            found[f"{ours}.query"] = (place, position.float().reshape(-1) + bias.float().reshape(-1))
    return faults


def import_backbone(path: str | Path, config: ImageConfig) -> Imported:
    """A network of `config`, untrained but for its backbone, which is that of a HaMeR or ViTPose checkpoint.

    ViTPose's inputs are those of this network, 256 x 192 with patches of 16. Raises CheckpointError.
    """
    if config.stem != "patches":
        raise CheckpointError(
            f"network.stem must be 'patches' to start from the backbone {path}, not {config.stem!r}: published "
            "ViTs have no other"
        )
    tensors = read_checkpoint(path)
    network = ImageNetwork(config)
    expected = {name: tuple(tensor.shape) for name, tensor in network.backbone.state_dict().items()}
    renamed = {name: _renamed(re.sub(r"^(model\.)?backbone\.", "", name), _BACKBONE) for name in tensors}
    state = {ours: tensors[name] for name, ours in renamed.items() if ours in expected}
    superfluous = [name for name, ours in renamed.items() if ours not in expected]
    faults = []
    for name, shape in expected.items():
        if name not in state:
            faults.append(f"missing backbone {name}")
        elif fault := fault_of(state[name], shape):
            faults.append(f"backbone {name} {fault}")
    if (depth := _count(tensors, r"(?:model\.)?(?:backbone\.)?blocks\.(\d{1,2})\.")) > config.depth:
        faults.append(f"it has {depth} blocks")
    if faults:
        raise CheckpointError(
            f"{path} holds no ViT of width {config.width} and depth {config.depth} for crops of "
            f"{CROP_HEIGHT} x {CROP_WIDTH}: {_some(faults)}"
        )
    network.backbone.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    return Imported(network.eval(), sorted(superfluous))


def _count(names: Iterable[str], pattern):
    """How many blocks there are, by the highest number in a name that the pattern matches."""
    numbers = [int(match[1]) for name in names if (match := re.match(pattern, name))]
    return max(numbers, default=-1) + 1


def _renamed(name, table):
    """Our name of a published one by a table of (pattern, ours); None where none of it matches."""
    for old, new in table:
        renamed, count = re.subn("^" + old, new, name)
        if count:
            return renamed
    return None


def _published(ours):
    """What the released file calls one of our tensors, for messages."""
    for old, new in _NAMES:
        pattern = "^" + re.escape(new).replace(r"\\1", r"(\d+)")
        if match := re.match(pattern, ours):
            plain = old.replace("\\.", ".").rstrip("$")
            return plain.replace(r"(\d+)", match[1] if match.groups() else "") + ours[match.end() :]
    return ours


def _some(things):
    return "; ".join(things[:6]) + (f"; and {len(things) - 6} more" if len(things) > 6 else "")
