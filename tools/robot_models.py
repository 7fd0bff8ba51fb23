"""Makes the robots that the package ships, of boxes, capsules and spheres alone, and writes their MJCF files.

    python tools/robot_models.py [FOLDER]

A new one of them is also named in `docs/retargeting.md`, `benchmarks/retargeting.py: ROBOTS`, `--tool` of
`fourdhands_ros/tools/demo_teleop.py`, `benchmarks/teleop_pick.py: TOOLS` and `test/test_retargeting.py: OURS`; one of a
package that is installed, a YAML file, in the first two, and the package in `INSTALLED` of `benchmarks/retargeting_peers.py`.
The simulated arm carries it by `LOWEST` of `simulation/tools.py`; what teleop.launch.py takes by default is `robot` of
`fourdhands_ros/teleop/parameters.py`, with `config/teleop.yaml`; nodes of `test/ros/teleop_support.py` have no hand. Files of
another ending go into `package_data` of setup.py.

Hands: z along the fingers, x out of the palm, y towards a right hand's thumb; a left hand is its mirror image in y. The
result is the same to the last byte at every run.
"""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "fourdhands_core" / "retargeting" / "robots"
# Of plastic links and rubber pads; what turns in a pad of a few millimetres is held by 5 mm times the force.
_DEFAULTS = """  <default>
    <joint damping="{damping}" armature="{armature}" frictionloss="0.005" solreflimit="0.004 1"/>
    <geom friction="0.8 0.005 0.0001" condim="4" solref="0.008 1" density="600" rgba="0.82 0.84 0.87 1"/>
    <position kp="{kp}" kv="{kv}" forcerange="-{force} {force}"/>
    <default class="tip"><geom rgba="0.22 0.24 0.28 1" friction="1.2 0.005 0.0001" condim="6"/></default>
  </default>
"""


def _numbers(*values: float) -> str:
    return " ".join(f"{value:.6g}" if value else "0" for value in values)


class _Hand:
    """The lines of a hand's bodies, with their joints; `s` is 1 for a right hand and -1 for its mirror image."""

    def __init__(self, name: str, s: int):
        self.name, self.s = name, s
        self.lines: list[str] = []
        self.joints: list[str] = []
        self.coupled: list[tuple[str, str, float]] = []
        self.beside_palm: list[str] = []
        self._depth = 2

    def write(self, line: str) -> None:
        self.lines.append("  " * self._depth + line)

    def place(self, x: float, y: float, z: float) -> str:
        return _numbers(x, self.s * y, z)

    def axis(self, x: float, y: float, z: float) -> str:
        """A turn's axis, mirrored so that the same angle is the mirrored turn."""
        return _numbers(self.s * x, y, self.s * z)

    def begin(self, name: str, at: tuple[float, float, float]) -> None:
        self.write(f'<body name="{name}" pos="{self.place(*at)}" gravcomp="1">')
        self._depth += 1

    def end(self, levels: int = 1) -> None:
        for _ in range(levels):
            self._depth -= 1
            self.write("</body>")

    def joint(self, name: str, axis: tuple[float, float, float], low: float, high: float, of: str = "", ratio: float = 0.0):
        """A hinge, degrees; coupled to the joint `of` where one is named."""
        self.write(f'<joint name="{name}" axis="{self.axis(*axis)}" range="{low:g} {high:g}"/>')
        if of:
            self.coupled.append((name, of, ratio))
        else:
            self.joints.append(name)

    def link(self, to: tuple[float, float, float], radius: float, kind: str = "") -> None:
        self.write(f'<geom type="capsule" fromto="0 0 0 {self.place(*to)}" size="{radius:g}"{kind}/>')

    def tip(self, finger: str, at: tuple[float, float, float], radius: float) -> None:
        """The last link and its tip: a site in the middle of the sphere at its end."""
        self.link(at, radius, ' class="tip"')
        self.write(f'<site name="{finger}_tip" pos="{self.place(*at)}" size="{radius:g}" rgba="0 0 0 0"/>')

    def beside(self, body: str) -> None:
        """This link turns in the palm, and never collides with it."""
        self.beside_palm.append(body)

    def document(self, kp: float, force: float) -> str:
        coupled = "".join(
            f'    <joint joint1="{one}" joint2="{other}" polycoef="0 {ratio:g} 0 0 0" solref="0.005 1"/>\n'
            for one, other, ratio in self.coupled
        )
        motors = "".join(f'    <position name="{name}" joint="{name}" inheritrange="1"/>\n' for name in self.joints)
        beside = "".join(f'    <exclude body1="palm" body2="{body}"/>\n' for body in self.beside_palm)
        return (
            f'<mujoco model="{self.name}">\n  <compiler angle="degree" autolimits="true"/>\n'
            '  <option integrator="implicitfast" cone="elliptic" impratio="10"/>\n'
            + _DEFAULTS.format(damping=0.02, armature=0.0005, kp=kp, kv=0.05, force=force)
            + "  <worldbody>\n"
            + "\n".join(self.lines)
            + f"\n  </worldbody>\n  <equality>\n{coupled}  </equality>\n  <contact>\n{beside}  </contact>\n"
            + f"  <actuator>\n{motors}  </actuator>\n</mujoco>\n"
        )


_FINGERS = (
    ("index", (0.0, 0.032, 0.092), 1.0),
    ("middle", (0.0, 0.010, 0.096), 1.08),
    ("ring", (0.0, -0.012, 0.092), 1.0),
    ("little", (0.0, -0.033, 0.084), 0.90),
)


def five_fingers(s: int) -> str:
    """A hand like a human's: 16 joints that move by themselves and 4 last ones of fingers that follow."""
    hand = _Hand(f"five_fingers_{'right' if s > 0 else 'left'}", s)
    hand.begin("palm", (0.0, 0.0, 0.0))
    hand.write(f'<geom type="box" pos="{hand.place(0, -0.001, 0.045)}" size="0.011 0.040 0.038"/>')
    hand.write('<geom type="capsule" fromto="0 0 -0.02 0 0 0.01" size="0.024" rgba="0.22 0.24 0.28 1"/>')
    for finger, base, length in _FINGERS:
        first, second, third = (length * part for part in (0.045, 0.027, 0.022))
        hand.begin(f"{finger}_knuckle", base)
        hand.joint(f"{finger}_spread", (-1, 0, 0), -20, 25)
        hand.write('<geom type="sphere" size="0.0085" density="300" contype="0" conaffinity="0"/>')
        hand.begin(f"{finger}_proximal", (0, 0, 0))
        hand.beside(f"{finger}_proximal")
        hand.joint(f"{finger}_knuckle_bend", (0, 1, 0), -15, 95)
        hand.link((0, 0, first), 0.0085)
        hand.begin(f"{finger}_middle", (0, 0, first))
        hand.joint(f"{finger}_middle_bend", (0, 1, 0), 0, 105)
        hand.link((0, 0, second), 0.0082)
        hand.begin(f"{finger}_distal", (0, 0, second))
        hand.joint(f"{finger}_last_bend", (0, 1, 0), 0, 75, f"{finger}_middle_bend", 0.7)
        hand.tip(finger, (0, 0, third), 0.008)
        hand.end(4)
    hand.begin("thumb_base", (0.010, 0.024, 0.026))
    hand.joint("thumb_turn", (0, 0, -1), -10, 135)
    hand.write('<geom type="sphere" size="0.012" density="300" contype="0" conaffinity="0"/>')
    hand.begin("thumb_metacarpal", (0, 0, 0))
    hand.beside("thumb_metacarpal")
    hand.joint("thumb_base_bend", (1, 0, 0), -30, 55)
    hand.link((0, 0.034, 0.034), 0.0105)
    hand.begin("thumb_proximal", (0, 0.034, 0.034))
    hand.joint("thumb_middle_bend", (1, 0, 0), -10, 70)
    hand.link((0, 0.024, 0.026), 0.0095)
    hand.begin("thumb_distal", (0, 0.024, 0.026))
    hand.joint("thumb_last_bend", (1, 0, 0), -10, 80)
    hand.tip("thumb", (0, 0.018, 0.020), 0.009)
    hand.end(5)
    return hand.document(kp=2.0, force=1.2)


def three_fingers() -> str:
    """A gripper with a thumb opposite two fingers that can be spread: eight joints."""
    hand = _Hand("three_fingers", 1)
    hand.begin("palm", (0.0, 0.0, 0.0))
    hand.write('<geom type="cylinder" fromto="0 0 -0.01 0 0 0.004" size="0.052"/>')
    for x, y in ((-0.034, 0.030), (-0.034, -0.030), (0.036, 0.0)):  # posts, between which the fingers close to a fist
        hand.write(f'<geom type="capsule" fromto="{_numbers(x, y, 0.0, x, y, 0.045)}" size="0.01"/>')
    for finger, y in (("index", 0.030), ("middle", -0.030)):
        hand.begin(f"{finger}_base", (-0.034, y, 0.055))
        hand.joint(f"{finger}_spread", (-1, 0, 0), -20, 20)
        hand.write('<geom type="sphere" size="0.011" density="300" contype="0" conaffinity="0"/>')
        hand.begin(f"{finger}_proximal", (0, 0, 0))
        hand.beside(f"{finger}_proximal")
        hand.joint(f"{finger}_base_bend", (0, 1, 0), -20, 85)
        hand.link((0, 0, 0.058), 0.010)
        hand.begin(f"{finger}_distal", (0, 0, 0.058))
        hand.joint(f"{finger}_last_bend", (0, 1, 0), 0, 90)
        hand.tip(finger, (0, 0, 0.042), 0.0095)
        hand.end(3)
    hand.begin("thumb_proximal", (0.036, 0.0, 0.055))
    hand.joint("thumb_base_bend", (0, -1, 0), -20, 85)
    hand.link((0, 0, 0.058), 0.010)
    hand.begin("thumb_distal", (0, 0, 0.058))
    hand.joint("thumb_last_bend", (0, -1, 0), 0, 90)
    hand.tip("thumb", (0, 0, 0.042), 0.0095)
    hand.end(3)
    return hand.document(kp=4.0, force=2.5)


# name, height above the last, axis, limits in degrees, length of the link above it, its radius, kp, force
_ARM = (
    ("turn_1", 0.12, "0 0 1", 170, 0.18, 0.055, 2000, 180),
    ("bend_2", 0.18, "0 1 0", 115, 0.16, 0.052, 2000, 180),
    ("turn_3", 0.16, "0 0 1", 170, 0.19, 0.048, 1500, 120),
    ("bend_4", 0.19, "0 1 0", 135, 0.16, 0.045, 1500, 120),
    ("turn_5", 0.16, "0 0 1", 170, 0.18, 0.042, 800, 80),
    ("bend_6", 0.18, "0 1 0", 125, 0.06, 0.040, 600, 60),
    ("turn_7", 0.06, "0 0 1", 175, 0.006, 0.038, 400, 40),
)


def arm() -> str:
    """Seven joints, turn and bend in turns, 0.89 m from the shoulder to the flange; the site `flange` carries a tool."""
    lines, motors = [], []
    for depth, (name, above, axis, limit, length, radius, kp, force) in enumerate(_ARM):
        pad = "  " * (depth + 3)
        shade = "0.90 0.55 0.20 1" if name.startswith("turn") else "0.88 0.89 0.91 1"
        lines += [
            f'{pad}<body name="{name}" pos="0 0 {above:g}" gravcomp="1">',
            f'{pad}  <joint name="{name}" axis="{axis}" range="-{limit} {limit}"/>',
            f'{pad}  <geom type="capsule" fromto="0 0 0 0 0 {length:g}" size="{radius:g}" rgba="{shade}"/>',
        ]
        motors.append(
            f'    <position name="{name}" joint="{name}" inheritrange="1" kp="{kp}" kv="{kp / 15:g}"'
            f' forcerange="-{force} {force}"/>\n'
        )
    lines.append("  " * (len(_ARM) + 3) + '<site name="flange" pos="0 0 0.045" size="0.004" rgba="0 0 0 0"/>')
    lines += ["  " * (depth + 3) + "</body>" for depth in reversed(range(len(_ARM)))]
    return (
        '<mujoco model="arm">\n  <compiler angle="degree" autolimits="true"/>\n'
        '  <option integrator="implicitfast" cone="elliptic" impratio="10"/>\n'
        '  <default>\n    <joint damping="2" armature="0.1"/>\n    <geom density="400" contype="0" conaffinity="0"/>\n'
        "  </default>\n"
        '  <worldbody>\n    <body name="base">\n'
        '      <geom type="cylinder" fromto="0 0 0 0 0 0.12" size="0.07" rgba="0.22 0.24 0.28 1"/>\n'
        + "\n".join(lines)
        + "\n    </body>\n  </worldbody>\n  <actuator>\n"
        + "".join(motors)
        + "  </actuator>\n</mujoco>\n"
    )


def main(arguments: list[str]) -> int:
    """Write all of them but gripper.xml, in which nothing is computed: that file is written by hand."""
    folder = Path(arguments[0]) if arguments else FOLDER
    for name, text in (
        ("five_fingers_right", five_fingers(1)),
        ("five_fingers_left", five_fingers(-1)),
        ("three_fingers", three_fingers()),
        ("arm", arm()),
    ):
        (folder / f"{name}.xml").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
