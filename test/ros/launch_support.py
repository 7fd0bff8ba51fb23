"""Launch files without ROS 2's launch, which is not there from PyPI: it is played."""

import dataclasses
import importlib.util
import sys
import types
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


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
    modules = {
        name: types.ModuleType(name)
        for name in ("launch", "launch.actions", "launch.substitutions", "launch_ros", "launch_ros.actions")
    }
    modules["launch"].LaunchDescription = Described
    modules["launch.actions"].DeclareLaunchArgument = Argument
    modules["launch.actions"].OpaqueFunction = lambda function: function
    modules["launch.actions"].Shutdown = lambda reason: types.SimpleNamespace(reason=reason)
    modules["launch.actions"].LogInfo = lambda msg: types.SimpleNamespace(package="told", executable=msg)
    modules["launch.substitutions"].LaunchConfiguration = lambda name: types.SimpleNamespace(
        name=name, perform=lambda context: context[name]
    )
    modules["launch_ros.actions"].Node = Node
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("fourdhands_ros.tools.rviz", "fourdhands_ros.tools.launching"):
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, name)  # imported anew, and forgotten afterwards
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
