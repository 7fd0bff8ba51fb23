"""Device cuda beside cpu on the same machine, in one run: speed of the detector and the tracker, and whether they say the same.

    pip uninstall onnxruntime; pip install 'onnxruntime-gpu[cuda,cudnn]'
    python benchmarks/gpu.py VIDEO... [--out FILE] [--size 640x480] [--threads 2] [--frames 250]

Each image, RGB uint8 (H, W, 3), of a video goes through the CPU's and the GPU's in turn; MediaPipe alone stands beside them
where it is installed. The image network is untrained, of ViT-S, and is shown the last video.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import cv2
import numpy as np

from fourdhands_core.benchmark import WARM_UP, percentiles
from fourdhands_core.errors import DependencyError
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.media.video import VideoReader
from fourdhands_core.perception.hand_detector import make_detector
from fourdhands_core.perception.hand_networks import HandNetworks
from fourdhands_core.perception.squares import around_landmarks
from fourdhands_core.pipeline.tracker import HandPairTracker, TrackerSettings

DEVICES = "cpu", "cuda"
START = """
import sys, time
began = time.perf_counter()
import numpy as np
from fourdhands_core.perception.hand_detector import make_detector
detector = make_detector(device=sys.argv[1])
made = time.perf_counter()
image = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
seconds = [made - began]
for _ in range(3):
    before = time.perf_counter()
    detector.detect(image)
    seconds.append(time.perf_counter() - before)
print([round(1000 * value, 1) for value in seconds])
"""


def timed(function, *arguments, **more):
    """What it returns, and seconds."""
    began = time.perf_counter()
    result = function(*arguments, **more)
    return result, time.perf_counter() - began


def gpu_memory() -> int:
    """Megabytes in use on the GPU, by everybody."""
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return int(subprocess.run(query, check=True, capture_output=True, text=True).stdout.split()[0])


def start() -> dict:
    """Milliseconds of a new process: imports and making the detector, then its first three images."""

    def run(device):
        return json.loads(subprocess.run([sys.executable, "-c", START, device], check=True, stdout=subprocess.PIPE).stdout)

    return {device: run(device) for device in DEVICES}


def detection(images, threads: int) -> dict:
    """The detector alone, and how far the GPU's landmarks lie from the CPU's."""
    detectors = {device: make_detector(device=device, threads=threads) for device in DEVICES}
    try:
        from mediapipe_detector import MediaPipeDetector

        detectors["mediapipe"] = MediaPipeDetector()
    except DependencyError as error:
        print(error, file=sys.stderr)
    one, other = (HandNetworks(device, threads) for device in DEVICES)
    seconds = {name: [] for name in detectors}
    hands = dict.fromkeys(detectors, 0)
    apart, presence, same, uneven = [], [], [], 0
    for number, image in enumerate(images):
        found = {}
        for name, detector in detectors.items():
            found[name], took = timed(detector.detect, image)
            hands[name] += len(found[name])
            if number >= WARM_UP:
                seconds[name].append(took)
        cpu, cuda = ({hand.side: hand for hand in found[device]} for device in DEVICES)
        uneven += cpu.keys() != cuda.keys()
        for side in cpu.keys() & cuda.keys():
            apart.append(np.abs(cpu[side].landmarks - cuda[side].landmarks).max())
            presence.append(abs(cpu[side].presence - cuda[side].presence))
        squares = [around_landmarks(hand.landmarks) for hand in cpu.values()]
        for a, b in zip(one.looks(image, squares), other.looks(image, squares)):
            same.append((np.abs(a.landmarks - b.landmarks).max(), abs(a.presence - b.presence)))
    for detector in detectors.values():
        detector.close()
    if not apart or not same:
        raise SystemExit("no hand was found by both devices; give a video that shows hands")
    return {
        "milliseconds": {name: percentiles(value) for name, value in seconds.items()},
        "hands": hands,
        "cuda_beside_cpu": {
            "images_with_other_hands": uneven,
            "landmarks_px": {"p50": float(np.median(apart)), "p99": float(np.percentile(apart, 99)), "max": float(max(apart))},
            "presence": float(max(presence)),
            "in_the_same_squares": dict(zip(("landmarks_px", "presence"), np.max(same, axis=0).tolist())),
        },
    }


def tracker(images, threads: int, **settings) -> dict:
    """The whole tracker with meshes, and how far the GPU's joints lie from the CPU's."""
    trackers = {device: HandPairTracker(TrackerSettings(device=device, threads=threads, **settings)) for device in DEVICES}
    seconds, rest, apart = {d: [] for d in DEVICES}, {d: [] for d in DEVICES}, []
    for number, image in enumerate(images):
        camera, found = Camera.from_fov(image.shape[1], image.shape[0], 60.0), {}
        for device, one in trackers.items():
            estimate, took = timed(one.process, image, 1 + int(number * 1e9 / 30), camera, with_vertices=True)
            found[device] = estimate
            if number >= WARM_UP and estimate is not None:
                seconds[device].append(took)
                rest[device].append(took - estimate.timings["detect"])
        if all(found.values()):
            for a, b in zip(found["cpu"].hands, found["cuda"].hands):
                if a.valid and b.valid:
                    apart.append(1000.0 * np.linalg.norm(a.joints - b.joints, axis=1).max())
    for one in trackers.values():
        one.close()
    return {
        "milliseconds": {device: percentiles(value) for device, value in seconds.items()},
        "all_but_detect": {device: percentiles(value) for device, value in rest.items()},
        "joints_mm_cuda_beside_cpu": {"p50": float(np.median(apart)), "p99": float(np.percentile(apart, 99))}
        if apart
        else None,
    }


def image_network() -> dict:
    """Largest difference of what the image network says on the GPU from the CPU's float32, with the same inputs."""
    from fourdhands_core.hand_model.arrays import HandArrays
    from fourdhands_core.hand_model.assets import load_human_hand, pair_of
    from fourdhands_core.network.image_config import ImageConfig
    from fourdhands_core.runtime.image import TorchImage

    hands, rng = HandArrays(pair_of(load_human_hand())), np.random.default_rng(0)
    both, squares = np.ones(2, bool), np.array([[330.0, 100, 240, 240], [60, 120, 200, 200]])
    images = rng.integers(0, 255, (9, 480, 640, 3), dtype=np.uint8)

    def joints(device, precision):
        execution = TorchImage(untrained(ImageConfig.of_size("S")), device, precision)
        rotations, betas, *_ = execution.reason(
            [execution.encode(image, squares, both) for image in images], np.ones((2, 9), bool)
        )
        return rotations, hands.joints(rotations[:, 0], rotations[:, 1:], betas)

    rotations, reference = joints("cpu", "float32")
    result = {}
    for precision in ("float32", "float16", "bfloat16"):
        turned, moved = joints("cuda", precision)
        off = 1000.0 * np.linalg.norm(moved - reference, axis=-1).max()
        result[precision] = {"rotations": float(np.abs(turned - rotations).max()), "joints_mm": float(off)}
    return result


def untrained(config):
    """An image network with the same weights each time."""
    import torch

    from fourdhands_core.network.image_model import ImageNetwork

    torch.manual_seed(0)
    return ImageNetwork(config).eval()


def image_tracker(images, cameras: int) -> dict:
    """The tracker with the image network on the GPU, by cameras that share it and show the same video at the same time."""
    from fourdhands_core.network.checkpoint import save_weights
    from fourdhands_core.network.image_config import ImageConfig

    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "image.safetensors"
        save_weights(untrained(ImageConfig.of_size("S")), weights)
        settings = TrackerSettings(model="image", weights=str(weights), device="cuda", precision="float16")
        first, took = timed(HandPairTracker, settings)
    trackers = [first, *(first.for_another_camera() for _ in range(cameras - 1))]
    seconds: list[list[float]] = [[] for _ in trackers]
    valid = [0] * cameras

    def run(own):
        for number, image in enumerate(images):
            camera = Camera.from_fov(image.shape[1], image.shape[0], 60.0)
            estimate, took = timed(trackers[own].process, image, 1 + int(number * 1e9 / 30), camera, with_vertices=True)
            valid[own] += estimate is not None and sum(hand.valid for hand in estimate.hands)
            if number >= 30:
                seconds[own].append(took)

    threads = [threading.Thread(target=run, args=(own,)) for own in range(cameras)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in trackers:
        one.close()
    return {"start_seconds": round(took, 2), "milliseconds": percentiles(itertools.chain(*seconds)), "hands": valid}


def main() -> None:
    """Print what was measured as JSON, and write it to --out as it comes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--size", default="640x480", help="of the images (default: 640x480); native: the video's own")
    parser.add_argument("--threads", type=int, default=2, help="of the CPU, for each (default: 2)")
    parser.add_argument("--frames", type=int, default=250, help="of each video (default: 250)")
    given = parser.parse_args()
    try:
        started = "CUDAExecutionProvider" in HandNetworks("cuda")._hand.get_providers()
    except DependencyError as error:
        parser.error(str(error))
    if not started:
        parser.error("onnxruntime cannot use a GPU here")
    name = subprocess.run(
        ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"], capture_output=True, text=True
    )
    result: dict = {"card": name.stdout.strip(), "threads": given.threads, "size": given.size, "frames": given.frames}

    def keep(part, function, *arguments, **more):
        value, took = timed(function, *arguments, **more)
        result[part] = {**value, "seconds": round(took, 1)}
        print(json.dumps({part: result[part]}), flush=True)
        if given.out is not None:
            given.out.write_text(json.dumps(result, indent=1) + "\n")

    keep("start", start)
    before, memory = gpu_memory(), {}
    for video in given.videos:
        with VideoReader(video) as reader:
            images = [image for _, image in itertools.islice(reader, given.frames)]
        if given.size != "native":
            images = [cv2.resize(image, tuple(map(int, given.size.split("x")))) for image in images]
        keep(f"detection {video.name}", detection, images, given.threads)
        memory["detector"] = gpu_memory() - before
        keep(f"tracker {video.name}", tracker, images, given.threads)
    keep("image network", image_network)
    keep("image tracker, one camera", image_tracker, images, 1)
    keep("image tracker, two cameras", image_tracker, images, 2)
    keep("gpu_mb", lambda: {**memory, "all": gpu_memory() - before})


if __name__ == "__main__":
    main()
