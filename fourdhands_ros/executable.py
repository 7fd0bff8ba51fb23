"""What the executables in lib/fourdhands_ros do: run a module's `main`, or say what its Python lacks."""

from __future__ import annotations

import importlib
import os
import sys
from typing import NoReturn


def run(module: str) -> NoReturn:
    """Exit with the status of `fourdhands_ros.<module>.main()`; 1 where a package is missing, which is named on stderr.

    `main` has closed everything. Python's own teardown, of torch and MediaPipe, is left out: on a busy computer it takes
    longer than the 5 s after which `ros2 launch` kills.
    """
    status = _main(module)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _main(module: str) -> int:
    try:
        main = importlib.import_module(f"fourdhands_ros.{module}").main
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package.startswith("fourdhands"):
            raise
        # Most often a terminal in which the environment was not activated.
        print(f"fourdhands_ros: {sys.executable} has no package {package}; activate the virtual environment of your "
              "workspace, or pip install -r requirements-workspace.txt (README, In a ROS 2 workspace)", file=sys.stderr)
        return 1
    return main()
