"""`fourdhands retarget`: whether a robot hand's description fits, and the range of one operator's fingers."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import InputError
from . import FILE, Commands, add_command, check_out, path, refuse_options

_SHOWN = {"open": "the open hand", "fist": "the fist", "pinch": "the pinch"}
_MEANS_NOTHING = {"list": ("out", "side", *_SHOWN), "check": (*_SHOWN,), "calibrate": ()}


def add(commands: Commands) -> None:
    """Its arguments."""
    command = add_command(
        commands, "retarget", retarget, "check how a robot hand follows a human's, or calibrate an operator's fingers", "robot"
    )
    command.add_argument("--check", metavar="ROBOT", help="a robot's name, or the YAML file that describes one")
    command.add_argument("--list", action="store_true", help="list the robots that come with the package")
    command.add_argument("--side", choices=("left", "right"), help="of the human hand, where the robot follows either")
    command.add_argument(
        "--calibrate", type=path, metavar="NPZ", help="hands.npz of `fourdhands track` with an open hand, a fist, a pinch"
    )
    for what, shown in _SHOWN.items():
        command.add_argument(f"--{what}", metavar="FROM:TO", help=f"seconds of the recording that show {shown}")
    command.add_argument("--out", **FILE, help="picture (default retarget.png), or calibration (default operator.yaml)")


def retarget(args: argparse.Namespace) -> int:
    """Check a robot, or calibrate an operator."""
    asked = [name for name in _MEANS_NOTHING if getattr(args, name)]
    if len(asked) != 1:
        raise InputError("name one thing to do: --check ROBOT, --calibrate NPZ, or --list")
    refuse_options(args, _MEANS_NOTHING[asked[0]], f"retarget --{asked[0]}")
    if args.list:
        from ..retargeting import robot_names

        print("\n".join(robot_names()))
        return 0
    return _check(args) if args.check is not None else _calibrate(args)


def _check(args: argparse.Namespace) -> int:
    """Draw ten poses and print what fits badly; 0 whether or not something does."""
    from ..media.images import write_image
    from ..media.retarget_sheet import check_sheet
    from ..retargeting import load_retargeter
    from ..retargeting.check import check

    out = args.out or Path("retarget.png")
    check_out(args, [out], args.check)
    robot = load_retargeter(args.check, args.side)
    fits, complaints = check(robot)
    write_image(out, check_sheet(robot, fits))
    count = len(robot.names)
    print(f"{robot.side} hand, {count} joint{'s' * (count > 1)}: {', '.join(robot.names)}")
    print("\n".join(complaints) if complaints else "everything fits")
    print(f"ten poses drawn in {out}")
    return 0


def _calibrate(args: argparse.Namespace) -> int:
    """Write the operator's range out of three parts of a recording."""

    from ..media.hands_file import read_hands
    from ..retargeting.operator_range import OperatorRange

    out = args.out or Path("operator.yaml")
    check_out(args, [out], args.calibrate)
    side = args.side or "right"
    arrays = read_hands(args.calibrate, ("stamp", "joints"))
    stamp, joints = arrays["stamp"] * 1e-9, arrays["joints"][:, ("left", "right").index(side)]
    seconds = stamp - stamp[0]
    parts = []
    for what in _SHOWN:
        if (text := getattr(args, what)) is None:
            raise InputError(f"--{what} FROM:TO is missing: the seconds of the recording that show {_SHOWN[what]}")
        begin, end = _seconds(what, text)
        if begin > seconds[-1]:
            raise InputError(f"--{what} {text}: {args.calibrate} is {seconds[-1]:.2f} s long; give a part of it")
        parts.append(joints[(seconds >= begin) & (seconds <= end)])
    found = OperatorRange.of_recordings(parts[0], parts[1], parts[2], side)
    out.parent.mkdir(parents=True, exist_ok=True)
    found.write(out)
    gain = found.gain[1:, :2].mean(axis=0)
    print(f"bends are measured as {gain[0]:.2f} (knuckles) and {gain[1]:.2f} (middle joints) of the truth; written to {out}")
    return 0


def _seconds(what: str, text: str) -> tuple[float, float]:
    begin, _, end = text.partition(":")
    try:
        values = float(begin), float(end)
    except ValueError as error:
        raise InputError(f"--{what} {text} is no FROM:TO in seconds; write it as 1.5:3") from error
    if not 0.0 <= values[0] < values[1]:
        raise InputError(f"--{what} {text} is no stretch of time; write it as 1.5:3")
    return values
