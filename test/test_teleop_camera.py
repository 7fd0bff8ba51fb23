"""A camera that moves while motion is relative: a hand that stands still seems to move, and is not followed."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("ruckig", reason="ruckig, which the extra [robot] brings, is not installed")
from test_teleop_step import CENTRE, PLAIN, Operator

from fourdhands_core.geometry.rotations import matrix_from_axis_angle
from fourdhands_core.teleop import ENGAGED, IDLE, READY

HAND = np.array([0.0, 0.0, 0.6])
BACK = replace(PLAIN, axes=(-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0))
"""With these, what a camera on the arm sees of a hand leads the arm the way that it goes already."""


def test_a_hand_that_a_camera_on_the_arm_sees_does_not_lead_it_on_and_on():
    operator = Operator(BACK).engaged(HAND, camera=(np.eye(3), CENTRE))
    for i in range(400):  # the hand moves by a centimetre, and stands
        seen = HAND + [-0.01 * min(i / 20.0, 1.0), 0.0, 0.0] - (operator.place - CENTRE)
        operator.step(seen, camera=(np.eye(3), operator.place))
    assert operator.state.state in (IDLE, READY) and operator.state.stopped_by == ("camera_moved",)
    assert np.linalg.norm(operator.place - CENTRE) < 0.05  # it went to the workspace's wall, 0.6 m away


@pytest.mark.parametrize("turn, shift, stops", [(0.0, 0.1, True), (0.2, 0.0, True), (0.02, 0.01, False)])
def test_a_camera_that_turns_or_is_moved_lets_the_robot_go(turn, shift, stops):
    operator = Operator().engaged(HAND, camera=(np.eye(3), np.zeros(3)))
    for i in range(200):
        rotation = matrix_from_axis_angle(np.array([0.0, turn * min(i / 100.0, 1.0), 0.0]))
        place = np.array([shift * min(i / 100.0, 1.0), 0.0, 0.0])
        operator.step(rotation.T @ (HAND - place), rotation.T, camera=(rotation, place))
    assert (operator.state.stopped_by == ("camera_moved",)) == stops
    assert np.linalg.norm(operator.place - CENTRE) < 0.05
    if stops:
        operator.steps(30, HAND, camera=(rotation, place))
        operator.engaged(HAND, camera=(rotation, place))  # again where that stands


def test_a_camera_of_which_nothing_is_known_is_taken_to_stand():
    operator = Operator().engaged(HAND)
    operator.steps(50, HAND, camera=(np.eye(3), np.ones(3)))
    operator.steps(50, HAND, camera=None)
    assert operator.state.state == ENGAGED


def test_a_camera_that_moves_while_its_place_is_not_told_lets_the_robot_go_too():
    """Of the step in which motion became relative again nothing was known, and the camera was taken to stand for good."""
    operator = Operator().engaged(HAND, camera=(np.eye(3), np.zeros(3)))
    operator.steps(20, HAND, confidence=0.0)
    operator.steps(30, HAND)  # followed again
    assert operator.state.state == ENGAGED
    operator.steps(5, HAND, camera=(np.eye(3), np.array([0.1, 0.0, 0.0])))
    assert operator.state.stopped_by == ("camera_moved",)
