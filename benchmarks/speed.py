"""Speed beside MediaPipe alone, in one run: the tracker frame by frame, then the node over DDS fed faster than it can take.

    python benchmarks/speed.py VIDEO [--out FILE] [--seconds 15] [--size 640x480]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from fourdhands_core.geometry.camera import Camera
from fourdhands_core.media.video import VideoReader, VideoWriter
from fourdhands_core.perception.mediapipe_detector import MediaPipeDetector
from fourdhands_core.pipeline.tracker import HandPairTracker


def percentiles(seconds) -> dict:
    """p50, p95 and p99 in milliseconds."""
    return {f"p{q}": round(1000.0 * float(np.percentile(seconds, q)), 2) for q in (50, 95, 99)}


def tracker_beside_mediapipe(frames, camera) -> dict:
    """Every frame through both, in turn, each with a detector of its own."""
    alone, tracker = MediaPipeDetector(), HandPairTracker()
    times, stages = {"mediapipe": [], "tracker": []}, {}
    for k, image in enumerate(frames):
        start = time.perf_counter()
        alone.detect(image)
        middle = time.perf_counter()
        estimate = tracker.process(image, 1 + int(k * 1e9 / 30), camera, with_vertices=True)
        end = time.perf_counter()
        if k < 30:  # warm-up
            continue
        times["mediapipe"].append(middle - start)
        times["tracker"].append(end - middle)
        for name, value in estimate.timings.items():
            stages.setdefault(name, []).append(value)
        stages.setdefault("all but detect", []).append(end - middle - estimate.timings["detect"])
    alone.close()
    tracker.close()
    return {**{name: percentiles(value) for name, value in {**times, **stages}.items()},
            "rate_ratio": round(sum(times["mediapipe"]) / sum(times["tracker"]), 3)}


def node_rate(frames, seconds: float) -> dict:
    """HandPair messages a second from the node, whose camera delivers 100 images a second, beside MediaPipe alone."""
    import rclpy
    from fourdhands_ros.demo import CameraProcess, Process, configure_dds, wait_for
    from fourdhands_ros.message_types import create_subscription, message_type

    configure_dds(os.environ)
    folder = Path(tempfile.mkdtemp())
    with VideoWriter(folder / "fast.mp4", 100.0) as writer:
        for k in range(int(100 * (seconds + 3.0))):
            writer.write(frames[k % len(frames)])
    rclpy.init(args=[])
    node = rclpy.create_node("benchmark")
    arrivals = []
    subscription = create_subscription(
        node, message_type("fourdhands_ros/msg/HandPair"), "hands", lambda data: arrivals.append(time.perf_counter()), 10)
    hands = Process("fourdhands_ros", log=folder / "node.log")
    camera = CameraProcess(str(folder / "fast.mp4"), "--fov", "60", "--subscribers", "1", "--wait", log=folder / "camera.log")
    wait_for(lambda: "ready" in camera.said, (hands.check, camera.check))
    camera.start()
    wait_for(lambda: rclpy.spin_once(node, timeout_sec=0.05) or len(arrivals) > 30, (hands.check, camera.check))
    begin = len(arrivals)
    start = time.perf_counter()
    while time.perf_counter() - start < seconds and not camera.ended.is_set():
        rclpy.spin_once(node, timeout_sec=0.1)
    rate = (len(arrivals) - begin) / (time.perf_counter() - start)
    hands.stop()
    camera.stop()
    node.destroy_subscription(subscription)
    rclpy.shutdown()
    alone = MediaPipeDetector()
    start = time.perf_counter()
    count = 0
    while time.perf_counter() - start < seconds / 2:
        alone.detect(frames[count % len(frames)])
        count += 1
    mediapipe = count / (time.perf_counter() - start)
    alone.close()
    return {"node_fps": round(rate, 2), "mediapipe_fps": round(mediapipe, 2), "ratio": round(rate / mediapipe, 3)}


def main() -> None:
    """Run both and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--size", default="640x480")
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    with VideoReader(args.video) as reader:
        frames = [cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for _, image in reader]
    result = {"video": args.video.name, "size": args.size, "cores": os.cpu_count(),
              "tracker": tracker_beside_mediapipe(frames, Camera.from_fov(width, height, 60.0)),
              "node": node_rate(frames, args.seconds)}
    print(json.dumps(result, indent=1))
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
