"""The operator's fingers shown to the running node: open hand, fist, pinch; what is refused, and what is kept."""

import contextlib
import time
from dataclasses import replace

import numpy as np
import pytest
from rclpy.parameter import Parameter
from ros_support import PATIENT, make_pair
from std_srvs.srv import Trigger
from teleop_support import needs_ruckig, stepped

from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import load_generic_hand
from fourdhands_core.retargeting.operator_range import OperatorRange
from fourdhands_core.teleop import ENGAGED, ESTOP
from fourdhands_ros.convert.encoders import HandPairEncoder

pytestmark = needs_ruckig
OPEN, FIST, PINCH = (0, 0, 0, 0, 0, 0.6), (0.9, 0.95, 0.95, 0.95, 0.95, 0.0), (0.55, 0.5, 0.15, 0.1, 0.1, 0.3)


class Shown:
    """A person before a node of this process, whose time goes on only as hands are shown."""

    def __init__(self, node, monkeypatch):
        self._node, self._seconds, self._encoder = node, 100.0, HandPairEncoder("landmark", "generic")
        self._arrays = HandArrays([load_generic_hand()])
        monkeypatch.setattr(node, "now", lambda: self._seconds)

    def hold(self, curl, images=20):
        """Show a right hand bent so, 20 images a second."""
        from fourdhands_core.media.choreography import from_curls

        joints = self._arrays.joints(np.eye(3)[None], from_curls(np.array(curl))[None], np.zeros((1, 10)))[0] + (0.0, 0.0, 0.5)
        for _ in range(images):
            self._seconds += 0.05
            stamp = self._node._begin + round(self._seconds * 1e9)
            pair = make_pair(stamp)
            pair = replace(pair, right=replace(pair.right, joints=joints, wrist_rotation=np.eye(3)))
            self._node.hand.put(self._encoder.encode(pair, "camera", {}))
            until = time.monotonic() + PATIENT
            while self._node.hand.newest[0] is None or abs(self._node.hand.newest[0].stamp - self._seconds) > 1e-3:
                assert time.monotonic() < until, self._node.hand.problem
                time.sleep(0.001)

    def wait(self, seconds):
        self._seconds += seconds

    def ask(self, part):
        answer = self._node._on_shown(part, None, Trigger.Response())
        return answer.success, answer.message


@pytest.fixture
def shown(monkeypatch):
    with contextlib.ExitStack() as stack:

        def make(**parameters):
            node = stack.enter_context(stepped(*(Parameter(name, value=value) for name, value in parameters.items())))
            return node, Shown(node, monkeypatch)

        yield make


def test_the_range_is_in_use_and_kept(shown, tmp_path):
    """In a file that was not there; the next node begins with it."""
    node, person = shown(robot="gripper", operator=str(tmp_path / "me.yaml"))
    assert {"show_open", "show_fist", "show_pinch"} <= {one.srv_name.rpartition("/")[2] for one in node.services}
    for part, curl, words in (("open", OPEN, "fist, pinch"), ("fist", FIST, "to be shown: pinch"), ("pinch", PINCH, "kept in")):
        person.hold(curl)
        done, said = person.ask(part)
        assert done and words in said, said
    found = OperatorRange.read(tmp_path / "me.yaml")
    np.testing.assert_allclose(node.retargeter.operator.gain, found.gain, atol=1e-3)
    assert np.abs(found.gain - OperatorRange().gain).max() > 0.05
    assert node.retargeter.solve(node.hand.seen_since(0.0)[-1])[0] == node.retargeter.lower[0]  # a pinch closes it
    again, _ = shown(robot="gripper", operator=str(tmp_path / "me.yaml"))
    np.testing.assert_allclose(again.retargeter.operator.pinch, found.pinch, atol=1e-6)


def test_what_cannot_be_used_is_told(shown, tmp_path):
    """Nothing seen lately; what was shown is none; a file that cannot be written, when the range is in use all the same."""
    node, person = shown(robot="gripper", operator=str(tmp_path / "me.yaml"))
    person.hold(OPEN)
    person.wait(1.5)
    done, said = person.ask("open")
    assert not done and "was seen in 0 images of the last second, and 5 are needed; show the open hand" in said
    before = node.retargeter.operator
    for part, curl in (("open", OPEN), ("fist", OPEN), ("pinch", PINCH)):
        person.hold(curl)
        done, said = person.ask(part)
    assert not done and "hardly differ" in said and node.retargeter.operator is before
    (tmp_path / "me.yaml").mkdir()
    person.hold(FIST)
    done, said = person.ask("fist")
    assert not done and "but not kept" in said and node.retargeter.operator is not before


@pytest.mark.parametrize("state, words", [(ENGAGED, "call ~/release first"), (ESTOP, "call ~/reset first")])
def test_not_while_fingers_follow(shown, state, words):
    node, person = shown(robot="gripper")
    person.hold(OPEN)
    node.state = replace(node.state, state=state)
    done, said = person.ask("open")
    assert not done and words in said


def test_an_arm_without_a_hand_has_no_use_for_it(shown):
    _, person = shown()
    person.hold(OPEN)
    assert person.ask("open")[1].startswith("no robot's hand is led")
