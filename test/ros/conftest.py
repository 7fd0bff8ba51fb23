"""Fixtures of the ROS tests. `colcon test` runs this folder alone: no other conftest.py is read then (pytest.ini)."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))  # real_data, pipeline_support

import signals_support  # noqa: F401 (by being imported)
from launch_support import launched  # noqa: F401 (a fixture)
from real_data import real_data  # noqa: F401 (a fixture)
from repeatable import _environment_as_before, _torch_as_at_first, closing  # noqa: F401 (fixtures)


@pytest.fixture
def ros(closing):
    """A ROS context on a domain of its own (ros_context.Ros)."""
    from ros_context import Ros

    return closing(Ros())


@pytest.fixture
def bench():
    """Makes Benches (ros_support.Bench)."""
    from ros_support import Bench, makes

    yield from makes(Bench)


@pytest.fixture
def person():
    """Makes Persons (teleop_support.Person)."""
    from teleop_support import people

    with people() as person_of:
        yield person_of
