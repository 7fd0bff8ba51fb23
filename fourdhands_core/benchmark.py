"""Speed of a model on this machine: latency by stage, throughput, memory, and beside it, in the same run, what it is to beat."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from .geometry.camera import Camera
from .media.video import VideoReader
from .pipeline.tracker import HandPairTracker, TrackerSettings

WARM_UP = 5
"""Frames at the start that are not counted."""


def percentiles(seconds: Iterable[float]) -> dict:
    """p50, p95 and p99 in milliseconds."""
    values = 1000.0 * np.asarray(list(seconds))
    return {f"p{q}": round(float(np.percentile(values, q)), 3) for q in (50, 95, 99)}


def peak_memory(device: str) -> dict:
    """Largest memory in use so far, megabytes: of the process, and of the GPU where there is one."""
    memory = {"process_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}
    if device == "cuda":
        import torch
        memory["gpu_mb"] = round(torch.cuda.max_memory_allocated() / 2**20)
    return memory


def benchmark(settings: TrackerSettings, video: Path, frames: int) -> dict:
    """Latency by stage of the tracker over `frames` images of a video, one after the other, and its throughput.

    decode is reading the video's image; the tracker's own stages follow. Positions are solved with assumed intrinsics.
    """
    tracker = HandPairTracker(settings)
    stages: dict[str, list[float]] = {}
    total, both = [], 0
    with VideoReader(video) as reader:
        images = iter(reader)
        for number in range(frames + WARM_UP):
            began = time.perf_counter()
            found = next(images, None)
            if found is None:
                break
            stamp, image = found
            decoded = time.perf_counter()
            estimate = tracker.process(image, stamp, Camera.from_fov(image.shape[1], image.shape[0], settings.default_fov),
                                       with_vertices=True)
            ended = time.perf_counter()
            if number < WARM_UP or estimate is None:
                continue
            for name, value in {"decode": decoded - began, **estimate.timings}.items():
                stages.setdefault(name, []).append(value)
            total.append(ended - began)
            both += estimate.left.valid and estimate.right.valid
    tracker.close()
    detect = np.array(stages["detect"]) + np.array(stages["decode"])
    return {"model": settings.model, "device": settings.device, "precision": settings.precision,
            "threads": settings.threads, "frames": len(total), "frames_with_both_hands": both,
            "milliseconds": {name: percentiles(values) for name, values in stages.items()}
            | {"all but decode and detect": percentiles(np.array(total) - detect), "total": percentiles(total)},
            "frames_per_second": round(len(total) / sum(total), 2), "peak_memory": peak_memory(settings.device)}


def benchmark_network(network, hands, device: str, precision: str, steps: int, size=(640, 480)) -> dict:
    """The image network alone with two hands: by stage, streaming beside windows recomputed, share of the matrix limit.

    network: network.image_model.ImageNetwork; hands: hand_model.arrays.HandArrays. Streaming passes one new frame through
    the backbone; recomputing passes all frames of the window, with the same weights. Both begin with the image in host
    memory and end with the pose there.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from .perception.crops import crop_hands, crop_hands_on_device
    from .pipeline.image_execution import TorchImage
    from .pipeline.image_regression import ImageRegressor, square_of

    execution = TorchImage(network, device, precision)
    regressor = ImageRegressor(execution, hands, np.zeros(45))
    config, number = network.config, execution.type
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    made = [_frame(rng, image, k, size) for k in range(config.window + WARM_UP + steps)]

    def window_at(k):
        return made[max(0, k - config.window + 1):k + 1]

    streaming, recomputed = [], []
    for k, frame in enumerate(made):
        began = time.perf_counter()
        regressor.encode(frame)
        regressor.regress(window_at(k), frame)
        streaming.append(time.perf_counter() - began)
    streaming = streaming[config.window + WARM_UP:]
    for step in range(max(2, min(steps, 10))):
        window = window_at(config.window + WARM_UP + step % steps)
        for frame in window:
            frame.image, frame.hands = image, None
        began = time.perf_counter()
        for frame in window:
            regressor.encode(frame)
        regressor.regress(window, window[-1])
        recomputed.append(time.perf_counter() - began)

    squares = np.stack([square_of(detection.landmarks) for detection in made[0].detections])
    boxes, both = torch.from_numpy(squares).float().to(device)[None], torch.ones(1, 2, dtype=torch.bool, device=device)
    cut = (lambda: torch.from_numpy(crop_hands(image, squares, [True, False]))) if device == "cpu" else (
        lambda: crop_hands_on_device(torch.from_numpy(image).to(device), squares, [True, False]))
    with torch.inference_mode():
        crops = cut().to(number)
        tokens = torch.zeros(1, 2, config.window, config.hand_width, dtype=number, device=device)
        parts: dict[str, Callable] = {
            "crop": cut,
            "backbone": lambda: network.backbone(crops),
            "spatial": lambda: network.encode(crops, boxes, both),
            "temporal": lambda: network.reason(tokens)}
        stages = {name: _timed(part, steps, device) for name, part in parts.items()}
        stages["spatial"] = np.maximum(np.array(stages["spatial"]) - np.median(stages["backbone"]), 0.0)
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # it knows not every fused kernel
            parts["spatial"]()
            parts["temporal"]()
        flops = counter.get_total_flops()
        rate = _matrix_rate(device, number)
    p50 = float(np.median(streaming))
    return {"network": f"width {config.width}, {config.depth} blocks", "device": device, "precision": precision,
            "threads": torch.get_num_threads(), "steps": steps,
            "milliseconds": {name: percentiles(values) for name, values in stages.items()}
            | {"streaming": percentiles(streaming), "window recomputed": percentiles(recomputed)},
            "recomputed_over_streaming": round(float(np.median(recomputed)) / p50, 2),
            "frames_per_second": round(1.0 / p50, 2), "gflop_per_frame": round(flops / 1e9, 2),
            "matrix_gflops": round(rate / 1e9, 1), "share_of_matrix_limit": round(flops / rate / p50, 3),
            "peak_memory": peak_memory(device)}


def _frame(rng, image, number, size):
    """An image with two hands 1/6 s after the last one, so that each is a frame of the paper's window."""
    from .perception.detector import HandDetection
    from .pipeline.regression import Frame

    detections = tuple(
        HandDetection(side, 1.0, np.array([size[0] * (0.7 - 0.4 * side), size[1] / 2]) + rng.normal(0, 40, (21, 2)),
                      np.zeros(21), rng.normal(0, 0.03, (21, 3)), np.ones(21)) for side in (0, 1))
    frame = Frame(int(number * 5e9 / 30), Camera.from_fov(*size, 60.0), [], detections=detections)
    frame.image = image
    return frame


def _timed(function, steps, device):
    """Seconds of `steps` calls, after some to warm up, each ended by the device."""
    import torch

    seconds = []
    for _ in range(steps + 2):
        began = time.perf_counter()
        function()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return seconds[2:]


def _matrix_rate(device, number):
    """Floating-point operations a second of a large matrix product: the device's own limit, measured."""
    import torch

    side = 8192 if device == "cuda" else 1536
    a, b = (torch.randn(side, side, device=device).to(number) for _ in range(2))
    return 2.0 * side ** 3 / min(_timed(lambda: a @ b, 5, device))
