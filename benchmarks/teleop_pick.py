"""A rendered person picks a cube up and sets it down, seed by seed, and robots do the same:

python benchmarks/teleop_pick.py --out benchmarks/teleop_pick.json [--dds] [--lose] [--seeds 0 1 2] [--tools gripper ...]

Without --dds it is done by parts, one after the other, so that it does not matter how busy the computer is: the person is
rendered and tracked, and teleoperation's steps lead the simulated robot at the images' own times. With --dds each seed is
`make demo-teleop`: camera, hands node, teleoperation node and robot are processes. What is in the file is not done again;
rendered and tracked clips are kept in --work.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fourdhands_core.geometry.camera_source import CameraSource
from fourdhands_core.media.choreography import ClipMotion
from fourdhands_core.media.hands_file import read_hands
from fourdhands_core.media.track_video import track_video
from fourdhands_core.pipeline.tracker import HandPairTracker, TrackerSettings
from fourdhands_core.retargeting import load_retargeter
from fourdhands_core.simulation.outcome import cube_report
from fourdhands_core.simulation.replay import Track, replay, replay_settings
from fourdhands_core.simulation.robot import SimulatedRobot
from fourdhands_core.simulation.scene import Cube
from fourdhands_core.teleop import STATE_NAMES
from fourdhands_ros.tools.demo_teleop import CUBE, DEPTH, FPS, OPERATOR, cube_for, motion_of, render, write_range

TOOLS = "gripper", "gripper_left", "five_fingers_right", "five_fingers_left"
"""As --tools takes them: a tool of the demo, and after a gripper the side of the hand that leads it (right by default)."""
KEYS = "stamp", "valid", "joints", "wrist_rotation"
WAITED = 7.0
"""Seconds of the person's waiting in the beginning that are not needed where nothing has to start."""


def hands(side: str, seed: int, lose: bool, folder: Path) -> tuple[ClipMotion, dict[str, np.ndarray]]:
    """The person's motion, and the arrays of what the tracker sees of it from WAITED on, rendered and tracked where the folder
    has it not."""
    motion = motion_of(side, seed, lose)
    found = folder / "tracked" / "hands.npz"
    if not found.exists():
        folder.mkdir(parents=True, exist_ok=True)
        frames = {name: getattr(motion, name)[round(WAITED * FPS) :] for name in vars(motion) if name != "betas"}
        clip = render(replace(motion, **frames), seed, folder)
        tracker = HandPairTracker(TrackerSettings())
        try:
            track_video(clip.video, found.parent, tracker, CameraSource(65.0, intrinsics=clip.intrinsics), progress=False)
        finally:
            tracker.close()
    write_range(folder)
    return motion, read_hands(found, KEYS)


def by_parts(tool: str, side: str, seed: int, lose: bool, work: Path) -> dict[str, Any]:
    """What became of the cube."""
    folder = work / f"parts_{side}_{seed}{'_lost' * lose}"
    motion, arrays = hands(side, seed, lose, folder)
    x, y, turn = cube_for(tool, side, motion)
    robot = SimulatedRobot(tool, [Cube(x, y, CUBE, turn=turn)])
    retargeter = load_retargeter(tool, side, folder / OPERATOR)
    track = Track.of_arrays(arrays, side)
    settings = replace(replay_settings(robot, retargeter, track), max_speed=0.4, confidence_to_engage=0.45, scale_depth=DEPTH)
    cubes: list[np.ndarray] = []
    log = replay(track, robot, retargeter, settings, lambda _: cubes.append(robot.cube_positions()[0].copy()))
    arrays = log.arrays()
    states = [(at, str(name)) for at, name in zip(log.times, log.states)]
    assert set(log.states) <= set(STATE_NAMES)
    return cube_report(track.stamp, np.array(cubes), arrays["time"], arrays["ee"][:, :3], states)


def over_dds(tool: str, side: str, seed: int, lose: bool, work: Path) -> dict[str, Any]:
    """The demo's report."""
    folder, out = (work / f"{kind}{side}_{seed}{'_lost' * lose}" for kind in ("", f"dds_{tool}_"))
    clip = folder / "clip"
    if not (clip / "truth.npz").exists():
        render(motion_of(side, seed, lose), seed, folder)
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "clip").exists():
        (out / "clip").symlink_to(clip.resolve())
    command = [sys.executable, "-m", "fourdhands_ros.tools.demo_teleop", "--tool", tool, "--side", side, "--seed", str(seed)]
    done = subprocess.run(
        [*command, *["--lose"] * lose, "--again", "--out", str(out)], capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):
        return {"problem": done.stderr.strip().splitlines()[-1:]}
    report = json.loads((out / "report.json").read_text())
    return {**report.pop("cube"), **report}


def summary(runs: dict[str, dict[str, Any]]) -> dict[str, str]:
    """By kind of run, how many of how many lifted, placed, and, where the hand was lost, held."""
    lines = {}
    for kind in sorted({name.rpartition(" seed ")[0] for name in runs}):
        rows = [row for name, row in runs.items() if name.startswith(f"{kind} seed ")]
        words = [f"{what} {sum(bool(row.get(what)) for row in rows)}" for what in ("lifted", "placed", "held")]
        lines[kind] = f"{', '.join(words if 'lost' in kind else words[:2])} of {len(rows)}"
    return lines


def main() -> int:
    """Run what is not in the file yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", nargs="*", default=list(TOOLS), choices=TOOLS)
    parser.add_argument("--seeds", nargs="*", type=int, default=list(range(10)))
    parser.add_argument("--lose", action="store_true", help="the hand is not to be seen for two seconds in mid-lift")
    parser.add_argument("--dds", action="store_true", help="all nodes, over DDS")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "teleop_pick")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    kept: dict[str, Any] = json.loads(args.out.read_text()) if args.out.exists() else {"summary": {}, "runs": {}}
    for seed in args.seeds:
        for name in args.tools:
            side = "left" if name.endswith("left") else "right"
            tool = name.removesuffix("_left") if name.startswith("gripper") else name
            how = f"{'over DDS' if args.dds else 'by parts'}, {tool}, {side} hand{', lost for 2 s' * args.lose}"
            key = f"{how} seed {seed}"
            if key in kept["runs"]:
                continue
            kept["runs"][key] = (over_dds if args.dds else by_parts)(tool, side, seed, args.lose, args.work)
            kept["summary"] = summary(kept["runs"])
            args.out.write_text(json.dumps(kept, indent=1) + "\n")
            print(key, kept["runs"][key], flush=True)
    print(json.dumps(kept["summary"], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
