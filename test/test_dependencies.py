"""What is imported, what setup.py, package.xml and requirements-workspace.txt declare, and what messages say of it agree."""

import ast
import re
import runpy
import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from itertools import chain
from pathlib import Path

import pytest
import setuptools

from fourdhands_core.errors import DependencyError
from fourdhands_core.extras import EXTRAS, needed_for

REPOSITORY = Path(__file__).resolve().parents[1]

ROS_PACKAGES = set(
    (
        "ament_index_python cv_bridge diagnostic_msgs geometry_msgs launch launch_ros lifecycle_msgs "
        "rcl_interfaces rclpy rosgraph_msgs sensor_msgs std_msgs std_srvs tf2_msgs trajectory_msgs "
        "visualization_msgs"
    ).split()
)
DISTRIBUTIONS = {
    "cv2": "opencv-python",
    "yaml": "pyyaml",
    "PIL": "pillow",
    "tensorboardX": "tensorboardx",
    "backports": "backports.zstd",
}
"""Names on PyPI, lower case, of what is imported by another name."""
ROSDEP = {"numpy": "python3-numpy", "PIL": "python3-pil", "yaml": "python3-yaml", "scipy": "python3-scipy"}
"""Keys that resolve on every distribution, by the name that is imported."""
APART = {"skimage"}
"""What the program imports that made the generic hand."""


def name_of(requirement: str) -> str:
    """The distribution that a requirement names, lower case."""
    return re.match(r"[\w.-]+", requirement)[0].lower()


@pytest.fixture(scope="module")
def declared():
    """setup.py's arguments."""
    given = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", lambda **kwargs: given.update(kwargs))
        patch.chdir(REPOSITORY)
        runpy.run_path("setup.py")
    return given


@pytest.fixture(scope="module")
def package_xml():
    return ET.parse(REPOSITORY / "package.xml").getroot()


def imports(*folders: str, own: str = "fourdhands_core fourdhands_ros") -> dict[str, set[str]]:
    """Packages of others that files of these folders import, anywhere in them, each with the files. own: which are none."""
    found = defaultdict(set)
    for folder in folders:
        for path in (REPOSITORY / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = (
                    [alias.name for alias in node.names]
                    if isinstance(node, ast.Import)
                    else ([node.module] if isinstance(node, ast.ImportFrom) and not node.level else [])
                )
                for name in names:
                    found[name.partition(".")[0]].add(path.relative_to(REPOSITORY).as_posix())
    return {name: files for name, files in found.items() if name not in sys.stdlib_module_names | {*own.split(), "__future__"}}


def test_the_core_imports_no_ros():
    assert not imports("fourdhands_core", own="fourdhands_core").keys() & (ROS_PACKAGES | {"rosbags", "fourdhands_ros"})


def test_every_import_is_declared(declared):
    """By the requirements, or by an extra, which a message names where the package is missing."""
    required = {name_of(one) for one in declared["install_requires"]}
    extras = {extra: {name_of(one) for one in names} for extra, names in declared["extras_require"].items()}
    for name, files in imports("fourdhands_core", "fourdhands_ros", "launch").items():
        if name in ROS_PACKAGES | APART:
            continue
        distribution = DISTRIBUTIONS.get(name, name).lower()
        if name in EXTRAS:
            assert distribution in extras[EXTRAS[name]], f"{name}: pip install 'fourdhands[{EXTRAS[name]}]' does not bring it"
        else:
            core = any(file.startswith("fourdhands_core") for file in files)
            assert distribution in required | (set() if core else extras["ros"]), f"{name} of {sorted(files)} is not declared"


@pytest.mark.parametrize(("extra", "packages"), [("view", "viser"), ("robot", "ruckig mujoco mink")])
def test_what_is_missing_can_be_installed_in_a_workspace_too(extra, packages):
    """There no distribution `fourdhands` is installed whose extras pip could know."""
    package = packages.split()[0]
    words = f"the page needs {package}, which is not installed: pip install 'fourdhands[{extra}]'; in a ROS workspace "
    with pytest.raises(DependencyError, match=re.escape(f"{words}pip install -c constraints.txt {packages}") + "$"):
        with needed_for("the page"):
            raise ModuleNotFoundError(name=package)


def test_every_extra_is_pinned_under_the_name_that_is_imported():
    """So that the message above names what pip knows, and constraints.txt gives its version."""
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    assert EXTRAS.keys() <= {re.match(r"[\w.-]*", line)[0] for line in lines}


def test_nothing_is_required_that_is_not_imported(declared):
    used = {DISTRIBUTIONS.get(name, name).lower() for name in imports("fourdhands_core", "fourdhands_ros")}
    required = {name_of(one) for one in declared["install_requires"]}
    assert not required - used
    assert not required & {DISTRIBUTIONS.get(name, name).lower() for name in EXTRAS}
    assert set(EXTRAS.values()) <= declared["extras_require"].keys()


def test_one_opencv(declared):
    """Each of its packages on PyPI is the module cv2: two of them overwrite each other's files."""
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    every = [*declared["install_requires"], *chain(*declared["extras_require"].values()), *lines]
    assert {name_of(one) for one in every if one.startswith("opencv")} == {"opencv-python"}


def test_constraints_pin_what_is_declared(declared):
    pinned = {
        name_of(line) for line in (REPOSITORY / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")
    }
    every = [
        *declared["install_requires"],
        *chain(*(names for extra, names in declared["extras_require"].items() if extra != "mediapipe")),
    ]
    assert {name_of(one).replace(".", "-") for one in every} <= pinned


def test_a_workspace_gets_from_pip_what_setup_declares(declared):
    """requirements-workspace.txt: the package's requirements, those of ROS that ROS itself does not have, and the tests'."""
    extras = declared["extras_require"]
    of_ros = {one for one in extras["ros"] if not one.startswith("ros-") and name_of(one).replace("-", "_") not in ROS_PACKAGES}
    lines = (REPOSITORY / "requirements-workspace.txt").read_text().splitlines()
    assert {line for line in lines if line and not line.startswith("#")} == {
        *declared["install_requires"],
        *extras["test"],
        *of_ros,
    }


def test_package_xml_names_every_ros_package_that_is_imported(package_xml, declared):
    depends = {e.text for e in package_xml if e.tag in ("depend", "exec_depend")}
    imported = imports("fourdhands_ros", "launch").keys()
    every = imported | imports("fourdhands_core").keys()
    assert imported & ROS_PACKAGES <= depends
    keys = {key for name, key in ROSDEP.items() if name in every and name not in EXTRAS}
    assert depends == ROS_PACKAGES | keys | {"rosidl_default_runtime"}, "what is not used, or a key that is missing"
    from_pypi = {
        name_of(one).removeprefix("ros-jazzy-").replace("-", "_")
        for one in declared["extras_require"]["ros"]
        if one.startswith("ros-jazzy-")
    }
    assert from_pypi - {"rmw_fastrtps_cpp"} <= depends


def test_package_xml_names_what_the_tests_of_a_workspace_import(package_xml):
    tests = {e.text for e in package_xml if e.tag == "test_depend"}
    imported = imports("test/ros").keys()
    assert imported & ROS_PACKAGES <= {e.text for e in package_xml if e.tag.endswith("depend")}
    assert tests == {"ament_cmake_pytest", "control_msgs", "ros2launch", "tf_transformations", "python3-scipy"}
    assert "tf_transformations" in imported and "scipy" in imports("fourdhands_core/media")


def test_package_xml_has_the_order_of_format_3(package_xml):
    order = (
        "name version description maintainer license url buildtool_depend depend exec_depend test_depend member_of_group export"
    ).split()
    tags = [e.tag for e in package_xml]
    assert package_xml.get("format") == "3" and tags == sorted(tags, key=order.index)
