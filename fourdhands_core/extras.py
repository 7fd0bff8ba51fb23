"""The packages that only some functions need, and the extra of this package that brings each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from .errors import DependencyError

EXTRAS = (
    {"torch": "torch", "smplx": "mano", "scipy": "render", "viser": "view"}
    | dict.fromkeys(("onnx", "onnxscript"), "onnx")
    | dict.fromkeys(("numba", "tensorboardX", "matplotlib"), "train")
    | dict.fromkeys(("mujoco", "mink", "ruckig"), "robot")
    | dict.fromkeys(("pyarrow", "av", "h5py"), "dataset")
    | dict.fromkeys(("ray", "fsspec"), "cluster")
)
"""By the name that is imported; setup.py has what each extra installs."""


@contextlib.contextmanager
def needed_for(what: str, extra: str | None = None) -> Iterator[None]:
    """Says what to install where an import within this context does not find one of the packages of EXTRAS.

    what: that needs it, the subject of a sentence. extra: brings it and what else is needed; by default the package's own.
    Raises DependencyError.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        extra = extra or EXTRAS[package]
        packages = " ".join(dict.fromkeys([package, *(name for name in EXTRAS if EXTRAS[name] == extra)]))
        raise DependencyError(
            f"{what} needs {package}, which is not installed: pip install 'fourdhands[{extra}]'; in a ROS workspace "
            f"pip install -c constraints.txt {packages}"
        ) from error
