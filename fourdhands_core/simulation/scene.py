"""The simulated scene: an arm of seven joints on a table, a hand or gripper at its end, cubes before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..retargeting.config import ROBOTS
from ..retargeting.model import load_spec
from .tools import Tool, load_tool, take_options

HOME = np.array([0.0, 0.42, 0.0, 1.85, 0.0, 0.8716, 0.0])
"""Joints of the arm, radians: the tool points down, over the table before the arm."""
HAND = "hand/"
"""Before the names of the hand's bodies and joints in the scene."""
TIMESTEP = 0.002


@dataclass(frozen=True)
class Cube:
    """One cube on the table: its middle's x and y, metres in the arm's base frame; side, metres; turn about z, radians."""

    x: float
    y: float
    side: float = 0.04
    turn: float = 0.0
    colour: tuple[float, float, float] = (0.85, 0.30, 0.22)


def build(name: str | Path, cubes: Sequence[Cube]) -> tuple[Any, Tool]:
    """The compiled scene (mujoco.MjModel) with that hand or gripper, a name or a YAML file, and what describes it.

    The arm's base is the world's origin on the table's top, x away from it, z up. Raises InputError.
    """
    tool = load_tool(name)
    spec = load_spec(ROBOTS / "arm.xml")
    spec.option.timestep = TIMESTEP
    spec.option.noslip_iterations = 10  # else what is held creeps out of the fingers within seconds
    flange = spec.site("flange")
    turn = np.roll(tool.quaternion, 1)  # MuJoCo has w first
    wrist = flange.parent.add_site(name="wrist", pos=flange.pos + tool.position, quat=turn)
    take_options(tool.spec, spec)
    spec.attach(tool.spec, site=wrist, prefix=HAND)
    import mujoco

    # the arm's own default is to touch nothing; MuJoCo takes the larger friction of two that touch
    box = {"type": mujoco.mjtGeom.mjGEOM_BOX, "contype": 1, "conaffinity": 1, "friction": [1.0, 0.005, 1e-4]}
    spec.worldbody.add_geom(name="table", **box, size=[0.6, 0.75, 0.02], pos=[0.35, 0.0, -0.02], rgba=[0.62, 0.52, 0.42, 1.0])
    for number, cube in enumerate(cubes):
        half = cube.side / 2.0
        body = spec.worldbody.add_body(
            name=f"cube_{number}", pos=[cube.x, cube.y, half], quat=[np.cos(cube.turn / 2.0), 0.0, 0.0, np.sin(cube.turn / 2.0)]
        )
        body.add_freejoint()
        shape = {"size": [half] * 3, "density": 600.0, "rgba": [*cube.colour, 1.0], "condim": 4}
        body.add_geom(name=f"cube_{number}", **box, **shape)
    try:
        return spec.compile(), tool
    except ValueError as error:
        raise InputError(f"the simulated arm cannot carry {name} ({' '.join(str(error).split())})") from error
