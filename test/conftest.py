"""Fixtures and options that all tests share."""

import sys
from pathlib import Path

import signals_support  # noqa: F401 (by being imported)
from real_data import real_data  # noqa: F401 (a fixture)
from repeatable import _environment_as_before, _torch_as_at_first, closing  # noqa: F401 (fixtures)

sys.path.append(str(Path(__file__).parents[1] / "tools"))  # what makes the package's own assets is tested as well
sys.path.append(str(Path(__file__).parent / "ros"))  # what the ROS tests share serves test/fuzz and the demo's tests too

LONG = (
    "test_demo.py",
    "test_learning_training_runs.py",
    "test_ros_faults.py",
    "test_network_released.py",
    "test_ros_teleop_arm.py",
    "test_ros_faults_apart.py",
    "test_ros_delivery.py",
    "test_soak.py",
    "test_pipeline_filtering.py",
    "test_hand_model_generic.py",
)
"""Files that take longest, the longest first: `make test` begins with them, so that at its end no worker waits for one."""


def pytest_collection_modifyitems(items):
    """Then by turns files of each folder: those of test/ros wait for other processes while the rest computes."""
    folders = {}
    for path in dict.fromkeys(item.path for item in items):
        folders.setdefault(path.parent, []).append(path)
    turn = {path: number / len(paths) for paths in folders.values() for number, path in enumerate(paths)}
    first = {name: number - len(LONG) for number, name in enumerate(LONG)}
    items.sort(key=lambda item: first.get(item.path.name, turn[item.path]))


def pytest_addoption(parser):
    parser.addoption("--cases", type=int, help="test/fuzz: how many inputs to try in all")
    parser.addoption("--cases-out", type=Path, help="test/fuzz: JSON file for what came of them")
