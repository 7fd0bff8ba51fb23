"""Retargeting of human poses to robot hands: tips, pinches, collisions, jitter, time, beside dexi_rs and dex-retargeting.

    python benchmarks/retargeting.py [--poses 500] [--json benchmarks/retargeting.json] [--peers DIR] [ROBOT ...]

One run does it all: the others run in a virtual environment in DIR, which is made where there is none, a process each that
this one starts and asks, pose by pose in turn. All solve for the same targets: the others are given where this package's
retargeter wants the tips, in their mode "position", and the vectors between them in "dexpilot", scale 1. Every pose is followed
by three with noise of 1 mm on the human's joints, for jitter. Times are of the processor, of one call, on whatever this
computer was doing: those of one robot are of the same minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import datetime, timezone
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

from retargeting_peers import MODES, PEERS, PeerProcess, as_urdf, environment

ROBOTS = ("five_fingers_right", "three_fingers", "shadow_right", "allegro_right", "leap_right")
PINCH = 0.005
"""Metres between a human's tips that are a pinch, and between a robot's that close it."""
REPEATS = 4
"""Of each pose: at 30 Hz one is reached over several images."""
SEED = 2027
"""Of poses on which nothing was chosen: robots' settings and the solver's weights were on those of the seeds 0, 7 and 8, and
2026 told which of them were to be chosen anew."""
NOTE = (
    "One run: each pose was given to each in turn, the others in processes of their own that this one started, with the same "
    "targets. Settings of robots and solver were chosen on poses of other seeds. Milliseconds of the processor, of one call."
)


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


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


class Ours:
    """This package's retargeter, called as the others are."""

    def __init__(self, robot: HandRetargeter) -> None:
        self._robot = robot
        self._previous: np.ndarray | None = None

    def solve(self, course: Iterable[np.ndarray]) -> tuple[list[np.ndarray], list[float]]:
        """The robot's joints (n,) of a human's (21, 3), one after the other, and the seconds of processor time of each."""
        found, seconds = [], []
        for joints in course:
            begin = time.thread_time()
            self._previous = self._robot.solve(joints, self._previous)
            seconds.append(time.thread_time() - begin)
            found.append(self._previous)
        return found, seconds


class Score:
    """What one of them makes of all poses of a robot, counted alike."""

    def __init__(self, robot: HandRetargeter) -> None:
        self._robot, self._order = robot, list(robot.config.fingers)
        self._used = [row for row, finger in enumerate(robot.config.fingers.values()) if finger.weight >= 0.5]
        self._errors: list[np.ndarray] = []
        self._gaps: list[float] = []
        self._shakes: list[float] = []
        self._collisions = self._outside = 0
        self.times: list[float] = []

    def add(self, q: np.ndarray, tips: np.ndarray, finger: str) -> None:
        """Joints (n,) where the tips were to go to (F, 3), and the thumb to a finger ("": it pinches none)."""
        robot, count = self._robot, len(self._order)
        self._outside += int((q < robot.lower - 1e-3).any() or (q > robot.upper + 1e-3).any())
        pose = robot.robot.pose(q)
        self._collisions += int(robot.robot.depth(pose) > 0)
        if not finger:
            error = np.linalg.norm(pose.points[:count] - tips, axis=1)
            self._errors.append(error[self._used] / robot.lengths.mean())
        elif finger in self._order:
            one, other = self._order.index("thumb"), self._order.index(finger)
            apart = np.linalg.norm(pose.points[one] - pose.points[other])
            self._gaps.append(float(apart - robot.radii[one] - robot.radii[other]))

    def shake(self, found: list[np.ndarray]) -> None:
        """Joints (n,) of one pose with one noise and another."""
        self._shakes.append(float(np.std(found, axis=0).mean()))

    def summary(self, human_jitter: float) -> dict[str, Any]:
        """Its numbers."""
        errors, times = np.array(self._errors), np.array(self.times) * 1e3
        return {
            "tip_error_of_reach": {"median": float(np.median(errors)), "mean": float(errors.mean())},
            "pinches": len(self._gaps),
            "pinches_closed": float(np.mean(np.array(self._gaps) < PINCH)) if self._gaps else None,
            "poses_in_collision": self._collisions,
            "poses_outside_limits": self._outside,
            "jitter_of_human": float(np.mean(self._shakes)) / human_jitter,
            "milliseconds": {"p50": float(np.median(times)), "p99": float(np.percentile(times, 99))},
        }


def compare(
    robot: HandRetargeter, hands: np.ndarray, pinched: list[str], noise: np.ndarray, python: Path | None
) -> dict[str, Any]:
    """What each makes of all hands, pose by pose in turn. python: of the others' environment, None without them."""
    solvers: dict[str, Ours | PeerProcess] = {"ours": Ours(robot)}
    problems: dict[str, Any] = {}
    with contextlib.ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory()))
        tips = as_urdf(robot, folder / "hand.urdf")
        for peer, mode in itertools.product(PEERS, MODES) if python else ():
            process = PeerProcess(python, peer, mode, folder / "hand.urdf", tips, robot.names)
            closing.callback(process.close)
            if process.problem:
                problems[f"{peer}, {mode}"] = {"problem": process.problem}
            else:
                solvers[f"{peer}, {mode}"] = process
        scores = {name: Score(robot) for name in solvers}
        human = []
        for joints, finger, shakes in zip(hands, pinched, noise):
            course = [joints] * REPEATS + [joints + shake for shake in shakes]
            targets = [robot.targets(one)[0] for one in course]
            for name, solver in solvers.items():  # the others are given where the tips are to go
                found, seconds = solver.solve(course) if isinstance(solver, Ours) else solver.solve(targets)
                scores[name].times += seconds[:REPEATS]
                scores[name].add(found[REPEATS - 1], targets[0], finger)
                scores[name].shake(found[REPEATS:])
            human.append(np.std([bends(measure(one, robot.side))[1:] for one in course[REPEATS:]], axis=0).mean())
    jitter = float(np.mean(human))
    return {**{name: score.summary(jitter) for name, score in scores.items()}, **problems}


def main(argv: list[str] | None = None) -> int:
    """Print a line a robot, and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("robots", nargs="*", default=list(ROBOTS), metavar="ROBOT")
    parser.add_argument("--poses", type=int, default=500)
    parser.add_argument("--seed", type=int, default=SEED, help="of the poses; settings were chosen with the seeds 0, 7 and 8")
    parser.add_argument("--peers", type=Path, metavar="DIR", default=Path(tempfile.gettempdir()) / "retargeting_peers")
    parser.add_argument("--alone", action="store_true", help="without the others")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    try:
        python = None if args.alone else environment(args.peers)
    except RuntimeError as error:
        parser.error(f"{error}; name by --peers one that has them, or measure --alone")
    if python is not None:  # robots out of packages that are not installed here
        sys.path.extend(map(str, args.peers.glob("lib/python*/site-packages")))
    hands, pinched = poses(args.poses, args.seed)
    noise = np.random.default_rng(args.seed + 1).normal(0.0, 0.001, (len(hands), 3, 21, 3))
    report: dict[str, Any] = {"poses": len(hands), "seed": args.seed, "note": NOTE, "began": now()}
    for name in args.robots:
        try:
            robot = load_retargeter(name, operator=OperatorRange.exact())
        except FourDHandsError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        if not isinstance(robot, HandRetargeter):
            continue
        report[name] = {"began": now(), "load_average": os.getloadavg()[0]}
        report[name] |= compare(robot, hands if robot.side == "right" else mirrored(hands), pinched, noise, python)
        print(name, json.dumps(report[name]), flush=True)
    report["ended"] = now()
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
