"""What teleop.launch.py makes of parameters: none may be passed over, or the arm goes by limits that nobody set."""

import pytest

pytest.importorskip("rclpy", reason="the programs need ROS 2 (pip install 'fourdhands[ros]')")

from fourdhands_core.errors import InputError


def test_each_of_two_arms_has_its_own_parameters(launched, tmp_path):
    """Of one file: the right arm's limits were the left one's too."""
    file = tmp_path / "arms.yaml"
    file.write_text(
        "/**: {ros__parameters: {scale: 0.5}}\n"
        "/left/hands_teleop: {ros__parameters: {side: left, max_speed: 0.05}}\n"
        "/right/hands_teleop: {ros__parameters: {side: right, max_speed: 0.2}}\n"
    )
    for side, speed in (("left", 0.05), ("right", 0.2)):
        node = launched("teleop.launch.py", params_file=str(file), namespace=side)["hands_teleop"]
        assert node.parameters[0] == {"scale": 0.5, "side": side, "max_speed": speed}


def test_parameters_that_would_be_passed_over(launched, tmp_path):
    """The arm went by the default limits."""
    file = tmp_path / "mine.yaml"
    for text, words in (
        ("my_teleop: {ros__parameters: {max_speed: 0.05}}", "says nothing of /right/hands_teleop, but of my_teleop"),
        ("left: {hands_teleop: {ros__parameters: {max_speed: 0.05}}}", "but of left/hands_teleop"),
        ("max_speed: 0.05", "says nothing of /right/hands_teleop; write"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=words):
            launched("teleop.launch.py", params_file=str(file), namespace="right")
    given = dict(max_speed="1", workspace="[0, -0.2, 0.1, 0.5, 0.2, 0.6]", need_deadman="true", robot="1.yaml")
    (parameters,) = launched("teleop.launch.py", **given)["hands_teleop"].parameters
    typed = {"max_speed": 1.0, "workspace": [0.0, -0.2, 0.1, 0.5, 0.2, 0.6], "need_deadman": True}
    assert {name: parameters[name] for name in given} == {**given, **typed}
    assert type(parameters["max_speed"]) is float and all(type(one) is float for one in parameters["workspace"])
    with pytest.raises(InputError, match="workspace:='\\[0, 1' is no value"):
        launched("teleop.launch.py", workspace="[0, 1")


def test_the_time_of_a_simulation(launched, tmp_path):
    """It was passed over: of a bag's hands, played with its clock, all were old."""
    file = tmp_path / "arm.yaml"
    file.write_text("hands_teleop: {ros__parameters: {use_sim_time: true}}")
    for given, expected in (({}, True), ({"use_sim_time": "false"}, False)):
        (parameters,) = launched("teleop.launch.py", params_file=str(file), **given)["hands_teleop"].parameters
        assert parameters["use_sim_time"] is expected
    (parameters,) = launched("teleop.launch.py", use_sim_time="true")["hands_teleop"].parameters
    assert parameters["use_sim_time"] is True
