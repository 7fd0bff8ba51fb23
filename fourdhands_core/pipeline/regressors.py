"""The regressor that a tracker's settings ask for; torch is imported only where it runs the network."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from ..errors import InputError
from ..extras import needed_for
from ..hand_model.arrays import HandArrays
from ..network.weights_file import require_tokenizer
from ..runtime.image import OnnxImage, TorchImage
from ..runtime.landmark import OnnxExecution, landmark_execution
from .image_regression import ImageRegressor
from .regression import LandmarkRegressor
from .settings import TrackerSettings


def make_regressor(settings: TrackerSettings, hands: HandArrays, mean_pose: np.ndarray) -> LandmarkRegressor | ImageRegressor:
    """A LandmarkRegressor or ImageRegressor.

    settings: TrackerSettings. hands: the (left, right) hand models. mean_pose: (45,) of the right one. Raises
    CheckpointError for weights of the other model, InputError for settings that do not go together, DependencyError where
    they need torch and it is not installed.
    """
    check_networks(settings)
    if settings.model == "landmark":
        execution = OnnxExecution if settings.device == "onnx" else landmark_execution
        return LandmarkRegressor(execution(settings.weights or None, settings.threads))
    if not settings.weights:
        raise InputError(
            "model = 'image' needs weights: make them from the authors' checkpoint with `fourdhands "
            "import-weights Demo_Video.pth`, or leave model at 'landmark'"
        )
    if settings.device == "onnx":
        network = OnnxImage(settings.weights, settings.threads)
    else:
        network = _in_torch(settings)
    if network.config.mean_pose and not np.any(mean_pose):
        logging.getLogger("fourdhands").warning(
            "%s gives poses relative to MANO's mean pose, which the hand model in use does not have: fingers will be less bent "
            "than they are. Name MANO's files, converted with `fourdhands convert-mano`, as hand_model",
            settings.weights,
        )
    return ImageRegressor(network, hands, mean_pose)


def check_networks(settings: TrackerSettings) -> None:
    """Raise InputError where no network would compute with the numbers that are asked for, or look at as many pictures."""
    if settings.looks > 1 and settings.model != "landmark":
        raise InputError(
            f"looks = {settings.looks} is for model landmark, whose poses are made of the detector's landmarks; with model "
            "image leave it at 1"
        )
    if settings.precision == "int8" and (settings.model != "landmark" or settings.device in ("cuda", "tensorrt")):
        raise InputError(
            "precision = 'int8' is for the detector beside model landmark on a CPU; with model image and on a GPU leave it at "
            "float32, or give float16 or bfloat16 for model image"
        )
    if settings.precision in ("float16", "bfloat16") and settings.model == "landmark":
        raise InputError(f"precision = {settings.precision!r} is for model image; with model landmark give float32 or int8")


def _in_torch(settings: TrackerSettings) -> Any:
    with needed_for("model = 'image', unless it was exported for device onnx,"):
        import torch

        from ..network.checkpoint import load_weights
        from ..network.image_model import ImageNetwork

    torch.set_num_threads(settings.threads)
    network = load_weights(settings.weights)
    require_tokenizer(network.config, "image", settings.weights)
    assert isinstance(network, ImageNetwork)
    return TorchImage(network, "cuda" if settings.device == "tensorrt" else settings.device, settings.precision)
