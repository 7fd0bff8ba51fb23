"""Tests against packages that have environments of their own; `make test-extras` installs them and names them here."""

import os
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "test" / "ros"), str(REPOSITORY / "test")]
sys.path += filter(None, [os.environ.get("FOURDHANDS_STORAGES")])  # last: it has copies of what this environment has, too


@pytest.fixture(scope="session")
def lerobot_python() -> str:
    """The interpreter that has lerobot."""
    python = os.environ.get("FOURDHANDS_LEROBOT", "")
    if not Path(python).is_file():
        pytest.skip("lerobot is not installed: make test-extras, with CPython 3.12 or newer")
    return python


@pytest.fixture(scope="session")
def with_ray() -> dict[str, str]:
    """The environment of a process that finds Ray beside what this one has."""
    path = [*sys.path[:2], str(REPOSITORY), *os.environ.get("PYTHONPATH", "").split(os.pathsep), os.environ["FOURDHANDS_RAY"]]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path)), "RAY_USAGE_STATS_ENABLED": "0"}
