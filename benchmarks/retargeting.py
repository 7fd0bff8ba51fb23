"""Retargeting of human poses to robot hands: tips, pinches, collisions, jitter, time, beside dexi_rs and dex-retargeting.

    python benchmarks/retargeting.py [--poses 500] [--json benchmarks/retargeting.json] [ROBOT ...]

All solve for the same targets, in one run, as far as they are installed (benchmarks/retargeting_peers.py): the others are given
where this package's retargeter wants the tips, in their mode "position", and the vectors between them in "dexpilot", scale 1.
Every pose is followed by three with noise of 1 mm on the human's joints, for jitter. Times are of one run on whatever
this computer was doing: compare them with each other only.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from fourdhands_core.errors import FourDHandsError
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import load_generic_hand
from fourdhands_core.hand_model.limits import LOWER, UPPER, from_angles
from fourdhands_core.hand_model.skeleton import FINGERS, MANO_JOINT_NAMES, TIP_JOINTS
from fourdhands_core.media.choreography import from_curls
from fourdhands_core.retargeting import load_retargeter
from fourdhands_core.retargeting.human import bends, measure
from fourdhands_core.retargeting.operator_range import OperatorRange
from fourdhands_core.retargeting.retargeter import HandRetargeter

sys.path.insert(0, str(Path(__file__).resolve().parent))

from retargeting_peers import MODES, PEERS, run_peer

ROBOTS = ("five_fingers_right", "five_fingers_left", "three_fingers", "shadow_right", "allegro_right", "leap_right")
PINCH = 0.005
"""Metres between a human's tips that are a pinch, and between a robot's that close it."""


class Human:
    """The generic right hand: its joints (21, 3) of angles (15, 3) of limits.py."""

    def __init__(self) -> None:
        self._arrays = HandArrays([load_generic_hand()])

    def joints(self, angles: np.ndarray, betas: np.ndarray) -> np.ndarray:
        """In the wrist's frame, metres."""
        pose = from_angles(np.clip(angles, LOWER, UPPER))
        return self._arrays.joints(np.eye(3)[None], pose[None], betas[None])[0]

    def of_curls(self, curls: np.ndarray, betas: np.ndarray) -> np.ndarray:
        """Of the six numbers of choreography.from_curls."""
        return self._arrays.joints(np.eye(3)[None], from_curls(curls)[None], betas[None])[0]

    def pinch(self, rng: np.random.Generator, finger: str, betas: np.ndarray) -> np.ndarray | None:
        """A hand whose thumb touches a finger, tips within PINCH, the other fingers anyhow; None where none was found."""
        start = np.zeros((15, 3))
        for i, name in enumerate(MANO_JOINT_NAMES[1:]):
            bend = {"thumb": 0.5, finger: 0.5}.get(name[:-2], rng.uniform(0.0, 0.9)) + rng.normal(0.0, 0.05)
            start[i, 0] = bend * UPPER[i, 0]
        start = np.clip(start, LOWER + 1e-3, UPPER - 1e-3)
        moving = [i for i, name in enumerate(MANO_JOINT_NAMES[1:]) if name[:-2] in ("thumb", finger)]
        tip, goal = int(TIP_JOINTS[FINGERS.index(finger)]), start[moving].ravel()

        def apart(values: np.ndarray) -> np.ndarray:
            angles = start.copy()
            angles[moving] = values.reshape(-1, 3)
            joints = self.joints(angles, betas)
            return np.concatenate([100.0 * (joints[4] - joints[tip]), 0.02 * (values - goal)])

        found = least_squares(apart, goal, bounds=(LOWER[moving].ravel(), UPPER[moving].ravel()), max_nfev=15)
        angles = start.copy()
        angles[moving] = found.x.reshape(-1, 3)
        joints = self.joints(angles, betas)
        return joints if np.linalg.norm(joints[4] - joints[tip]) < PINCH else None


def poses(count: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Right hands (count, 21, 3) of several sizes, a third of them pinches, and which finger each thumb touches ("": none)."""
    rng, human = np.random.default_rng(seed), Human()
    hands, pinched = [], []
    while len(hands) < count:
        betas = np.clip(rng.normal(0.0, 0.7, 10), -1.5, 1.5)
        finger = str(rng.choice(FINGERS[1:])) if len(hands) % 3 == 2 else ""
        joints = human.pinch(rng, finger, betas) if finger else human.of_curls(rng.uniform(0.0, 1.0, 6), betas)
        if joints is not None:
            hands.append(joints)
            pinched.append(finger)
    return np.array(hands), pinched


def mirrored(joints: np.ndarray) -> np.ndarray:
    """The other side's hand."""
    return joints * (-1.0, 1.0, 1.0)


def run_ours(robot: HandRetargeter, hands: np.ndarray, pinched: list[str], noise: np.ndarray) -> dict[str, Any]:
    """Numbers of one robot over all hands."""
    count = len(robot.radii)
    errors, times, closed, collisions, robot_jitter, human_jitter, tips_at = [], [], [], 0, [], [], []
    order = list(robot.config.fingers)
    previous = None
    outside = 0
    for joints, finger, shakes in zip(hands, pinched, noise):
        q = previous
        for _ in range(4):  # as at 30 Hz a pose is reached over several images
            begin = time.thread_time()
            q = robot.solve(joints, q)
            times.append(time.thread_time() - begin)
        outside += int((q < robot.lower).any() or (q > robot.upper).any())
        pose = robot.robot.pose(q)
        tips_at.append(pose.points[:count].copy())
        errors.append(np.linalg.norm(pose.points[:count] - robot.targets(joints)[0], axis=1))
        collisions += int(robot.robot.depth(pose) > 0)
        if finger in order:
            one, other = order.index("thumb"), order.index(finger)
            gap = np.linalg.norm(pose.points[one] - pose.points[other]) - robot.radii[one] - robot.radii[other]
            closed.append(gap < PINCH)
        again = [robot.solve(joints + shake, q) for shake in shakes]
        robot_jitter.append(np.std(again, axis=0).mean())
        human_jitter.append(np.std([bends(measure(joints + shake, robot.side))[1:] for shake in shakes], axis=0).mean())
        previous = q
    reach = float(robot.lengths.mean())
    used = [row for row, finger in enumerate(robot.config.fingers.values()) if finger.weight >= 0.5]
    free = np.array([not finger for finger in pinched])
    return {
        "tip_error_of_reach": {
            "median": float(np.median(np.array(errors)[free][:, used]) / reach),
            "mean": float(np.mean(np.array(errors)[free][:, used]) / reach),
        },
        "pinches": len(closed),
        "pinches_closed": float(np.mean(closed)) if closed else None,
        "poses_in_collision": collisions,
        "poses_outside_limits": outside,
        "jitter_of_human": float(np.mean(robot_jitter) / np.mean(human_jitter)),
        "human_jitter": float(np.mean(human_jitter)),
        "seconds": times,
    }


def main(argv: list[str] | None = None) -> int:
    """Print a line a robot, and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("robots", nargs="*", default=list(ROBOTS), metavar="ROBOT")
    parser.add_argument("--poses", type=int, default=500)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    hands, pinched = poses(args.poses)
    noise = np.random.default_rng(1).normal(0.0, 0.001, (len(hands), 3, 21, 3))
    report: dict[str, Any] = {"poses": len(hands)}
    for name in args.robots:
        try:
            robot = load_retargeter(name, operator=OperatorRange.exact())
        except FourDHandsError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        if not isinstance(robot, HandRetargeter):
            continue
        side = hands if robot.side == "right" else mirrored(hands)
        ours = run_ours(robot, side, pinched, noise)
        times = np.array(ours.pop("seconds"))
        human = ours.pop("human_jitter")
        ours["p99_of_p50"] = float(np.percentile(times, 99) / np.median(times))
        ours["slowest_of_p50"] = float(times.max() / np.median(times))
        report[name] = {"ours": ours}
        with tempfile.TemporaryDirectory() as folder:
            for peer, mode in itertools.product(PEERS, MODES):
                try:
                    theirs = run_peer(peer, mode, robot, Path(folder), side, pinched, noise, human)
                except Exception as error:  # not installed, or not for this robot: which is part of what is measured
                    report[name][f"{peer}, {mode}"] = {"problem": f"{type(error).__name__}: {error}"[:300]}
                    continue
                its = np.array(theirs.pop("seconds"))
                theirs["our_p50_of_its"] = float(np.median(times) / np.median(its))
                theirs["our_p99_of_its"] = float(np.percentile(times, 99) / np.percentile(its, 99))
                report[name][f"{peer}, {mode}"] = theirs
        print(name, json.dumps(report[name]), "p50 ms here:", round(float(np.median(times)) * 1e3, 2))
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
