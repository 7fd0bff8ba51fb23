"""Does the node grow or slow down? `python benchmarks/soak.py VIDEO [--minutes 10] [--out benchmarks/soak.json]`.

The node with the landmark model, as a process of its own, takes a looped video at 30 Hz from another process; this one
takes its HandPairs, measures their ages (stamp to callback) and samples the node's memory. Slopes are fitted by Theil and
Sen to the medians of half minutes after the warm-up, in which caches fill and threads get their memory.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import rclpy
from rclpy.signals import SignalHandlerOptions
from scipy.stats import theilslopes

from fourdhands_core.commands import tell
from fourdhands_ros.pypi.message_types import HandPair, create_subscription
from fourdhands_ros.tools.benchmark import camera_clip
from fourdhands_ros.tools.demo import CameraProcess, Process, configure_dds, wait_for

_WINDOW = 30.0
"""Seconds of which a median is taken before a slope is fitted: samples of one moment are no independent ones."""


def memory(pid: int) -> dict[str, float]:
    """What a process holds: rss, megabytes resident; own, those among them that no file and no other process has part in.

    Growth shows in `own`: libraries' pages are counted as a process's alone as soon as others that use them end.
    """
    sums = dict.fromkeys(("Rss", "Anonymous", "Swap"), 0)
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in sums:
            sums[name] = int(rest.split()[0])
    return {
        "rss": sums["Rss"] / 1024,
        "own": (sums["Anonymous"] + sums["Swap"]) / 1024,
        "threads": float(len(os.listdir(f"/proc/{pid}/task"))),
        "files": float(len(os.listdir(f"/proc/{pid}/fd"))),
    }


def slope(hours: np.ndarray, values: np.ndarray) -> dict[str, float]:
    """Change an hour, with its 95 % interval."""
    middle, _, low, high = theilslopes(values, hours)
    return {"per_hour": round(float(middle), 3), "low": round(float(low), 3), "high": round(float(high), 3)}


def medians(values: np.ndarray, window: int) -> np.ndarray:
    """Of each whole window of values its median."""
    return np.median(values[: len(values) // window * window].reshape(-1, window), axis=1)


def soak(video: Path, minutes: float, warm_up: float = 2.0, period: float = 2.0) -> dict:
    """Run it; minutes include those of the warm-up. period: seconds between two samples, over which ages are summed up by
    their p50 and p99."""
    configure_dds(os.environ)
    folder = Path(tempfile.mkdtemp())
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    space = f"soak_{os.getpid()}"  # whatever else is on this domain
    listener = rclpy.create_node("soak", namespace=space, enable_rosout=False)
    ages, samples, counts = [], [], {"published": 0, "dropped": 0, "valid": 0}

    def take(pair):
        ages.append(time.time() - pair.header.stamp.sec - pair.header.stamp.nanosec * 1e-9)
        counts["published"] += 1
        counts["valid"] += bool(pair.left.valid or pair.right.valid)
        counts["dropped"] = pair.frames_dropped

    create_subscription(listener, HandPair, "hands", take, 10)
    with ExitStack() as cleanup:
        hands = Process("fourdhands_ros", "--ros-args", "-r", f"__ns:=/{space}", log=folder / "node.log")
        cleanup.callback(hands.stop)
        options = "--fov", "60", "--subscribers", "1", "--loop", "--namespace", space
        camera = CameraProcess(str(camera_clip(video, folder)), *options, log=folder / "camera.log")
        cleanup.callback(camera.stop)
        checks = [hands.check, camera.check]
        wait_for(lambda: rclpy.spin_once(listener, timeout_sec=0.05) or len(ages) > 30, checks)
        start = time.monotonic()
        ages.clear()
        while (now := time.monotonic() - start) < 60.0 * minutes:
            if now >= period * (len(samples) + 1):
                p50, p99 = np.percentile(ages, [50, 99]) * 1e3 if ages else (np.nan, np.nan)
                told = {"hours": now / 3600, "age_p50_ms": p50, "age_p99_ms": p99, "hz": len(ages) / period}
                samples.append({**told, **memory(hands.process.pid)})
                ages.clear()
                hands.check()
            rclpy.spin_once(listener, timeout_sec=0.05)
    listener.destroy_node()
    rclpy.try_shutdown()
    table = {name: np.array([sample[name] for sample in samples]) for name in samples[0]}
    after = table["hours"] >= warm_up / 60.0
    result = {
        "video": video.name,
        "minutes": minutes,
        "cores": os.cpu_count(),
        "load_at_the_end": os.getloadavg()[1],
        "warm_up_minutes": warm_up,
        **counts,
    }
    window = max(1, min(int(_WINDOW / period), int(after.sum()) // 4))
    for name in ("rss", "own", "age_p50_ms", "age_p99_ms", "hz", "threads", "files"):
        seen = after & np.isfinite(table[name])
        hours, values = medians(table["hours"][seen], window), medians(table[name][seen], window)
        result[name] = {
            "quarters": [round(float(np.median(part)), 2) for part in np.array_split(values, 4)],
            "slope": slope(hours, values),
        }
    result["samples_mb"] = {
        name: [round(float(v), 1) for v in table[name][:: max(1, len(samples) // 60)]] for name in ("rss", "own")
    }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path, help="of hands; its first 10 s are looped")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--warm-up", type=float, default=2.0, help="minutes among them that are left out (default: 2)")
    parser.add_argument("--out", type=Path, help="also write the JSON to this file")
    args = parser.parse_args()
    tell(soak(args.video, args.minutes, args.warm_up), args.out)


if __name__ == "__main__":
    main()
