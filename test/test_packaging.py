"""What other tools read of the repository: CMake, workflows, RViz's configuration agree with the code."""

import os
import re

import pytest
import yaml
from program_support import REPOSITORY, python

from fourdhands_core import cli, extras


def test_workflows():
    """They parse, cover each distribution and Python that is supported, and use files that are there."""
    ros, python = (
        yaml.safe_load((REPOSITORY / ".github" / "workflows" / name).read_text()) for name in ("ros.yml", "python.yml")
    )
    assert [one["distribution"] for one in ros["jobs"]["workspace"]["strategy"]["matrix"]["include"]] == [
        "humble",
        "jazzy",
        "lyrical",
    ]
    versions = re.search(r"^VERSIONS := (.*)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert python["jobs"]["test"]["strategy"]["matrix"]["python"] == versions[::-1]
    text = "".join(str(flow) for flow in (ros, python)) + (REPOSITORY / "Dockerfile").read_text()
    for name in re.findall(r"[\w-]+\.txt", text):
        assert (REPOSITORY / name).is_file(), name


def test_one_version(capsys):
    """setup.py and package.xml, which cannot import it, say what `fourdhands --version` says."""
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    version = capsys.readouterr().out.strip()
    assert f'version="{version}"' in (REPOSITORY / "setup.py").read_text()
    assert f"<version>{version}</version>" in (REPOSITORY / "package.xml").read_text()


def test_rviz_shows_what_the_node_publishes():
    """Camera image, markers and frames, in the plugins' names, with a QoS that the publishers offer."""
    manager = yaml.safe_load((REPOSITORY / "config" / "hands.rviz").read_text())["Visualization Manager"]
    displays = {display["Class"].partition("/")[2]: display for display in manager["Displays"]}
    assert {"MarkerArray", "TF", "Image"} <= set(displays) and all(d["Enabled"] and d["Value"] for d in displays.values())
    assert displays["MarkerArray"]["Topic"]["Value"] == "/hands/markers"
    assert displays["Image"]["Topic"]["Value"] == "/image_raw"
    assert displays["Image"]["Topic"]["Reliability Policy"] == "Best Effort"
    assert displays["MarkerArray"]["Topic"]["Durability Policy"] == "Volatile"


@pytest.mark.parametrize(
    "missing, words", [("cv2", "has no package cv2; activate the virtual environment"), ("fourdhands_core.errors", "Traceback")]
)
def test_an_executable_in_the_wrong_environment(missing, words):
    """A package that is not installed is named with what to do; the package's own modules are a fault of ours."""
    done = python(
        "-c", f"import sys; sys.modules['{missing}'] = None; from fourdhands_ros.executable import run; run('node.node')"
    )
    assert done.returncode == 1 and words in done.stderr
    assert ("Traceback" in done.stderr) == (words == "Traceback")


LIKE_LAUNCH_TESTING = """
import sys
from _pytest.pathlib import import_path

sys.modules.update(dict.fromkeys({absent}))

def pytest_pycollect_makemodule(module_path, parent):
    import_path(module_path, root=None, consider_namespace_packages=False)
"""
"""A pytest plugin that imports every test file of the folders on the way to a test, as launch_testing's does."""


def test_colcon_test_imports_nothing_that_a_workspace_lacks(tmp_path):
    """CMakeLists.txt runs each file of test/ros by itself; the plugins of a ROS workspace then import all of them."""
    cmake = (REPOSITORY / "CMakeLists.txt").read_text()
    (folder,) = re.findall(r"file\(GLOB test_files CONFIGURE_DEPENDS (\S+)/test_ros_\*\.py\)", cmake)
    assert set(REPOSITORY.glob("test/**/test_ros_*.py")) == set((REPOSITORY / folder).glob("test_ros_*.py"))
    present = (REPOSITORY / "requirements-workspace.txt").read_text()
    absent = sorted(name for name in extras.EXTRAS if not re.search(rf"(?m)^{name}\b", present))
    assert "torch" in absent
    (tmp_path / "like_launch_testing.py").write_text(LIKE_LAUNCH_TESTING.format(absent=absent))
    path = os.pathsep.join([str(tmp_path), str(REPOSITORY), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    options = "-m pytest -q -p like_launch_testing -p no:cacheprovider --collect-only".split()
    file = REPOSITORY / folder / "test_ros_images.py"
    done = python(*options, file, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0 and re.search(r"[1-9]\d* tests collected", done.stdout), done.stdout


def test_a_workspace_gets_every_program():
    """For ros2 run and ros2 launch in lib, the command on PATH, and none among the modules."""
    cmake = (REPOSITORY / "CMakeLists.txt").read_text()
    programs = {path.name for path in (REPOSITORY / "fourdhands_ros").iterdir() if path.is_file() and not path.suffix}
    installed = {
        destination: set(re.findall(r"\$\{PROJECT_NAME\}/(\w+)", names))
        for names, destination in re.findall(r"install\(\s*PROGRAMS ([^)]*?)\s+DESTINATION (\S+)\)", cmake)
    }
    assert installed == {"lib/${PROJECT_NAME}": programs, "bin": {"fourdhands"}}
    (excluded,) = re.findall(r'REGEX "(.*)" EXCLUDE', cmake)
    for name in programs:
        assert re.search(excluded, f"/fourdhands_ros/{name}")
        assert (REPOSITORY / "fourdhands_ros" / name).stat().st_mode & 0o111 == 0o111
