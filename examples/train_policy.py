"""Closes the loop: a simulated robot is shown how to pick a cube up, a policy of lerobot learns it, and does it by itself.

python examples/train_policy.py --lerobot PYTHON [--out DIR] [--demonstrations N] [--steps N] [--rollouts N] [--rendered]

1. A simulated person's hand picks up a cube that lies elsewhere each time, and the simulated robot follows by teleoperation
   (fourdhands_core.simulation). Each time is recorded as a bag with its episode.json: HandPair, and as JointState where the
   robot's end and the cube are. --rendered: the hand is what the tracker finds in rendered images, else its truth with noise.
2. `fourdhands episodes export --outcome success` makes a LeRobotDataset of those that succeeded.
3. examples/lerobot_policy.py trains an ACT policy on it, in the interpreter that has lerobot (pip install 'lerobot[dataset]').
4. The policy moves a hand that nobody has, which the robot follows, to cubes where none lay before. Told is how often the cube
   is held up for a second, beside the same for the hand of one demonstration, which does not look where the cube is.

The package needs the extras [ros,robot,dataset,render].
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from rclpy.serialization import serialize_message
from scipy.interpolate import PchipInterpolator
from sensor_msgs.msg import JointState

from fourdhands_core import cli
from fourdhands_core.episodes.reading import Dataset
from fourdhands_core.episodes.sidecar import NAME, Sidecar
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.geometry.rotations import axis_angle_from_matrix, matrix_from_axis_angle
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.media.choreography import ClipMotion, from_curls, pose_hands
from fourdhands_core.media.clips import HandScene, render_frames
from fourdhands_core.media.pick_motion import OPEN_HAND, PINCHING
from fourdhands_core.pipeline.tracker import HandPairTracker
from fourdhands_core.pipeline.types import ABSENT, TRACKED, HandEstimate, HandPairEstimate
from fourdhands_core.retargeting import load_retargeter
from fourdhands_core.retargeting.operator_range import OperatorRange
from fourdhands_core.simulation.replay import Follower, Track, grip_place, replay_settings
from fourdhands_core.simulation.robot import SimulatedRobot
from fourdhands_core.simulation.scene import Cube
from fourdhands_ros.bags.writing import BagWriter
from fourdhands_ros.convert.encoders import HandPairEncoder, split_stamp
from fourdhands_ros.pypi.message_types import typestore

TOOL, CUBE = "gripper", 0.035
FPS = 15
CAMERA = Camera.from_fov(640, 480, 64.0, calibrated=True)
WRIST = np.array([-0.04, 0.02, 0.5])  # metres in the camera's optical frame, where the person's hand begins
UPRIGHT = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # fingers up, the camera sees between thumb and finger
TURN, DOWN, REACH = np.radians(-20.0), 0.165, 0.06
STILL, OVER, LOW, PINCHED, UP, END = 1.6, 3.2, 4.6, 5.4, 7.2, 8.0  # seconds: the person's, from the first image on
LIFTED = 0.05
LIMIT, HELD = 14.0, 1.0
"""Seconds that a rollout may take, as a policy waits longer here and there than who shows it, and that the cube is held up."""
ROBOT = ("end_x", "end_y", "end_z", "width", "cube_x", "cube_y", "cube_z")
EPOCH = 1_000_000_000


def person(place: np.ndarray, rng: np.random.Generator) -> ClipMotion:
    """A right hand that picks up what lies at `place`, metres forwards and to the left of where the robot's hand begins.

    The camera faces the person, so that towards it is forwards and right in its image is left.
    """
    times = np.arange(round(END * FPS)) / FPS
    ahead, left = place
    rows = (
        (0.0, 0, 0, 0),
        (STILL, 0, 0, 0),
        (OVER, left, 0.03, -ahead),
        (LOW, left, DOWN, -ahead),
        (PINCHED, left, DOWN, -ahead),
    )
    keys = np.array([*rows, (UP, left, 0.05, -ahead), (END, left, 0.05, -ahead)])
    keys[2:-1, 0] += rng.uniform(-0.1, 0.1)
    grip = np.array([(0.0, *OPEN_HAND), (LOW, *OPEN_HAND), (PINCHED - 0.2, *PINCHING), (END, *PINCHING)])
    curls = PchipInterpolator(grip[:, 0], grip[:, 1:])(times)
    wrist = WRIST + PchipInterpolator(keys[:, 0], keys[:, 1:])(times) + 0.001 * wander(rng, times, 3)
    orient = axis_angle_from_matrix(matrix_from_axis_angle(TURN * np.array([0.0, -1.0, 0.0])) @ UPRIGHT)
    count, present = len(times), np.zeros((len(times), 2), bool)
    present[:, RIGHT] = True
    return ClipMotion(
        EPOCH + np.round(times * 1e9).astype(np.int64),
        np.tile(orient, (count, 2, 1)),
        np.repeat(axis_angle_from_matrix(from_curls(curls)).reshape(count, 1, 45), 2, axis=1),
        np.zeros((2, 10)),
        np.repeat(wrist[:, None], 2, axis=1),
        present,
    )


def wander(rng: np.random.Generator, times: np.ndarray, count: int) -> np.ndarray:
    """Slow irregular movement (T, count) of about unit size."""
    rates, phases = rng.uniform(0.1, 0.6, (4, count)), rng.uniform(0.0, 1.0, (4, count))
    return np.sin(2.0 * np.pi * (times[:, None, None] * rates + phases)).sum(axis=1) / np.sqrt(2.0)


def seen(motion: ClipMotion, rng: np.random.Generator, rendered: bool) -> Iterator[HandPairEstimate]:
    """What a tracker tells of each image: of rendered ones, or the truth with 1 mm of noise."""
    vertices, joints = pose_hands(motion)
    if rendered:
        tracker = HandPairTracker()
        scene = HandScene(CAMERA, int(rng.integers(1 << 30)), "indoor", tone=0.3)
        try:
            for stamp, (image, _) in zip(motion.stamp.tolist(), render_frames(motion, scene, vertices)):
                yield tracker.process(image, stamp, CAMERA)
        finally:
            tracker.close()
        return
    for row, stamp in enumerate(motion.stamp.tolist()):
        points = joints[row, RIGHT] + rng.normal(0.0, 0.001, 3)
        yield HandPairEstimate(stamp, HandEstimate(LEFT, False, ABSENT, float("nan")), hand(motion, row, points), CAMERA)


def hand(motion: ClipMotion, row: int, joints: np.ndarray) -> HandEstimate:
    """The right hand of a motion as a tracker that is never wrong would tell it."""
    return HandEstimate(
        RIGHT,
        True,
        TRACKED,
        0.0,
        confidence=1.0,
        joints=joints,
        joints_raw=joints,
        joints_2d=CAMERA.project(joints),
        joint_confidence=np.ones(21),
        wrist_rotation=matrix_from_axis_angle(motion.global_orient[row, RIGHT]),
        global_orient=motion.global_orient[row, RIGHT],
        hand_pose=motion.hand_pose[row, RIGHT],
        betas=motion.betas[RIGHT],
        scaled=True,
    )


class Scene:
    """The robot before a cube that lies `place` from under its hand, and who follows. rendered: the hand is a tracker's."""

    def __init__(self, place: np.ndarray, rendered: bool = False) -> None:
        retargeter = load_retargeter(TOOL, "right", None if rendered else OperatorRange.exact())
        x, y, _ = grip_place(SimulatedRobot(TOOL), retargeter, np.zeros(0), np.zeros(0), CUBE)
        self.robot = SimulatedRobot(TOOL, [Cube(x + place[0], y + place[1], CUBE)])
        stamps = np.arange(2) / FPS
        still = Track(stamps, np.zeros((2, 21, 3)), np.zeros((2, 3, 3)), np.ones(2, bool))
        settings = replace(replay_settings(self.robot, retargeter, still), dwell=0.2, ramp=0.5)
        self.follower = Follower(self.robot, retargeter, settings)
        self.rest = self.robot.cube_positions()[0, 2]

    def told(self) -> np.ndarray:
        """What the robot tells of itself and the cube, by ROBOT's names."""
        state = self.robot.state()
        return np.concatenate([state.position, state.positions[-1:], self.robot.cube_positions()[0]])

    def show(self, seconds: float, joints: np.ndarray, rotation: np.ndarray) -> None:
        """A hand in an image, after the robot has moved until then."""
        self.follower.until(seconds)
        self.follower.see(seconds, joints, rotation)

    @property
    def success(self) -> bool:
        """Whether the cube is held up."""
        return bool(self.robot.held()[0] and self.robot.cube_positions()[0, 2] > self.rest + LIFTED)


def demonstrate(bag: Path, seed: int, rendered: bool) -> bool:
    """One demonstration as a bag; whether it succeeded."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(-REACH, REACH, 2)
    motion, scene = person(place, rng), Scene(place, rendered)
    encoder, writer = HandPairEncoder("simulated", "generic"), BagWriter(bag)
    kinds = {"/hands": "fourdhands_ros/msg/HandPair", "/robot_and_cube": "sensor_msgs/msg/JointState"}
    topics = {name: writer.add_connection(name, kind, typestore=typestore()) for name, kind in kinds.items()}
    for number, pair in enumerate(seen(motion, rng, rendered)):
        scene.follower.until((pair.stamp - EPOCH) / 1e9)
        state = JointState(name=list(ROBOT), position=array("d", scene.told().tolist()))
        state.header.stamp.sec, state.header.stamp.nanosec = split_stamp(pair.stamp)
        writer.write(topics["/robot_and_cube"], pair.stamp, serialize_message(state))
        writer.write(topics["/hands"], pair.stamp, encoder.encode(pair, "camera", {}, (number + 1, 0, 0)))
        if pair.right.valid:
            scene.show((pair.stamp - EPOCH) / 1e9, pair.right.joints, pair.right.wrist_rotation)
    writer.close()
    Sidecar(task="pick the cube up", outcome="success" if scene.success else "failure").write(bag)
    return scene.success


def apart() -> dict[str, str]:
    """The environment of another interpreter, which is to find its own packages and ask no server for a dataset."""
    ours = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH")
    return {**{name: value for name, value in os.environ.items() if name not in ours}, "HF_HUB_OFFLINE": "1"}


class Policy:
    """The policy behind a pipe. A context manager; called with the hand's numbers and the robot's it gives the next hand's."""

    def __init__(self, python: str, folder: Path) -> None:
        command = [python, str(Path(__file__).with_name("lerobot_policy.py")), "serve", str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=apart())
        while (line := self._process.stdout.readline()) != "ready\n":
            if not line:
                sys.exit(f"{python} cannot serve the policy; see above")

    def begin(self) -> None:
        self._ask({"begin": True})

    def __call__(self, state: np.ndarray, robot: np.ndarray) -> np.ndarray:
        self._ask({"state": state.tolist(), "robot": robot.tolist()})
        return np.array(json.loads(self._process.stdout.readline()))

    def _ask(self, question: dict) -> None:
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()

    def __enter__(self) -> "Policy":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait()


def roll_out(
    place: np.ndarray, first: np.ndarray, act: Callable[[int, np.ndarray, np.ndarray], np.ndarray], rendered: bool
) -> bool:
    """Whether the cube comes to be held up by a hand that `act` moves (row, hand's numbers, robot's) from `first` on."""
    scene, numbers, up = Scene(place, rendered), first, 0
    for row in range(round(LIMIT * FPS)):
        scene.show(row / FPS, *posed(numbers))
        numbers = act(row, numbers, scene.told())
        up = up + 1 if scene.success else 0
        if up >= HELD * FPS:
            return True
    return False


def posed(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints (21, 3) and the wrist's rotation (3, 3) of the right half of `mano102`."""
    wrist, orient, pose = np.split(numbers[51:], [3, 6])

    def both(values: np.ndarray) -> np.ndarray:
        return np.tile(values, (1, 2, 1))

    motion = ClipMotion(np.zeros(1, int), both(orient), both(pose), np.zeros((2, 10)), both(wrist), np.ones((1, 2), bool))
    return pose_hands(motion)[1][0, RIGHT], matrix_from_axis_angle(orient)


def shown(dataset: Path) -> list[np.ndarray]:
    """Of each episode the hands' numbers, row by row."""
    read = Dataset(dataset)
    return [read.columns(number)["observation.state"] for number in range(len(read.episodes))]


def stopwatch() -> Callable[[], float]:
    """Gives at each call the seconds since the one before."""
    before = time.monotonic()

    def took() -> float:
        nonlocal before
        before, passed = time.monotonic(), time.monotonic() - before
        return round(passed, 1)

    return took


def main() -> int:
    """Run all of it; 0 where the policy did better than the hand that does not look."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lerobot", required=True, metavar="PYTHON", help="the interpreter that has lerobot")
    parser.add_argument("--out", type=Path, default=Path("train_policy_output"))
    parser.add_argument("--demonstrations", type=int, default=50)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rollouts", type=int, default=50)
    parser.add_argument("--rendered", action="store_true")
    args = parser.parse_args()
    bags, dataset, policy = args.out / "bags", args.out / "dataset", args.out / "policy"
    bags.mkdir(parents=True, exist_ok=True)
    seconds, took = {}, stopwatch()
    for seed in range(args.demonstrations):
        bag = bags / f"episode_{seed:06}"
        if not (bag / NAME).exists():  # which is written last
            shutil.rmtree(bag, ignore_errors=True)
            ended = "success" if demonstrate(bag, seed, args.rendered) else "failure"
            print(f"demonstration {seed + 1} of {args.demonstrations}: {ended}", flush=True)
    seconds["demonstrations"] = took()
    command = ["episodes", "export", str(bags), "--out", str(dataset), "--fps", str(FPS), "--no-images", "--quiet"]
    if code := cli.main(
        [*command, "--robot", "/robot_and_cube", "--outcome", "success", "--action", "mano102", "--hands", "right"]
    ):
        return code
    seconds["export"] = took()
    script = str(Path(__file__).with_name("lerobot_policy.py"))
    if not policy.exists():
        subprocess.run([args.lerobot, script, "train", str(dataset), str(policy), str(args.steps)], check=True, env=apart())
    seconds["training"] = took()
    episodes, rng = shown(dataset), np.random.default_rng(1_000_000)
    first = np.mean([rows[0] for rows in episodes], axis=0)
    learned = blind = 0
    with Policy(args.lerobot, policy) as ask:
        for number in range(args.rollouts):
            place, one = rng.uniform(-REACH, REACH, 2), episodes[number % len(episodes)]
            ask.begin()
            learned += roll_out(place, first, lambda row, hand, robot: ask(hand, robot), args.rendered)
            blind += roll_out(place, one[0], lambda row, *_, one=one: one[min(row + 1, len(one) - 1)], args.rendered)
            print(f"rollout {number + 1}: policy {learned}, the hand of a demonstration {blind}", flush=True)
    seconds["rollouts"] = took()
    result = {
        "seconds": seconds,
        "demonstrations": args.demonstrations,
        "exported": len(episodes),
        "rollouts": args.rollouts,
        "success": learned / args.rollouts,
        "success_of_a_demonstrations_hand": blind / args.rollouts,
    }
    (args.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))
    return 0 if learned > blind else 1


if __name__ == "__main__":
    sys.exit(main())
