"""From a human hand to the joints of a robot's: robots' descriptions, the operator's range, the solver."""

from .retargeter import Retargeter, load_retargeter, robot_names
