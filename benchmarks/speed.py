"""Speed beside MediaPipe alone, in one run: the tracker frame by frame, then the node over DDS fed faster than it can take;
each with the detector's landmark network in 32 bits, then with precision int8.

python benchmarks/speed.py VIDEO [--out FILE] [--seconds 15] [--size 640x480]
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from mediapipe_detector import MediaPipeDetector

from fourdhands_core.benchmark import percentiles
from fourdhands_core.commands import tell
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.media.video import VideoReader, VideoWriter
from fourdhands_core.pipeline.frame import Frame
from fourdhands_core.pipeline.settings import TrackerSettings
from fourdhands_core.pipeline.tracker import HandPairTracker
from fourdhands_core.pipeline.types import ABSENT, HandEstimate, HandPairEstimate

PRECISIONS = "float32", "int8"


def tracker_beside_mediapipe(frames, camera) -> dict:
    """Every frame through all, in turn, each with a detector of its own; one after the other, as offline."""
    alone = MediaPipeDetector()
    trackers = {precision: HandPairTracker(TrackerSettings(precision=precision)) for precision in PRECISIONS}
    theirs: list[float] = []
    times: dict[str, dict[str, list[float]]] = {precision: {} for precision in PRECISIONS}
    for k, image in enumerate(frames):
        start = time.perf_counter()
        alone.detect(image)
        theirs.append(time.perf_counter() - start)
        for precision, tracker in trackers.items():
            start = time.perf_counter()
            estimate = tracker.process(image, 1 + int(k * 1e9 / 30), camera, with_vertices=True)
            whole, stages = time.perf_counter() - start, estimate.timings
            for name, value in {"tracker": whole, **stages, "all but detect": whole - stages["detect"]}.items():
                times[precision].setdefault(name, []).append(value)
    alone.close()
    first = 30  # warm-up
    rows = {}
    for precision, tracker in trackers.items():
        tracker.close()
        rows[precision] = {name: percentiles(values[first:]) for name, values in times[precision].items()}
        rows[precision]["rate_ratio"] = round(sum(theirs[first:]) / sum(times[precision]["tracker"][first:]), 3)
    return {"mediapipe": percentiles(theirs[first:]), **rows["float32"], "int8": rows["int8"]}


CAMERAS = 1.1, 1.5, 2.0
"""Images a second of the node's cameras, beside what MediaPipe takes in an empty process."""


class MediaPipeAlone:
    """In the tracker's place in the node: runs MediaPipe on every image, and estimates nothing."""

    faces = (np.zeros((0, 3), np.uint32),) * 2

    def __init__(self, parameters=None):
        self.detector = MediaPipeDetector()

    def observe(self, image, stamp, camera, first=False):
        start = time.perf_counter()
        return Frame(stamp, camera, self.detector.detect(image), time.perf_counter() - start, first)

    def estimate(self, frame, with_vertices=False):
        absent = [HandEstimate(side, valid=False, state=ABSENT, age=float("nan")) for side in (0, 1)]
        return HandPairEstimate(frame.stamp, *absent, frame.camera, timings={"detect": frame.detect_seconds})

    def flush(self, with_vertices=False):
        return None

    def reset(self):
        pass

    def close(self):
        self.detector.close()


def node_rates(frames, seconds: float) -> dict:
    """HandPair messages a second from the node, and from the same node with MediaPipe alone in the tracker's place.

    All get their images from the same camera, in a process of its own, at each of some rates: images that are more than a
    program takes cost it time, and fewer than it takes say only how fast the camera is. The best of each counts.
    """
    import rclpy

    from fourdhands_ros.tools.demo import configure_dds

    configure_dds(os.environ)
    bare = mediapipe_rate(frames, seconds / 2)
    folder = Path(tempfile.mkdtemp())
    rclpy.init(args=[])
    command = "-c", "import speed; from fourdhands_ros.node.node import main; main(tracker_factory=speed.MediaPipeAlone)"
    cameras, alone = [round(factor * bare) for factor in CAMERAS], []
    ours: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    for rate in cameras:
        with VideoWriter(folder / "fast.mp4", rate) as writer:
            for k in range(int(rate * (seconds + 3.0))):
                writer.write(frames[k % len(frames)])
        before = arriving(folder, command, seconds)
        for precision, rates in ours.items():
            node = "-m", "fourdhands_ros", "--ros-args", "-p", f"precision:={precision}"
            rates.append(arriving(folder, node, seconds))
        alone.append((before + arriving(folder, command, seconds)) / 2.0)
    rclpy.shutdown()
    rows = {
        precision: {
            "node_fps": [round(rate, 2) for rate in rates],
            "ratio": round(max(rates) / max(alone), 3),
            "ratio_to_empty_process": round(max(rates) / bare, 3),
        }
        for precision, rates in ours.items()
    }
    return {
        "camera_fps": cameras,
        "mediapipe_in_node_fps": [round(rate, 2) for rate in alone],
        "mediapipe_in_empty_process_fps": round(bare, 2),
        **rows["float32"],
        "int8": rows["int8"],
    }


def arriving(folder: Path, command: tuple[str, ...], seconds: float) -> float:
    """HandPair messages a second from a process `python *command` that is fed with folder/fast.mp4."""
    import rclpy

    from fourdhands_ros.pypi.message_types import create_subscription, message_type
    from fourdhands_ros.tools.demo import CameraProcess, wait_for

    node = rclpy.create_node("benchmark")
    arrivals = []
    subscription = create_subscription(
        node, message_type("fourdhands_ros/msg/HandPair"), "hands", lambda data: arrivals.append(time.perf_counter()), 10
    )
    with open(folder / "node.log", "a") as log:
        hands = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log, cwd=Path(__file__).parent)
    camera = CameraProcess(str(folder / "fast.mp4"), "--fov", "60", "--subscribers", "1", "--wait", log=folder / "camera.log")

    def check():
        if hands.poll() is not None:
            raise RuntimeError((folder / "node.log").read_text())

    try:
        wait_for(lambda: "ready" in camera.said, (check, camera.check))
        camera.start()
        wait_for(lambda: rclpy.spin_once(node, timeout_sec=0.05) or len(arrivals) > 30, (check, camera.check), pause=0.0)
        begin, start = len(arrivals), time.perf_counter()
        while time.perf_counter() - start < seconds and not camera.ended.is_set():
            rclpy.spin_once(node, timeout_sec=0.1)
        return (len(arrivals) - begin) / (time.perf_counter() - start)
    finally:  # one that stayed would work beside the next
        hands.send_signal(signal.SIGINT)
        hands.wait(30.0)
        camera.stop()
        node.destroy_subscription(subscription)
        node.destroy_node()


def mediapipe_rate(frames, seconds: float) -> float:
    """Images a second that MediaPipe alone takes, one after the other."""
    alone = MediaPipeDetector()
    alone.detect(frames[0])
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        alone.detect(frames[count % len(frames)])
        count += 1
    rate = count / (time.perf_counter() - start)
    alone.close()
    return rate


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
    result = {
        "video": args.video.name,
        "size": args.size,
        "cores": os.cpu_count(),
        "tracker": tracker_beside_mediapipe(frames, Camera.from_fov(width, height, 60.0)),
        "node": node_rates(frames, args.seconds),
    }
    tell(result, args.out)


if __name__ == "__main__":
    main()
