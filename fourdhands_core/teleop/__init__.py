"""A robot follows a hand, and nothing else: states, the gate before engaging, loss, limits. No ROS; a step is a function.

A new setting that limits each axis goes into `rates` and `braking` of `teleop/settings.py`, and is kept by `_planned` of
`teleop/motion.py`; of an arm that is told joints into `TeleopSettings.arm_limits`. Others are used where `teleop/senses.py`,
`teleop/step.py` or `teleop/motion.py` decide. It becomes a parameter, without which it cannot be set, by a line in
`fourdhands_ros/teleop/parameters.py` and its words in `config/teleop.yaml`, and is told of in `docs/teleoperation.md`. What
differs in the command `fourdhands teleop` is `replay_settings` of `simulation/replay.py`, in `make demo-teleop` what
`fourdhands_ros/tools/demo_teleop.py` gives its node, such as `STALE`.

A changed default of speed, acceleration, jerk or a time-out keeps `TeleopSettings.standstill` below `STANDSTILL`, or the node
warns of it by default; the fingers' `_FINGERS` of `teleop/settings.py` are as the arm's, and seconds stand in
`TeleopSettings`, in `config/teleop.yaml` and in `docs/teleoperation.md`.

No safety-rated stop: it lessens what a wrong hand can do, and does not replace the robot's own protection.
"""

from .settings import TeleopSettings
from .step import TeleopState, step
from .types import ENGAGED, ESTOP, FAULT, HOLD, IDLE, RAMP, READY, STATE_NAMES, Command, HandSample, Inputs, RobotSample
