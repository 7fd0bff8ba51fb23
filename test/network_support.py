"""A small image network: every part of it, in sizes that take no time."""

import torch

from fourdhands_core.network.image_config import ImageConfig
from fourdhands_core.network.image_model import ImageNetwork

SMALL = ImageConfig(
    width=96,
    depth=2,
    heads=3,
    hand_width=128,
    temporal_heads=2,
    decoder_heads=2,
    decoder_layers=2,
    temporal_layers=2,
    spatial_layers=1,
)


def small_network(**settings) -> ImageNetwork:
    """The same untrained weights each time. settings: others than SMALL's."""
    torch.manual_seed(1)
    return ImageNetwork(ImageConfig(**{**SMALL.to_dict(), **settings})).eval()
