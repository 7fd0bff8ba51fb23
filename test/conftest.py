"""Fixtures and options that all tests share."""

import sys
from pathlib import Path

import signals_support  # noqa: F401 (by being imported)
from real_data import real_data  # noqa: F401 (a fixture)
from repeatable import _torch_as_at_first  # noqa: F401 (a fixture)

sys.path.append(str(Path(__file__).parents[1] / "tools"))  # what makes the package's own assets is tested as well
sys.path.append(str(Path(__file__).parent / "ros"))  # what the ROS tests share serves test/fuzz and the demo's tests too


def pytest_addoption(parser):
    parser.addoption("--cases", type=int, help="test/fuzz: how many inputs to try in all")
    parser.addoption("--cases-out", type=Path, help="test/fuzz: JSON file for what came of them")
