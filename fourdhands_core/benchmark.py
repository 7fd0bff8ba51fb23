"""Speed of a model on this machine: latency by stage, throughput, memory, and beside it, in the same run, what to beat."""

from __future__ import annotations

import dataclasses
import functools
import resource
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from .geometry.camera import Camera
from .media.video import VideoReader
from .pipeline.tracker import HandPairTracker, TrackerSettings
from .pipeline.types import HandPairEstimate

if TYPE_CHECKING:
    from .hand_model.arrays import HandArrays
    from .network.image_model import ImageNetwork
    from .network.landmark_config import LandmarkConfig
    from .pipeline.frame import Frame


_SIZE = 640, 480
WARM_UP = 5
"""Frames at the start that are not counted."""


def percentiles(seconds: Iterable[float]) -> dict:
    """p50, p95 and p99 in milliseconds."""
    values = 1000.0 * np.asarray(list(seconds))
    return {f"p{q}": round(float(np.percentile(values, q)), 3) for q in (50, 95, 99)}


def peak_memory(device: str) -> dict:
    """Largest memory in use so far, megabytes: of the process, and what torch has taken of the GPU with device cuda."""
    memory = {"process_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}
    if device == "cuda":
        import torch

        memory["gpu_mb"] = round(torch.cuda.max_memory_reserved() / 2**20)
    return memory


def benchmark(
    settings: TrackerSettings,
    video: str | Path,
    frames: int,
    publish: Callable[[HandPairEstimate, Sequence[np.ndarray]], None] | None = None,
    cameras: int = 4,
) -> dict:
    """Latency by stage of the tracker over `frames` images of a video, one after the other, and its throughput.

    decode is reading the video's image; the tracker's own stages follow, then `publish`, where one is given: called with
    each estimate and the meshes' faces. Positions are solved with assumed intrinsics. `network`: what of it the network takes,
    see `benchmark_tracked`.
    """
    tracker = HandPairTracker(settings)
    stages: dict[str, list[float]] = {}
    total, both = [], 0
    with VideoReader(video) as reader:
        images = iter(reader)
        for number in range(frames + WARM_UP):
            began = time.perf_counter()
            if (found := next(images, None)) is None:
                break
            stamp, image = found
            decoded = time.perf_counter()
            estimate = tracker.process(
                image, stamp, Camera.from_fov(image.shape[1], image.shape[0], settings.default_fov), with_vertices=True
            )
            estimated = time.perf_counter()
            if publish is not None and estimate is not None:
                publish(estimate, tracker.faces)
            ended = time.perf_counter()
            if number < WARM_UP or estimate is None:
                continue
            after = {} if publish is None else {"publish": ended - estimated}
            for name, value in {"decode": decoded - began, **estimate.timings, **after}.items():
                stages.setdefault(name, []).append(value)
            total.append(ended - began)
            both += estimate.left.valid and estimate.right.valid
    # only model image runs in torch there, and what onnxruntime takes of a GPU it does not tell
    memory = peak_memory("cuda" if settings.model == "image" and settings.device in ("cuda", "tensorrt") else "cpu")
    network = benchmark_tracked(tracker, frames, cameras)
    tracker.close()
    detect = np.array(stages["detect"]) + np.array(stages["decode"])
    return {
        **{name: getattr(settings, name) for name in ("model", "device", "precision", "threads")},
        "frames": len(total),
        "frames_with_both_hands": both,
        "milliseconds": {name: percentiles(values) for name, values in stages.items()}
        | {"all but decode and detect": percentiles(np.array(total) - detect), "total": percentiles(total)},
        "frames_per_second": round(len(total) / sum(total), 2),
        "peak_memory": memory,
        "network": network,
    }


def benchmark_tracked(tracker: HandPairTracker, steps: int, cameras: int) -> dict:
    """The network of a tracker alone, with two hands: by stage, and streaming beside the window recomputed frame by frame.

    Of the image network in torch `benchmark_network`, without memory. Of the others: spatial is the network's part of once a
    frame, temporal that of once a window. share_of_matrix_limit is the landmark network's on one thread, where torch is there
    to count its operations.
    """
    from .pipeline.image_regression import ImageRegressor
    from .runtime.crops import crop_hands
    from .runtime.image import TorchImage

    regressor: Any = tracker.regressor
    execution, settings = regressor.execution, tracker.settings
    if isinstance(execution, TorchImage):
        kind, network = execution.device.type, execution.network
        result = benchmark_network(network, tracker.hands, kind, settings.precision, steps, cameras)
        return {name: value for name, value in result.items() if name != "peak_memory"}
    image, made, step, recompute = _stream(regressor, steps)
    streaming, few = _timed(step, steps, "cpu", len(made) - steps), max(2, min(steps, 5))
    window = made[: regressor.config.window]
    parts: dict[str, Callable] = {"spatial": lambda: regressor.encode(window[-1])}
    if isinstance(regressor, ImageRegressor):
        squares, both, mirrored = window[-1].tokens.squares, np.ones(2, bool), np.array([True, False])
        crops = crop_hands(image, squares, mirrored)
        features = execution.features(crops)
        parts = {
            "crop": lambda: crop_hands(image, squares, mirrored),
            "backbone": lambda: execution.features(crops),
            "spatial": lambda: execution.interact(features, squares, both),
        }
    parts["temporal"] = lambda: regressor.regress(window, window[-1])
    seconds = {name: _timed(part, steps, "cpu") for name, part in parts.items()}
    seconds |= {"streaming": streaming, "window recomputed": _timed(recompute, few, "cpu")}
    p50 = {name: float(np.median(values)) for name, values in seconds.items()}
    result = {
        "milliseconds": {name: percentiles(values) for name, values in seconds.items()},
        "recomputed_over_streaming": round(p50["window recomputed"] / p50["streaming"], 2),
        "frames_per_second": round(1.0 / p50["streaming"], 2),
    }
    return result | ({} if isinstance(regressor, ImageRegressor) else _landmark_limit(regressor.config, p50["streaming"]))


def _stream(regressor, steps):
    """An image, frames with two hands, a function that takes the next of them as a stream does, and one that takes a window of
    them from scratch."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (*_SIZE[::-1], 3), dtype=np.uint8)
    length = regressor.config.window
    made = [_frame(rng, image, k) for k in range(length + WARM_UP + steps)]
    numbers = iter(range(len(made)))

    def encode(frame):
        frame.image = image
        regressor.encode(frame)

    def step():
        k = next(numbers)
        encode(made[k])
        regressor.regress(made[max(0, k - length + 1) : k + 1], made[k])

    def recompute():
        for frame in made[:length]:
            encode(frame)
        regressor.regress(made[:length], made[length - 1])

    return image, made, step, recompute


def _landmark_limit(config: LandmarkConfig, seconds: float) -> dict:
    """The landmark network's operations in a frame of a stream, and what share of numpy's matrix rate they come to."""
    try:
        import torch  # noqa: F401
        from torch.nn.attention import SDPBackend, sdpa_kernel
        from torch.utils.flop_counter import FlopCounterMode
    except ImportError:
        return {"share_of_matrix_limit": "not measured: torch, which counts the operations, is not installed"}

    from .network.landmark_model import LandmarkNetwork
    from .runtime.parts import EncodePart, ReasonPart

    network = LandmarkNetwork(config).eval().requires_grad_(False)
    once, window = EncodePart(network), ReasonPart(network)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        once(*once.examples())
        for _ in range(2):  # of the window, and of its newest frame alone
            window(*window.examples())
    flops, side = counter.get_total_flops(), 1536
    a, b = np.random.default_rng(0).random((2, side, side), np.float32)
    with threadpool_limits(1, user_api="blas"):
        rate = 2.0 * side**3 / min(_timed(lambda: a @ b, 5, "cpu"))
    return {
        "gflop_per_frame": round(flops / 1e9, 4),
        "matrix_gflops": round(rate / 1e9, 1),
        "share_of_matrix_limit": round(flops / rate / seconds, 3),
    }


def benchmark_network(network: ImageNetwork, hands: HandArrays, device: str, precision: str, steps: int, cameras: int) -> dict:
    """The image network alone with two hands: by stage, streaming beside windows recomputed, several cameras at 30 Hz.

    network: network.image_model.ImageNetwork; hands: hand_model.arrays.HandArrays. Streaming passes one new frame through
    the backbone; recomputing passes all frames of the window, one by one and as one batch, with the same weights. All
    begin with the image in host memory and end with the pose there.
    """
    import torch

    from .pipeline.image_regression import ImageRegressor, ImageTokens, square_of
    from .runtime.image import TorchImage

    execution = TorchImage(network, device, precision, cameras)
    regressor = ImageRegressor(execution, hands, np.zeros(45))
    config = network.config
    image, made, step, recompute = _stream(regressor, steps)
    squares, both = np.stack([square_of(seen.landmarks) for seen in made[0].detections]), np.ones(2, bool)

    def recompute_at_once():
        for frame, tokens in zip(made, execution.encode_batch([(image, squares, both)] * config.window)):
            frame.tokens = ImageTokens(tokens, squares)
        regressor.regress(made[: config.window], made[config.window - 1])

    streaming = _timed(step, steps, device, len(made) - steps)
    memory = peak_memory(device)
    execution.record_encode(config.window, 2 * config.window)
    few = max(2, min(steps, 5))
    recomputed = {
        "window recomputed": _timed(recompute, few, device),
        "window recomputed, one batch": _timed(recompute_at_once, few, device),
    }
    at_once = _timed(lambda: execution.encode_batch([(image, squares, both)] * cameras), few, device)
    stages, flops = _stages(network, device, execution.type, image, squares, steps)
    rate = _matrix_rate(device, execution.type)
    p50 = float(np.median(streaming))
    return {
        "network": f"width {config.width}, {config.depth} blocks",
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "steps": steps,
        "milliseconds": {
            name: percentiles(values) for name, values in (stages | {"streaming": streaming} | recomputed).items()
        },
        "recomputed_over_streaming": round(min(float(np.median(values)) for values in recomputed.values()) / p50, 2),
        "frames_per_second": round(1.0 / p50, 2),
        "gflop_per_frame": round(flops / 1e9, 2),
        "matrix_gflops": round(rate / 1e9, 1),
        "share_of_matrix_limit": round(flops / rate / p50, 3),
        "peak_memory": memory,
        "cameras": {
            "frames_encoded_at_once": cameras,
            "milliseconds": percentiles(at_once),
            **_cameras(regressor, made[: config.window], image, cameras, steps / 30.0),
        },
    }


def _stages(network, device, number, image, squares, steps):
    """Seconds by stage of one frame with two hands, recorded where the network is; floating-point operations of them all."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from .runtime.crops import DeviceCrops, crop_hands
    from .runtime.cuda_graphs import ByShape, GraphRecorder

    mirrored, config = np.array([True, False]), network.config
    crop = DeviceCrops(device, number) if device == "cuda" else (lambda *args: torch.from_numpy(crop_hands(*args)).to(number))
    with torch.inference_mode():
        crops = crop(image, squares, mirrored)
        placed = torch.from_numpy(np.column_stack([squares, [1, 1]])).float().to(device)[None]
        tokens = torch.zeros(1, 2, config.window, config.hand_width, dtype=number, device=device)
        valid = torch.ones(1, 2, config.window, dtype=torch.bool, device=device)
        record = GraphRecorder() if device == "cuda" else None
        calls: dict[str, Callable] = {"crop": lambda: crop(image, squares, mirrored)}
        for name, function, inputs in (
            ("backbone", network.backbone, (crops,)),
            ("spatial", network.encode_present, (crops, placed)),
            ("temporal", network.reason_flat, (tokens, valid)),
        ):
            part = ByShape(function, record, torch.device(device))
            part.prepare(*(value.clone() for value in inputs))
            calls[name] = functools.partial(part, *inputs)
        stages = {name: _timed(call, steps, device) for name, call in calls.items()}
        stages["spatial"] = np.maximum(np.array(stages["spatial"]) - np.median(stages["backbone"]), 0.0)
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # it knows not every fused kernel
            network.encode_present(crops, placed)
            network.reason_flat(tokens, valid)
    return stages, counter.get_total_flops()


def _cameras(regressor, window, image, cameras, seconds):
    """Cameras of 30 Hz, each with a thread of its own that takes the newest image: what of them is kept up with.

    age: from when the image is there to its hands.
    """
    ages: list[list[float]] = [[] for _ in range(cameras)]
    period = 1.0 / 30.0
    began = time.perf_counter()

    def run(own, shift):
        number, frames = 0, [dataclasses.replace(frame) for frame in window]
        while number * period < seconds:
            came = began + shift + number * period
            time.sleep(max(0.0, came - time.perf_counter()))
            frames[-1].image = image
            regressor.encode(frames[-1])
            regressor.regress(frames, frames[-1])
            own.append(time.perf_counter() - came)
            number = max(number + 1, int((time.perf_counter() - began - shift) / period))

    threads = [threading.Thread(target=run, args=(own, k * period / cameras)) for k, own in enumerate(ages)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    return {
        "cameras_at_30_hz": cameras,
        "frames_per_second_each": round(min(len(own) for own in ages) / took, 2),
        "age": percentiles(np.concatenate(ages)),
    }


def _frame(rng: np.random.Generator, image: np.ndarray, number: int) -> Frame:
    """An image with two hands 1/6 s after the last one, so that each is a frame of the paper's window."""
    from .perception.detector import HandDetection
    from .pipeline.frame import Frame

    width, height = _SIZE

    def hand(side):
        points = np.array([width * (0.7 - 0.4 * side), height / 2]) + rng.normal(0, 40, (21, 2))
        return HandDetection(side, 1.0, points, rng.normal(0, 0.03, (21, 3)), np.ones(21))

    left, right, camera = hand(0), hand(1), Camera.from_fov(width, height, 60.0)
    rays = np.stack([camera.unproject(seen.landmarks) for seen in (left, right)])
    return Frame(int(number * 5e9 / 30), camera, [], detections=(left, right), rays=rays, image=image)


def _timed(function, steps, device, warm_up=2):
    """Seconds of `steps` calls, after some to warm up, each ended by the device."""
    seconds = []
    for _ in range(steps + warm_up):
        began = time.perf_counter()
        function()
        if device == "cuda":
            import torch

            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return seconds[warm_up:]


def _matrix_rate(device, number):
    """Floating-point operations a second of a large matrix product: the device's own limit, measured."""
    import torch

    side = 8192 if device == "cuda" else 1536
    a, b = (torch.randn(side, side, device=device).to(number) for _ in range(2))
    return 2.0 * side**3 / min(_timed(lambda: a @ b, 5, device))
