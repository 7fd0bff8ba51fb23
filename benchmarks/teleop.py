"""From image to a robot's command, and what stops it: `python benchmarks/teleop.py VIDEO [--out benchmarks/teleop.json]`.

Camera (a looped video at 30 Hz), hands node, teleoperation node and a stand-in for the robot, which is at once where it is told
to be, are processes of their own on this computer; this one is the operator. First it follows for a while, with the node's
defaults (but for --set); then each fault comes in mid-motion, `--repeats` times. The standstill is from a fault to the stamp of
the last command that moved; none may move afterwards, until somebody engages. About four minutes; for an idle computer, and a
ROS domain that nobody else uses (ROS_DOMAIN_ID). In two_hands.mp4 the hand moves all the time.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from fourdhands_core.errors import FourDHandsError, InputError
from fourdhands_core.retargeting import load_retargeter
from fourdhands_ros.pypi.message_types import HandPair
from fourdhands_ros.tools.benchmark import camera_clip
from fourdhands_ros.tools.demo import CameraProcess, Process, check_alone, configure_dds, wait_for

REPOSITORY = Path(__file__).resolve().parents[1]
STILL = 1e-7
"""Metres, and halves of radians, by which a command may differ from the one before and rest."""
WITHIN = 0.002
"""Seconds that a period of the commands may be off."""
MOVING = 0.02
"""m/s, and halves of rad/s, that it moves with when a fault comes."""
PATIENCE = 40.0
"""Seconds to wait for the hand in the video to be engaged and to move, or to be ready again after a fault."""
LONGEST = 200.0
"""Seconds after which no fault is repeated."""
AIMS = {"image_to_command_p50_ms": 60.0, "image_to_command_p99_ms": 120.0, "periods_within_2_ms": 0.99, "standstill_s": 0.25}


class Operator:
    """This process: holds the deadman's switch, engages when it is ready, keeps all that is told."""

    def __init__(self, node: Any) -> None:
        self.node, self.executor = node, SingleThreadedExecutor()
        self.executor.add_node(node)
        self.commands: list[tuple[float, float, np.ndarray]] = []
        self.states: list[tuple[float, dict[str, Any]]] = []
        self.hands: list[float] = []
        self.holds, self.engages = True, True
        self._asked = 0.0
        self.deadman = node.create_publisher(Bool, "/hands_teleop/deadman", 10)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.estop = node.create_publisher(Bool, "/hands_teleop/estop", latched)
        self.clients = {name: node.create_client(Trigger, f"/hands_teleop/{name}") for name in ("engage", "reset")}
        node.create_subscription(PoseStamped, "target_frame", self._on_command, 100)
        node.create_subscription(String, "/hands_teleop/state", self._on_state, 100)
        node.create_subscription(HandPair, "hands", self._on_hands, qos_profile_sensor_data, raw=True)
        node.create_timer(0.02, self._hold)

    def _hold(self) -> None:
        if self.holds:
            self.deadman.publish(Bool(data=True))

    def _on_command(self, message: PoseStamped) -> None:
        stamp, place, turn = message.header.stamp, message.pose.position, message.pose.orientation
        pose = np.array([place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w])
        self.commands.append((stamp.sec + stamp.nanosec * 1e-9, time.time(), pose))

    def _on_hands(self, data: bytes) -> None:
        sec, nanosec = np.frombuffer(data, "<u4", 2, 4)  # CDR begins with the header's stamp
        self.hands.append(time.time() - (int(sec) + int(nanosec) * 1e-9))

    def _on_state(self, message: String) -> None:
        said = json.loads(message.data)
        self.states.append((time.time(), said))
        if self.engages and said["state"] == "READY" and time.monotonic() - self._asked > 0.3:
            self._asked = time.monotonic()
            self.clients["engage"].call_async(Trigger.Request())

    def spin(self, seconds: float) -> None:
        """Listen for so long."""
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0.0:
            self.executor.spin_once(timeout_sec=rest)

    def until(self, condition: Callable[[], bool], checks: list[Callable[[], None]], what: str) -> None:
        """Listen until a condition holds. Raises InputError where it does not come to be, and what the checks raise."""
        end = time.monotonic() + PATIENCE
        while not condition():
            self.executor.spin_once(timeout_sec=0.05)
            for check in checks:
                check()
            if time.monotonic() > end:
                said = self.states[-1][1] if self.states else {}
                words = f"{said.get('state')}: {', '.join(said.get('reasons', []))}"
                raise InputError(f"{what} was not so within {PATIENCE:.0f} s; ~/state said {words}")

    @property
    def speed(self) -> float:
        """Of the pose over the last ten commands, m/s and half of rad/s; 0 where they are older."""
        last = self.commands[-11:]
        if len(last) < 11 or time.time() - last[-1][1] > 0.1:
            return 0.0
        return float(np.linalg.norm(last[-1][2] - last[0][2]) / max(last[-1][0] - last[0][0], 0.05))

    @property
    def state(self) -> str:
        """The last that was said, or "" where that is old."""
        return str(self.states[-1][1]["state"]) if self.states and time.time() - self.states[-1][0] < 0.5 else ""


class Bench:
    """The processes, which faults kill and which are started again."""

    def __init__(self, operator: Operator, video: Path, folder: Path, hand: str, others: list[str], cleanup: ExitStack) -> None:
        self.operator, self._folder, self._cleanup = operator, folder, cleanup
        self._parameters = [word for one in (f"robot:={hand}", *others) for word in ("-p", one)]
        self._names = list(load_retargeter(hand).names)
        self.camera = CameraProcess(
            str(video), "--fov", "65", "--subscribers", "1", "--loop", "--wait", log=folder / "camera.log"
        )
        cleanup.callback(self.camera.stop)
        self.processes: dict[str, Any] = {}
        for name in ("hands", "teleop", "robot"):
            self.start(name)

    def start(self, name: str) -> None:
        """Start one of hands, teleop and robot."""
        log = self._folder / f"{name}_{len(list(self._folder.glob(name + '_*.log')))}.log"
        if name == "hands":
            process = Process("fourdhands_ros", log=log)
        elif name == "teleop":
            process = Process("fourdhands_ros.teleop.node", "--ros-args", *self._parameters, log=log)
        else:
            process = Process("benchmarks.teleop_robot", *self._names, log=log, cwd=REPOSITORY)
        self.processes[name] = process
        self._cleanup.callback(process.stop)

    def pid(self, name: str) -> int:
        """Of a process."""
        return int(self.processes[name].process.pid)

    def kill(self, name: str) -> None:
        """As the kernel does when memory is short."""
        os.kill(self.pid(name), signal.SIGKILL)
        self.processes[name].process.wait()

    def checks(self) -> list[Callable[[], None]]:
        """What raises where a process has ended by itself."""
        return [self.camera.check, *(process.check for process in self.processes.values())]


def faults(bench: Bench) -> dict[str, tuple[Callable[[], None], Callable[[], None]]]:
    """By name what is done and how it is undone."""
    operator, made = bench.operator, []

    def killed(name: str) -> tuple[Callable[[], None], Callable[[], None]]:
        return lambda: bench.kill(name), lambda: bench.start(name)

    def hold(holds: bool, say: bool) -> None:
        operator.holds = holds
        if say:
            operator.deadman.publish(Bool(data=holds))

    def reset() -> None:
        operator.estop.publish(Bool(data=False))
        operator.spin(0.5)
        operator.clients["reset"].call_async(Trigger.Request())

    return {
        "kill -9 of the hands node": killed("hands"),
        "kill -9 of the teleoperation node": killed("teleop"),
        "kill -9 of the robot": killed("robot"),
        "hands node stopped (SIGSTOP, as a paused network)": (
            lambda: os.kill(bench.pid("hands"), signal.SIGSTOP),
            lambda: os.kill(bench.pid("hands"), signal.SIGCONT),
        ),
        "deadman's switch released": (lambda: hold(False, True), lambda: hold(True, True)),
        "deadman's switch silent": (lambda: hold(False, False), lambda: hold(True, True)),
        "two operators": (
            lambda: made.append(operator.node.create_publisher(HandPair, "hands", 10)),
            lambda: operator.node.destroy_publisher(made.pop()) and None,
        ),
        "~/estop": (lambda: operator.estop.publish(Bool(data=True)), reset),
    }


def moved_at(commands: list[tuple[float, float, np.ndarray]]) -> list[float]:
    """Stamps of the commands that differ from the one before."""
    return [after[0] for before, after in pairwise(commands) if float(np.abs(after[2] - before[2]).max()) > STILL]


def stop_by(bench: Bench, act: Callable[[], None], undo: Callable[[], None]) -> dict[str, Any]:
    """One fault in mid-motion: seconds to standstill, speed before it, commands that moved after it had been undone, the state
    it led to."""
    operator = bench.operator
    operator.engages = True
    operator.until(
        lambda: operator.state in ("RAMP", "ENGAGED") and operator.speed > MOVING,
        bench.checks(),
        "the robot following a hand that moves",
    )
    operator.engages = False
    speed, begin = operator.speed, time.time()
    first = len(operator.commands) - 1
    act()
    operator.spin(1.0)
    stamps = [stamp for stamp in moved_at(operator.commands[first:]) if stamp > begin]
    state = operator.state
    rested = len(operator.commands)
    undo()
    operator.until(lambda: operator.state == "READY", bench.checks(), "being ready again after a fault")
    operator.spin(1.0)
    result = {
        "standstill_s": round(max([stamp - begin for stamp in stamps], default=0.0), 4),
        "speed_before": round(speed, 3),
        "moved_afterwards": len(moved_at(operator.commands[max(rested - 1, 0) :])),
        "state": state,
    }
    return result


def following(operator: Operator, seconds: float) -> dict[str, Any]:
    """How long it takes from an image to a command, and how regular the commands are."""
    operator.commands.clear()
    operator.states.clear()
    operator.hands.clear()
    operator.spin(seconds)
    latencies = [one for _, said in operator.states for one in said["image_to_command"]]
    stamps = np.array([stamp for stamp, _, _ in operator.commands])
    silent = np.array([said["stamp"] * 1e-9 for _, said in operator.states if said["state"] in ("IDLE", "READY")])
    periods = np.diff(stamps)
    if len(silent):  # between these two commands there were to be none
        periods = periods[np.searchsorted(silent, stamps[:-1]) == np.searchsorted(silent, stamps[1:])]
    names = [said["state"] for _, said in operator.states]
    return {
        "seconds": seconds,
        "images_followed": len(latencies),
        "following": round(sum(name in ("RAMP", "ENGAGED") for name in names) / max(len(names), 1), 3),
        "image_to_hands_ms": milliseconds(operator.hands),
        "image_to_command_ms": milliseconds(latencies),
        "command_to_robot_ms": milliseconds([came - stamp for stamp, came, _ in operator.commands]),
        "commands": {
            "count": len(stamps),
            "period_ms": milliseconds(periods),
            "within_2_ms": round(float((np.abs(periods - 0.01) <= WITHIN).mean()), 4) if len(periods) else None,
        },
    }


def milliseconds(seconds: Any) -> dict[str, float] | None:
    """p50, p99 and the most, in milliseconds."""
    if not len(seconds):
        return None
    values = 1000.0 * np.asarray(seconds)
    return {
        "p50": round(float(np.median(values)), 2),
        "p99": round(float(np.percentile(values, 99)), 2),
        "most": round(float(values.max()), 2),
    }


def run(video: Path, hand: str, seconds: float, repeats: int, others: list[str]) -> dict[str, Any]:
    """All of it."""
    begun = time.monotonic()
    configure_dds(os.environ)
    folder = Path(tempfile.mkdtemp())
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    with ExitStack() as cleanup:
        cleanup.callback(rclpy.try_shutdown)
        node = rclpy.create_node("operator")
        cleanup.callback(node.destroy_node)
        check_alone(node)
        operator = Operator(node)
        bench = Bench(operator, camera_clip(video, folder), folder, hand, others, cleanup)

        def ready() -> bool:
            operator.spin(0.05)
            return "ready" in bench.camera.said and bool(operator.states)

        wait_for(ready, bench.checks(), pause=0.0)
        bench.camera.start()
        operator.until(lambda: operator.state == "ENGAGED", bench.checks(), "the robot following the hand in the video")
        operator.spin(3.0)
        result: dict[str, Any] = {
            "video": video.name,
            "hand": hand,
            "other_parameters": others,
            "cores": os.cpu_count(),
            "aims": AIMS,
            "following": following(operator, seconds),
            "faults": {},
        }
        for name, (act, undo) in faults(bench).items():
            print(f"{time.monotonic() - begun:5.0f} s: {name}", file=sys.stderr, flush=True)
            tried: list[dict[str, Any]] = []
            problem = ""
            while not problem and len(tried) < repeats and (not tried or time.monotonic() - begun < LONGEST):
                try:
                    tried.append(stop_by(bench, act, undo))
                except InputError as error:
                    problem = str(error)
            result["faults"][name] = {
                "standstill_s": [one["standstill_s"] for one in tried],
                "moved_afterwards": sum(one["moved_afterwards"] for one in tried),
                "speed_before": [one["speed_before"] for one in tried],
                "states": sorted({one["state"] for one in tried}),
                **({"problem": problem} if problem else {}),
            }
        result["seconds"] = round(time.monotonic() - begun)
        result["load_at_the_end"] = os.getloadavg()[0]
    return result


def table(result: dict[str, Any]) -> str:
    """The result for people."""
    followed = result["following"]
    lines = [f"{'':52} {'p50':>8} {'p99':>8} {'most':>8}"]
    rows = [(name, followed[key]) for name, key in (
        ("image to HandPair here, ms", "image_to_hands_ms"),
        ("image to command, ms (aim: 60, 120)", "image_to_command_ms"),
        ("command to robot, ms", "command_to_robot_ms"),
    )]  # fmt: skip
    rows.append(("period of the commands, ms", followed["commands"]["period_ms"]))
    lines += [
        f"{name:52} {values['p50']:8.1f} {values['p99']:8.1f} {values['most']:8.1f}"
        for name, values in rows
        if values is not None
    ]
    within = followed["commands"]["within_2_ms"]
    lines.append(f"{'periods of 10 ms +- 2 ms (aim: 0.99)':52} {within if within is not None else '-':>8}")
    lines.append(f"{'followed, of the time':52} {followed['following']:8.2f}")
    lines.append(f"\n{'standstill after (aim: 0.25 s)':52} {'most, s':>8} {'moved afterwards':>17}")
    lines += [
        f"{name:52} {max(one['standstill_s'], default=float('nan')):8.3f} {one['moved_afterwards']:17d}"
        + (f"   {one['problem'][:60]}" if "problem" in one else "")
        for name, one in result["faults"].items()
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path, help="of a right hand that moves; its first 10 s are looped")
    parser.add_argument("--hand", default="gripper", help="the robot's, by a name of retargeting (default: gripper)")
    parser.add_argument("--seconds", type=float, default=45.0, help="of following (default: 45)")
    parser.add_argument("--repeats", type=int, default=3, help="of each fault (default: 3)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME:=VALUE", help="a parameter of hands_teleop; may be repeated"
    )
    parser.add_argument("--out", type=Path, help="also write the JSON to this file")
    args = parser.parse_args()
    try:
        result = run(args.video, args.hand, args.seconds, args.repeats, args.set)
    except FourDHandsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(result))
    if args.out is not None:
        args.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
