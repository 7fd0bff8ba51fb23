"""The launch files start programs that exist, with arguments those take. ROS 2 from PyPI has no launch: here it is played."""

import dataclasses
import importlib.util
import sys
import types
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="the programs need ROS 2 (pip install 'fourdhands[ros]')")

from ament_index_python.packages import PackageNotFoundError

from fourdhands_core.errors import InputError
from fourdhands_ros.tools import camera
from fourdhands_ros.bags import player, recorder
from fourdhands_ros.node.parameters import Parameters
from ros_support import REPOSITORY


@dataclasses.dataclass
class Argument:
    name: str
    default_value: str = None
    description: str = ""
    choices: list = None


class Described(list):
    """LaunchDescription: what it was given."""


class Node:
    def __init__(self, **given):
        self.__dict__.update({"arguments": [], "remappings": [], "parameters": [], **given})


@pytest.fixture
def launched(monkeypatch):
    """Launches a file with arguments: the nodes it would start."""
    modules = {name: types.ModuleType(name) for name in (
        "launch", "launch.actions", "launch.substitutions", "launch_ros", "launch_ros.actions")}
    modules["launch"].LaunchDescription = Described
    modules["launch.actions"].DeclareLaunchArgument = Argument
    modules["launch.actions"].OpaqueFunction = lambda function: function
    modules["launch.actions"].LogInfo = lambda msg: types.SimpleNamespace(package="told", executable=msg)
    modules["launch.substitutions"].LaunchConfiguration = lambda name: types.SimpleNamespace(
        name=name, perform=lambda context: context[name])
    modules["launch_ros.actions"].Node = Node
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "fourdhands_ros.tools.rviz", None)
    monkeypatch.delitem(sys.modules, "fourdhands_ros.tools.rviz")  # imported anew, and forgotten afterwards
    monkeypatch.setattr("ament_index_python.packages.get_package_prefix", lambda package: "/opt/ros")

    def launch(file, all_nodes=False, **given):
        spec = importlib.util.spec_from_file_location(file.replace(".", "_"), REPOSITORY / "launch" / file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        *arguments, start = module.generate_launch_description()
        context = {}
        for argument in arguments:
            assert argument.description.endswith((".", "...")), argument.name
            context[argument.name] = given.pop(argument.name, argument.default_value)
            assert context[argument.name] is not None, f"{argument.name} must be given"
            assert argument.choices is None or context[argument.name] in argument.choices
        assert not given, f"no argument is called {given}"
        nodes = start(context)
        for node in nodes:
            if node.package == "fourdhands_ros":
                assert (REPOSITORY / "fourdhands_ros" / node.executable).stat().st_mode & 0o100, "it must be executable"
                assert node.executable in (REPOSITORY / "CMakeLists.txt").read_text()
        return nodes if all_nodes else {node.executable: node for node in nodes}

    return launch


def test_hands_alone(launched):
    nodes = launched("hands.launch.py")
    assert set(nodes) == {"hands_node"}
    file, parameters = nodes["hands_node"].parameters
    assert Path(file).is_file() and parameters == {}
    assert all(a == b for a, b in nodes["hands_node"].remappings)


def test_every_argument_of_hands_arrives_as_the_parameter_it_is(launched):
    given = dict(cameras="[left, right]", image_transport="compressed", model="image", weights="7", device="cuda",
                 precision="float16", hand_model="r.npz", hand_model_left="l.npz", tf="joints", frame_prefix="1",
                 depth="true", depth_transport="compressedDepth", mirrored="true")
    _, parameters = launched("hands.launch.py", **given)["hands_node"].parameters
    assert parameters == {**given, "cameras": ["left", "right"], "depth": True, "mirrored": True}
    Parameters(**{**parameters, "cameras": ("left", "right")})


def test_a_video_a_recording_and_rviz_beside_the_node(launched, monkeypatch, tmp_path):
    nodes = launched("hands.launch.py", video="clip.mp4", fov="60", record="true", bag=str(tmp_path / "b"), rviz="true",
                     namespace="front", image="camera/image", fixed_frame="camera")
    assert set(nodes) == {"hands_node", "hands_camera", "hands_recorder", "rviz2"}
    assert nodes["hands_camera"].namespace == nodes["hands_node"].namespace == "front"
    assert nodes["hands_camera"].remappings == nodes["hands_node"].remappings
    assert (REPOSITORY / "config" / "hands.rviz").is_file()
    assert nodes["hands_recorder"].arguments == [str(tmp_path / "b")]
    assert camera.main(nodes["hands_camera"].arguments) == 2  # every argument is taken; the video is not there


def test_a_video_is_the_camera_of_each_namespace(launched):
    """Also RViz shows the first of them."""
    nodes = launched("hands.launch.py", video="clip.mp4", cameras="[left, /robot/wrist]", namespace="front", rviz="true",
                             all_nodes=True)
    assert [node.namespace for node in nodes if node.executable == "hands_camera"] == ["front/left", "/robot/wrist"]
    assert ("/image_raw", "left/image_raw") in nodes[-1].remappings


@pytest.mark.parametrize("given", ["left", "left,right", "{a: b}"])
def test_cameras_that_are_no_list(launched, given):
    with pytest.raises(InputError, match=r"is not a list of namespaces; give cameras:='\[left, right\]'"):
        launched("hands.launch.py", cameras=given)


@pytest.mark.parametrize("file, given", [("hands.launch.py", {}), ("replay.launch.py", {"bag": "b"})])
def test_without_rviz_that_is_said_and_the_rest_starts(launched, monkeypatch, file, given):
    def missing(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr("ament_index_python.packages.get_package_prefix", missing)
    first, told = launched(file, rviz="true", **given)
    assert first in ("hands_node", "hands_player") and "rviz2 is not installed" in told


def test_recording(launched, monkeypatch, tmp_path):
    arguments = launched("record.launch.py", bag=str(tmp_path / "b"), images="compressed", markers="false",
                         topics="/joint_states /(left|right)_arm/.*")["hands_recorder"].arguments
    assert arguments == [str(tmp_path / "b"), "--images", "compressed", "--no-markers", "--topic", "/joint_states",
                         "--topic", "/(left|right)_arm/.*"]
    assert launched("record.launch.py")["hands_recorder"].arguments == ["--images", "none"]
    with pytest.raises(SystemExit):  # the arguments are read; the expression is what is wrong
        recorder.main([*arguments, "--topic", "("])


def test_replaying(launched, tmp_path):
    nodes = launched("replay.launch.py", bag=str(tmp_path / "none"), what="images", rate="2.0", loop="true")
    assert set(nodes) == {"hands_player"}
    assert nodes["hands_player"].arguments == [
        str(tmp_path / "none"), "--what", "images", "--rate", "2.0", "--loop", "--clock"]
    assert player.main(nodes["hands_player"].arguments) == 2  # there is no such bag
    assert set(launched("replay.launch.py", bag="b", rviz="true")) == {"hands_player", "rviz2"}
