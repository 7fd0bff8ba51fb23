"""Bags of demonstrations whose hands, robot and pictures are known by formula; pictures carry their number as blocks.

And what tests of exports share."""

from __future__ import annotations

import array
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from bag_support import image_entry, write_bag
from rclpy.serialization import serialize_message
from ros_support import SECOND, T0, stamp_to
from sensor_msgs.msg import JointState

from fourdhands_core import cli
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.geometry.rotations import matrix_from_axis_angle
from fourdhands_core.pipeline.types import ABSENT, TRACKED, HandEstimate, HandPairEstimate
from fourdhands_ros.convert.encoders import HandPairEncoder
from fourdhands_ros.tools.camera import camera_info

WIDTH, HEIGHT, BLOCK, BITS = 128, 96, 16, 16
CAMERA = Camera.from_fov(WIDTH, HEIGHT, 60.0, calibrated=True)
TYPES = {
    "/cam/hands": "fourdhands_ros/msg/HandPair",
    "/cam/image_raw": "sensor_msgs/msg/Image",
    "/cam/camera_info": "sensor_msgs/msg/CameraInfo",
    "/joint_states": "sensor_msgs/msg/JointState",
}


def picture(number: int) -> np.ndarray:
    """(H, W, 3) uint8 whose upper two rows of blocks are the bits of a number, the lowest first."""
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    for bit in range(BITS):
        row, column = divmod(bit, WIDTH // BLOCK)
        value = 230 if number >> bit & 1 else 20
        image[row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK] = value
    return image


def number_in(image: np.ndarray) -> int:
    """The number in a picture (H, W, 3), of any range of values."""
    middle = image[BLOCK // 2 :: BLOCK, BLOCK // 2 :: BLOCK].mean(axis=-1)[:2].ravel()
    return sum(1 << bit for bit in range(BITS) if middle[bit] > 0.49 * image.max())


def hand(side: int, seconds: float, valid: bool = True) -> HandEstimate:
    """A hand that moves smoothly; left ones are at negative x, right ones at positive x."""
    if not valid:
        return HandEstimate(side, False, ABSENT, float("nan"))
    phase = seconds + side
    base = np.array([(-0.2, 0.2)[side], 0.05 * np.sin(2 * phase), 0.6 + 0.05 * np.cos(phase)])
    finger, joint = np.divmod(np.arange(20), 4)
    fan = np.stack([0.022 * (finger - 2), 0.004 * joint + 0.01 * (finger == 0), 0.07 + 0.022 * joint], axis=1)
    offsets = np.vstack([np.zeros(3), fan * (1 + 0.1 * np.sin(3 * phase))])
    orient = np.array([0.5 * np.sin(phase), 1.2 + 0.3 * np.cos(phase), -0.4])
    pose = 0.4 * np.sin(np.arange(45) * 0.3 + phase)
    return HandEstimate(
        side,
        True,
        TRACKED,
        0.0,
        confidence=0.9,
        joints=base + offsets,
        joints_raw=base + offsets,
        joints_2d=np.arange(42.0).reshape(21, 2) + seconds,
        joint_confidence=np.full(21, 0.8),
        wrist_rotation=matrix_from_axis_angle(orient),
        global_orient=orient,
        hand_pose=pose,
        betas=np.linspace(-1, 1, 10) + side,
        scaled=True,
    )


@dataclass
class Demonstration:
    """seconds, rate: how long, messages a second. there: of (side, seconds) whether that hand is seen. images: write them.
    robot: of seconds, two joints. jitter: of the stamps, seconds. extra: further entries and their types."""

    seconds: float = 4.0
    rate: float = 30.0
    there: Callable[[int, float], bool] = lambda side, seconds: True
    images: bool = True
    robot: bool = True
    jitter: float = 0.0
    seed: int = 0
    extra: tuple[list, dict] = field(default_factory=lambda: ([], {}))

    def stamps(self) -> np.ndarray:
        """(N,) int64 nanoseconds after T0."""
        count = round(self.seconds * self.rate) + 1
        shift = np.random.default_rng(self.seed).uniform(-self.jitter, self.jitter, count)
        return np.round((np.arange(count) / self.rate + shift + 1.0) * 1e9).astype(np.int64)

    def entries(self) -> tuple[list, dict[str, str]]:
        """The messages in the order of their times, and the topics' types."""
        encoder = HandPairEncoder("net", "generic")
        entries = list(self.extra[0])
        types = {"/cam/hands": TYPES["/cam/hands"], **self.extra[1]}
        info = camera_info(WIDTH, HEIGHT, CAMERA, "cam_optical")
        for number, relative in enumerate(self.stamps().tolist()):
            stamp, seconds = T0 + relative, relative / SECOND
            hands = [hand(side, seconds, self.there(side, seconds)) for side in range(2)]
            pair = HandPairEstimate(stamp, *hands, camera=CAMERA)
            if self.images:
                stamp_to(info, stamp)
                entries.append(("/cam/camera_info", stamp + 1_000_000, serialize_message(info)))
                entries.append(image_entry("/cam/image_raw", stamp, picture(number), "cam_optical"))
            entries.append(("/cam/hands", stamp + 5_000_000, encoder.encode(pair, "cam_optical", {}, (number + 1, 0, 0))))
        if self.images:
            types |= {name: TYPES[name] for name in ("/cam/image_raw", "/cam/camera_info")}
        if self.robot:
            types["/joint_states"] = TYPES["/joint_states"]
            first, last = self.stamps()[[0, -1]].tolist()
            for relative in range(first - 50_000_000, last + 50_000_000, 10_000_000):
                entries.append(("/joint_states", T0 + relative, self._state(relative)))
        return sorted(entries, key=lambda entry: entry[1]), types

    def _state(self, relative: int) -> bytes:
        seconds = relative / SECOND
        state = JointState(name=["one", "two"], position=array.array("d", (seconds, -2.0 * seconds)))
        stamp_to(state, T0 + relative)
        return serialize_message(state)

    def write(self, path: Path) -> Path:
        """As a bag."""
        return write_bag(path, *self.entries())


def run(capsys, *arguments) -> tuple[int, str, str]:
    """`fourdhands episodes` in this process: exit code, and what it said."""
    jobs = ["--jobs", "1"] if arguments[0] == "export" and "--jobs" not in arguments else []
    code = cli.main(["episodes", *map(str, arguments), *jobs])
    return code, *capsys.readouterr()


def export(capsys, path: Path, out: Path, *words) -> str:
    """Export a bag, and what was said on stderr of it."""
    code, _, said = run(capsys, "export", path, "--out", out, "--quiet", *words)
    assert code == 0, said
    return said


def rows(dataset: Path) -> dict[str, np.ndarray]:
    """The columns of all episodes of a dataset in LeRobot's format."""
    import pyarrow.parquet as pq

    tables = [pq.read_table(file) for file in sorted((dataset / "data").rglob("*.parquet"))]
    return {name: np.concatenate([np.array(table[name].to_pylist()) for table in tables]) for name in tables[0].column_names}


def files(folder: Path) -> dict[str, bytes]:
    """The bytes of all files of a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def told(dataset: Path) -> dict:
    """What a dataset says of how it was made."""
    return json.loads((dataset / "meta" / "fourdhands.json").read_text())


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    """Two bags: of one the right hand is lost for a second; the other moves with jitter."""
    folder = tmp_path_factory.mktemp("bags")
    Demonstration(seconds=4, there=lambda side, seconds: not (side == 1 and 2.52 < seconds < 3.52)).write(folder / "bag_2")
    Demonstration(seconds=2, jitter=0.004, seed=3).write(folder / "bag_10")
    return folder


@pytest.fixture(scope="module")
def exported(bags, tmp_path_factory):
    """Their dataset, made by the command."""
    out = tmp_path_factory.mktemp("exported") / "dataset"
    assert cli.main(["episodes", "export", str(bags), "--out", str(out), "--task", "lift", "--quiet", "--jobs", "1"]) == 0
    return out
