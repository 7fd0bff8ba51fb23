"""Export of episodes: speed beside plain lerobot, memory, what the processes cost, resampling against truth.

python benchmarks/episodes.py VIDEO [--lerobot PYTHON] [--ray DIR] [--seconds 20] [--longest 1280] [--parts ...] [--json FILE]

speed: bags with 640x480 JPEG images of VIDEO at 30 Hz, one on one process and two on two, H.264; beside it lerobot's
add_frame for the same pictures, which are out of the bag already. memory: most of an export's process, by the length of the
bag. engine: processor seconds of 12 bags in two processes, and time on a Ray node of one processor, over those of one
process. resampling: of a rendered clip's motion, seen at 15 and 30 Hz with jitter, at rows between, and what the export
estimates of it.
Times are of whatever this computer was doing: compare within a run.
"""

from __future__ import annotations

import argparse
import array
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "test" / "ros"), str(ROOT / "test"), str(ROOT)]

from bag_support import write_bag  # noqa: E402
from episode_support import Demonstration  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402
from ros_support import T0, stamp_to  # noqa: E402
from sensor_msgs.msg import CompressedImage  # noqa: E402

from fourdhands_core.commands import tell  # noqa: E402
from fourdhands_core.episodes.recording import Hands  # noqa: E402
from fourdhands_core.episodes.resampling import Episode, resample  # noqa: E402
from fourdhands_core.episodes.resampling_error import row_errors  # noqa: E402
from fourdhands_core.geometry.camera import Camera  # noqa: E402
from fourdhands_core.geometry.rotations import matrix_from_axis_angle, matrix_from_quaternion, quaternion_from_matrix  # noqa: E402
from fourdhands_core.media.choreography import demo_motion, pose_hands  # noqa: E402
from fourdhands_core.media.video import VideoReader  # noqa: E402
from fourdhands_ros.tools.camera import camera_info  # noqa: E402

SIZE, RATE = (640, 480), 30
ENGINE_BAGS, ENGINE_SECONDS, PIECE = 12, 10, 20
WATCH = """
import json, resource, subprocess, sys, time
begin = time.monotonic()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
used, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - begin
print(json.dumps({"seconds": round(seconds, 2), "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
    "most_mb": round(used.ru_maxrss / 1024, 1)}))
"""  # a small process of its own: a child begins with its parent's most memory
CLUSTER = """
import subprocess, sys, time
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
begin = time.monotonic()
code = subprocess.run([*sys.argv[1:], "--address", cluster.address]).returncode
print("seconds", time.monotonic() - begin)
cluster.shutdown()
sys.exit(code)
"""


def command(source: Path, out: Path, jobs: int) -> list[str]:
    """Of an export."""
    start = [sys.executable, "-m", "fourdhands_core.cli", "episodes", "export", str(source), "--out", str(out), "--quiet"]
    return [*start, "--jobs", str(jobs)]


def run(words: list[str]) -> dict[str, float]:
    """Seconds, processor seconds and most memory in MB (of its largest process) of a command, with the start of Python."""
    done = subprocess.run([sys.executable, "-c", WATCH, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def jpegs(video: Path) -> list[bytes]:
    """Up to 250 images, there and back so that none jumps."""
    images = []
    for _, image in VideoReader(video):
        small = cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA)[..., ::-1]
        images.append(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
        if len(images) == 250:
            break
    return [*images, *images[-2:0:-1]]


def filmed_bag(path: Path, seconds: float, pictures: list[bytes]) -> Path:
    """A bag of hands known by formula and a camera's JPEG images."""
    demonstration = Demonstration(seconds=seconds, images=False)
    entries, types = demonstration.entries()
    info = camera_info(*SIZE, Camera.from_fov(*SIZE, 60.0, calibrated=True), "cam_optical")
    for number, relative in enumerate(demonstration.stamps().tolist()):
        message = CompressedImage(format="jpeg", data=array.array("B", pictures[number % len(pictures)]))
        message.header.frame_id = "cam_optical"
        for one in (message, info):
            stamp_to(one, T0 + relative)
        entries.append(("/cam/image_raw/compressed", T0 + relative, serialize_message(message)))
        entries.append(("/cam/camera_info", T0 + relative, serialize_message(info)))
    types |= {"/cam/image_raw/compressed": "sensor_msgs/msg/CompressedImage", "/cam/camera_info": "sensor_msgs/msg/CameraInfo"}
    return write_bag(path, sorted(entries, key=lambda entry: entry[1]), types)


def speed(folder: Path, seconds: float, pictures: list[bytes], lerobot: str) -> dict:
    """Of exports, as times real time: seconds of bags over seconds that it took."""
    for name in "ab":
        filmed_bag(folder / "bags" / name, seconds, pictures)
    one = run(command(folder / "bags" / "a", folder / "one", 1))
    both = run(command(folder / "bags", folder / "both", 2))
    told = {
        "seconds_of_a_bag": seconds,
        "one_bag_one_process": {**one, "times_real_time": round(seconds / one["seconds"], 2)},
        "two_bags_two_processes": {**both, "times_real_time": round(2 * seconds / both["seconds"], 2)},
    }
    if lerobot:
        (folder / "pictures").mkdir()
        count = round(seconds * RATE) + 1
        for number in range(count):
            (folder / "pictures" / f"{number:06}.jpg").write_bytes(pictures[number % len(pictures)])
        np.save(folder / "rows.npy", np.random.default_rng(0).normal(size=(count, 102)).astype(np.float32))
        for how in ("plain", "streaming"):
            words = [lerobot, str(ROOT / "benchmarks" / "lerobot_frame_by_frame.py"), str(folder / "pictures")]
            words += [str(folder / "rows.npy"), str(folder / how), str(RATE), how]
            kept = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH")
            apart = {name: value for name, value in os.environ.items() if name not in kept} | {"HF_HUB_OFFLINE": "1"}
            done = subprocess.run(words, env=apart, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr[-2000:]
            took = json.loads(done.stdout.splitlines()[-1])
            told[f"lerobot_add_frame_{how}"] = {**took, "times_real_time": round(seconds / took["seconds"], 2)}
    return told


def memory(folder: Path, longest: int) -> dict[str, float]:
    """Most MB by the seconds of a bag."""
    entries, types = Demonstration(seconds=PIECE - 1 / RATE, jitter=0.003).entries()
    told = {}
    for seconds in (longest // 32, longest // 8, longest // 2, longest):
        bag = write_bag(folder / f"long_{seconds}", _again_and_again(entries, max(seconds // PIECE, 1)), types)
        told[str(seconds)] = run(command(bag, folder / "out", 1))["most_mb"]
        shutil.rmtree(bag), shutil.rmtree(folder / "out")
    return told


def _again_and_again(entries: list[tuple[str, int, bytes]], times: int) -> Iterator[tuple[str, int, bytes]]:
    """Messages whose stamps go on in each repetition; those before and after PIECE seconds, of the robot, not."""
    first = min(time for topic, time, _ in entries if topic.endswith("/hands"))
    for number in range(times):
        for topic, time, data in entries:
            if not topic.endswith("joint_states") or first <= time < first + PIECE * 10**9:
                seconds, nanoseconds = struct.unpack_from("<iI", data, 4)
                again = struct.pack("<iI", seconds + PIECE * number, nanoseconds)
                yield topic, time + PIECE * number * 10**9, data[:4] + again + data[12:]


def engine(folder: Path, ray: str) -> dict:
    """What it costs that processes of their own, or a Ray node, do it."""
    for number in range(ENGINE_BAGS):
        Demonstration(seconds=ENGINE_SECONDS, jitter=0.003, seed=number).write(folder / "many" / f"bag_{number}")
    alone, apart = (run(command(folder / "many", folder / f"many_{jobs}", jobs)) for jobs in (1, 2))
    told = {
        "bags": ENGINE_BAGS,
        "seconds_of_a_bag": ENGINE_SECONDS,
        "one_process": alone,
        "processes": apart,
        "processes_cpu_over_one": round(apart["cpu_seconds"] / alone["cpu_seconds"], 3),
    }
    if ray:
        path = os.pathsep.join([*sys.path[:3], *filter(None, [os.environ.get("PYTHONPATH")]), ray])
        words = [sys.executable, "-c", CLUSTER, *command(folder / "many", folder / "many_ray", 1)]
        environment = {**os.environ, "PYTHONPATH": path, "RAY_USAGE_STATS_ENABLED": "0"}
        done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        took = float(next(line for line in done.stdout.splitlines() if line.startswith("seconds ")).split()[1])
        told |= {"ray_seconds": round(took, 2), "ray_over_one": round(took / alone["seconds"], 3)}
    return told


def resampling(rate: int, seed: int) -> dict[str, float]:
    """Of a rendered clip's motion: mm and degrees at rows between messages whose stamps are off the rows' by a drawn phase."""
    fine, fps = 20 * rate, RATE
    motion = demo_motion(12.0, fine, seed)
    _, joints = pose_hands(motion)
    rng, at = np.random.default_rng(seed), np.arange(0, len(motion.stamp) - 20, 20)
    at = at + rng.integers(0, 5, len(at))
    orientation = quaternion_from_matrix(matrix_from_axis_angle(motion.global_orient))
    both, none = np.ones((len(at), 2), bool), np.zeros((len(at), 2, 21))
    hands = Hands(
        motion.stamp[at],
        both,
        both,
        both.astype(float),
        joints[at],
        none,
        np.zeros((len(at), 2, 21, 2)),
        motion.wrist[at],
        orientation[at],
        motion.hand_pose[at],
        np.zeros((len(at), 2, 10)),
    )
    rows = np.round(np.arange(at[0] + 11, at[-1], fine / fps)).astype(int)
    found, _ = resample(hands, motion.stamp[rows], 3e9 / rate)
    off = 1e3 * np.linalg.norm(found.joints - joints[rows], axis=-1).mean(axis=-1)
    relative = np.swapaxes(matrix_from_quaternion(orientation[rows]), -1, -2) @ matrix_from_quaternion(found.orientation)
    turn = np.degrees(np.arccos(np.clip((np.trace(relative, axis1=-2, axis2=-1) - 1) / 2, -1, 1)))
    stamp = np.append(motion.stamp[rows], motion.stamp[rows[-1]])
    told = row_errors(Episode(stamp, hands, 3e9 / rate))  # type: ignore[arg-type]  # Hands has what it needs of HandRows
    return {
        "joints_mean_mm": round(float(off.mean()), 3),
        "joints_p95_mm": round(float(np.quantile(off, 0.95)), 3),
        "joints_most_mm": round(float(off.max()), 3),
        "wrist_turn_p95_degrees": round(float(np.quantile(turn, 0.95)), 3),
        "further_hand_mean_mm": round(float(off.max(axis=1).mean()), 3),
        "further_hand_mean_mm_as_the_export_estimates": round(float(np.nanmean(told)), 3),
    }


def main() -> None:
    """Measure, print and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--lerobot", default="", metavar="PYTHON", help="the interpreter that has lerobot")
    parser.add_argument("--ray", default="", metavar="DIR", help="a folder in which Ray is installed (pip install --target)")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--longest", type=int, default=1280)
    parser.add_argument("--parts", nargs="*", choices=("speed", "memory", "engine"), default=("speed", "memory", "engine"))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    told: dict = {"resampling_by_hertz": {str(rate): resampling(rate, 0) for rate in (15, 30)}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measured = {
            "speed": lambda: speed(folder, args.seconds, jpegs(args.video), args.lerobot),
            "memory": lambda: memory(folder, args.longest),
            "engine": lambda: engine(folder, args.ray),
        }
        for part in args.parts:
            told[part] = measured[part]()
            print(part, json.dumps(told[part]), file=sys.stderr, flush=True)
    tell(told, args.json)


if __name__ == "__main__":
    main()
