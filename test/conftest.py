"""Fixtures and options that all tests share."""

import sys
from pathlib import Path

import signals_support  # noqa: F401 (by being imported)
from real_data import real_data  # noqa: F401 (a fixture)
from repeatable import _torch_as_at_first  # noqa: F401 (a fixture)

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
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


def pytest_addoption(parser):
    parser.addoption("--cases", type=int, help="test/fuzz: how many inputs to try in all")
    parser.addoption("--cases-out", type=Path, help="test/fuzz: JSON file for what came of them")
