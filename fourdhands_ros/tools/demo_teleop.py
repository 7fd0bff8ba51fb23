"""`make demo-teleop`: a rendered person picks a cube up and sets it down, and a simulated robot does the same over DDS.

Camera, hands node, teleoperation node and simulated robot are processes of their own; this one is the operator, who holds the
deadman's switch, engages when it is ready, and says what time it is (demo_clock). Written to one folder: clip/ (what the
camera plays, and its truth), side_by_side.mp4, report.json, and a log of each process.
With --video or --camera the hand is whoever's is in it, and no cube need be lifted.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fourdhands_core.errors import DependencyError
from fourdhands_core.extras import needed_for
from fourdhands_core.hand_model.skeleton import SIDES
from fourdhands_core.media.images import side_by_side
from fourdhands_core.media.video import VideoReader, VideoWriter
from fourdhands_core.outputs import check_outputs
from fourdhands_core.simulation.outcome import cube_report
from fourdhands_core.streams import prepare_streams

from ..executable import end, parser_of
from .demo import CameraProcess, Process, check_alone, run_demo, wait_for
from .demo_operator import Operator

CUBE = 0.04
"""Metres, the side of the cube."""
PINCH = 0.03
"""Metres between thumb and finger as measured that close the robot's, for the rendered person: tracked, his 17 mm are 20 to
35, most of the left hand low in the image, where the default, 24 mm, leaves up to 30 mm between the robot's fingertips."""
OPEN = 0.055
"""Likewise that open a gripper, for the rendered person: tracked, his 80 mm are 56 to 65."""
DEPTH = 0.3
"""Share of the person's motion towards and away from the camera that the robot follows: he is seen 2 to 3.6 cm further away as
his hand closes, and five fingers then close beside the cube."""
FPS = 15.0
"""Images a second of the rendered person."""
STALE = "2.0"
"""Seconds after which the robot stops for want of news of a live camera's hand, for which nothing can wait: ten times the
node's default, as here one computer does everything."""
GRIPPED, LOST = 16.5, (18.2, 20.2)
"""Seconds after the rendered person's beginning: thumb and finger are together; the hand is not to be seen with --lose."""
BESIDE = 0.007, 0.005, np.radians(4.0)
"""Beside where the true hand would grip it, where a cube for five fingers lies: metres towards the thumb, metres across towards
the arm's middle, and radians that it is turned. Tracked, fingers close 6 mm across and 5 degrees askew (mean of 19 hands), and
the index finger sooner, which then pushes the cube to the thumb."""
LOWER = 0.04
"""Metres below where he began, to which the rendered person lifts the cube: higher, his fingers leave the image at its top, and
his pinch of 17 mm is measured up to 54 wide."""
OPERATOR = "operator.yaml"
"""What `render` writes the range of the person's fingers to."""
OUTPUTS = "side_by_side.mp4", "report.json", "motion.npz", "camera.log", "hands.log", "teleop.log", "robot.log"


def pick_of(lose: bool) -> Any:
    """The person's Pick: still for twelve seconds, until a hand is found, is steady, and has been engaged, on a busy computer
    too; then down to the cube. lose: the hand is not to be seen for LOST."""
    with needed_for("a rendered clip"):
        from fourdhands_core.media.pick_motion import Pick
    seconds = (12.0, 14.5, GRIPPED, 19.5, 22.0, 24.5, 26.0, 28.0)
    return Pick(down=0.165, seconds=seconds, lost=LOST if lose else None, lower=LOWER)


def motion_of(side: str, seed: int, lose: bool) -> Any:
    """The person's motion, a ClipMotion, of pick_of."""
    pick = pick_of(lose)
    from fourdhands_core.media.pick_motion import pick_motion

    return pick_motion(SIDES.index(side), pick, FPS, seed)


def write_range(out: Path) -> None:
    """The range of the person's fingers into out/operator.yaml."""
    from fourdhands_core.retargeting.operator_range import OperatorRange

    OperatorRange(pinch=np.array([0.0, *[PINCH] * 4]), open=np.array([0.0, *[OPEN] * 4])).write(out / OPERATOR)


def render(motion: Any, seed: int, out: Path) -> Any:
    """The RenderedClip in out/clip of that motion; out/operator.yaml gets the range of the person's fingers."""
    with needed_for("a rendered clip"):
        from fourdhands_core.media.clips import Camera, HandScene, RenderedClip
    camera = Camera.from_fov(640, 480, 64.0, calibrated=True)
    write_range(out)
    return RenderedClip.write(out / "clip", motion, HandScene(camera, seed, "indoor", tone=0.3))


def rendered(motion: Any, seed: int, out: Path, again: bool) -> Any:
    """That clip; again: the one that an earlier run left in out."""
    from fourdhands_core.media.clips import RenderedClip

    if again and (out / "clip" / "truth.npz").exists():
        write_range(out)
        return RenderedClip.read(out / "clip")
    print("rendering the person, about a minute", flush=True)
    return render(motion, seed, out)


def cube_for(tool: str, side: str, motion: Any) -> tuple[float, float, float]:
    """Where the cube has to lie for that hand: x, y, metres in the arm's base, and its turn about z, radians."""
    from fourdhands_core.media.choreography import pose_hands
    from fourdhands_core.retargeting import load_retargeter
    from fourdhands_core.retargeting.operator_range import OperatorRange
    from fourdhands_core.simulation.replay import grip_place
    from fourdhands_core.simulation.robot import SimulatedRobot

    joints = pose_hands(motion)[1][:, SIDES.index(side)]
    retargeter = load_retargeter(tool, side, OperatorRange.exact())
    x, y, turn = grip_place(SimulatedRobot(tool), retargeter, joints[round(FPS)], joints[round((GRIPPED + 0.5) * FPS)], CUBE)
    if not tool.startswith("five_fingers"):
        return x, y, turn
    along, across, askew = np.array(BESIDE) * [1.0, *[1.0 if side == "right" else -1.0] * 2]
    x, y = x + along * np.cos(turn) - across * np.sin(turn), y + along * np.sin(turn) + across * np.cos(turn)
    return float(x), float(y), float(turn + askew)


def _is_rendered(args: argparse.Namespace) -> bool:
    return args.video is None and args.camera is None


def _played(args: argparse.Namespace) -> tuple[Path, str, list[str], float | None]:
    """What is played, which is rendered here where none is given: the video or the camera's number, where the cube lies as
    simulated_robot takes it, the lens as options, and the seconds between images, None of a live camera."""
    out: Path = args.out
    period: float | None = None
    files: Sequence[Path] = ()
    if args.video is not None:
        with VideoReader(args.video) as reader:  # a file that cannot be read is told before anything is started
            files, period = reader.files, 1.0 / reader.fps
    check_outputs([out / name for name in OUTPUTS], files)
    out.mkdir(parents=True, exist_ok=True)
    if not _is_rendered(args):
        video = Path(args.video if args.video is not None else str(args.camera))
        return video, f"0.45,0,{CUBE}", ["--fov", str(args.fov)] if args.fov else [], period
    motion = motion_of(args.side, args.seed, args.lose)
    clip = rendered(motion, args.seed, out, args.again)
    x, y, turn = cube_for(args.tool, args.side, motion)
    return clip.video, f"{x:.4f},{y:.4f},{CUBE},{np.degrees(turn):.1f}", ["--intrinsics", str(clip.intrinsics)], 1.0 / FPS


def _teleop_arguments(args: argparse.Namespace, simulated: bool) -> list[str]:
    """Of the teleoperation node. simulated: its time is the demo's."""
    from fourdhands_core.simulation.tools import LOWEST

    settings = {
        "robot": args.tool,
        "side": args.side,
        "turns": "false",
        "workspace": json.dumps([0.15, -0.5, LOWEST[args.tool], 0.75, 0.5, 0.65]),
        "max_speed": "0.4",
        "scale_depth": str(DEPTH),
        "confidence_to_engage": "0.45",
        "confidence_to_hold": "0.2",
    }
    if not simulated:
        settings |= dict.fromkeys(("hand_stale", "hand_silent", "robot_stale", "deadman_stale"), STALE)
    if _is_rendered(args):
        settings["operator"] = str((args.out / OPERATOR).resolve())
    chosen = [word for name, value in settings.items() for word in ("-p", f"{name}:={value}")]
    return ["--ros-args", "-r", "__ns:=/robot", "-r", "hands:=/hands", *chosen]


def run(args: argparse.Namespace) -> dict:
    """The demo; returns the report."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    out: Path = args.out
    video, cube, lens, period = _played(args)
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(rclpy.try_shutdown)
        node = rclpy.create_node("operator")
        cleanup.callback(node.destroy_node)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        operator = Operator(node, period)
        simulated = ["--ros-args", "-p", "use_sim_time:=true"] if operator.simulated else []
        camera = CameraProcess(str(video), "--wait", "--subscribers", "1", *lens, *simulated, log=out / "camera.log")
        cleanup.callback(camera.stop)
        processes: list[Process] = [camera]
        for name, module, arguments in (
            ("hands", "fourdhands_ros", []),
            ("teleop", "fourdhands_ros.teleop.node", _teleop_arguments(args, operator.simulated)),
            ("robot", "fourdhands_ros.tools.simulated_robot", ["--tool", args.tool, "--cube", cube]),
        ):
            process = Process(module, *arguments, *simulated, log=out / f"{name}.log")
            cleanup.callback(process.stop)
            processes.append(process)
        checks = [process.check for process in processes]

        def ready() -> bool:
            operator.spin(executor)
            return "ready" in camera.said and operator.complete

        wait_for(ready, checks, pause=0.0)
        check_alone(node)
        begin = operator.now()
        camera.start()
        operator.clock.playing = True
        with contextlib.suppress(KeyboardInterrupt):
            ended: float | None = None
            while ended is None or operator.now() < ended + 2.0:
                operator.spin(executor)
                for process in processes[1:]:
                    process.check()
                if ended is None and camera.ended.is_set():
                    camera.check()
                    ended = operator.now()
                    operator.clock.playing = False
        executor.remove_node(node)
    numbers = report(operator, camera.said)
    if args.camera is None:
        write_video(out / "side_by_side.mp4", video, operator)
    told = {"targets": operator.targets, "places": operator.places, "cubes": operator.cubes}
    motion = {name: np.array([[at - begin, *place] for at, place in rows]) for name, rows in told.items()}
    np.savez(out / "motion.npz", **motion)
    (out / "report.json").write_text(json.dumps(numbers, indent=1) + "\n")
    return numbers


def report(operator: Operator, said: dict) -> dict:
    """What it came to: whether the cube was lifted and set down, ages, following error, holds, limits reached; slowed_seconds:
    on the wall, in which the demo's time waited for the computer. said: what the camera published."""
    when, cubes = np.array([at for at, _ in operator.cubes]), np.array([place for _, place in operator.cubes])
    times, places = np.array([at for at, _ in operator.places]), np.array([place for _, place in operator.places])
    ages = [said["age"] for _, said in operator.states if said["age"] is not None]
    names = [said["state"] for _, said in operator.states]
    holds = sum(1 for before, after in itertools.pairwise(names) if after == "HOLD" and before != "HOLD")
    limits = sorted({limit for _, said in operator.states for limit in said["limits"]})
    nearest = [min(int(np.searchsorted(times, at)), len(times) - 1) for at, _ in operator.targets]
    errors = [np.linalg.norm(places[k] - target) for k, (_, target) in zip(nearest, operator.targets)]
    return {
        "cube": cube_report(when, cubes, times, places, [(at, said["state"]) for at, said in operator.states]),
        "engaged": operator.engaged,
        "holds": holds,
        "states": {name: names.count(name) for name in dict.fromkeys(names)},
        "reasons_not_to_follow": dict(Counter(reason for _, said in operator.states for reason in said["reasons"])),
        "limits_reached": limits,
        "age_ms": {"median": _milli(ages, 50), "p99": _milli(ages, 99)},
        "following_error_mm": {"median": _milli(errors, 50), "p99": _milli(errors, 99)},
        "images": {
            "published": said.get("published", 0),
            "skipped": said.get("skipped", 0),
            "slowed_seconds": round(operator.clock.slowed, 1),
        },
    }


def _milli(values: list, share: float) -> float | None:
    return round(1000.0 * float(np.percentile(values, share)), 1) if len(values) else None


def write_video(path: Path, video: Path, operator: Operator) -> None:
    """The person and the robot at the same moments, side by side, at the video's rate."""
    with VideoReader(video) as reader, VideoWriter(path, reader.fps) as writer:
        for (_, image), picture in zip(reader, _pictures_at(operator)):
            writer.write(side_by_side(image, picture))


def _pictures_at(operator: Operator) -> Iterator[np.ndarray]:
    """The newest picture of the robot when each of the person's images was answered."""
    number = 0
    for at in operator.answers:
        while number + 1 < len(operator.pictures) and operator.pictures[number + 1][0] <= at:
            number += 1
        yield operator.pictures[number][1]


def main(argv: list[str] | None = None) -> int:
    """Run the demo; returns the exit code: 0, 1 where the rendered person's cube was not lifted and placed, 2, 130."""
    prepare_streams()
    parser = parser_of("tools.demo_teleop", __doc__)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--video", help="follow the hand in this video instead of the rendered person's")
    source.add_argument("--camera", type=int, help="follow the hand before this camera; Ctrl-C ends it")
    parser.add_argument("--fov", type=float, help="horizontal field of view of the video or camera, degrees")
    parser.add_argument(
        "--tool", default="gripper", choices=("gripper", "three_fingers", "five_fingers_right", "five_fingers_left")
    )
    parser.add_argument("--side", choices=SIDES, help="the hand that is followed (default: the tool's, or right)")
    parser.add_argument("--seed", type=int, default=0, help="of the rendered person")
    parser.add_argument("--lose", action="store_true", help="the rendered hand is not to be seen for two seconds in mid-lift")
    parser.add_argument(
        "--again",
        action="store_true",
        help="show the rendered person that is in --out already, of the same seed, side and --lose",
    )
    parser.add_argument("--out", type=Path, default=Path("demo_teleop_output"), help="folder for the results")
    args = parser.parse_args(argv)
    args.side = args.side or (args.tool.rpartition("_")[2] if args.tool.startswith("five") else "right")
    return run_demo(lambda: _told(args))


def _told(args: argparse.Namespace) -> int:
    try:
        with needed_for("the demo of teleoperation", "robot"):
            numbers = run(args)
    except ImportError as error:
        raise DependencyError(f"the demo needs ROS 2 and MuJoCo, and {error.name} is not installed: `make install`") from error
    print(json.dumps(numbers, indent=1))
    print(f"\nwritten to {args.out}: {', '.join(OUTPUTS)}")
    return 0 if numbers["cube"]["placed"] or not _is_rendered(args) else 1


if __name__ == "__main__":
    end(main())
