"""Fixtures of the ROS tests. `colcon test` runs this folder alone: no other conftest.py is read then (pytest.ini)."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # real_data, pipeline_support

from real_data import real_data  # noqa: F401 (a fixture)
