"""What a robot installs: video, bag and node with the shipped network, where neither torch nor smplx is there."""

import json
import os

import numpy as np
import pytest
from bag_support import camera_entries, rendered, write_bag  # noqa: F401
from program_support import python
from ros_support import REPOSITORY
from safetensors.numpy import save_file
from video_support import plain_video, write_video

from fourdhands_core.network.landmark_config import LandmarkConfig

OPTIONAL = ("torch", "smplx", "onnx", "onnxscript", "numba", "tensorboardX", "scipy", "skimage", "mujoco", "mink", "ruckig")


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """The environment of processes, and of those that they start, which have none of the packages of the extras."""
    folder = tmp_path_factory.mktemp("without")
    for name in OPTIONAL:
        (folder / f"{name}.py").write_text(f"raise ModuleNotFoundError('No module named {name}', name={name!r})")
    path = filter(None, (str(folder), str(REPOSITORY), os.environ.get("PYTHONPATH")))  # a workspace has ROS there
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def run(without, *arguments):
    return python(*arguments, env=without)


def command(without, *arguments):
    return run(without, "-m", "fourdhands_core.cli", *arguments)


def test_a_video(without, rendered, tmp_path):
    write_video(tmp_path / "in.mp4", (image for _, image in rendered.images[:12]))
    done = command(without, "track", tmp_path / "in.mp4", "--out", tmp_path / "out", "--fov", 64, "--quiet", "--mesh")
    assert done.returncode == 0, done.stderr
    assert np.load(tmp_path / "out" / "hands.npz")["valid"].any()


def test_a_bag_in_intervals(without, rendered, tmp_path):
    """Also what is kept between them."""
    rendered.images, every = rendered.images[:12], rendered.images
    bag = write_bag(tmp_path / "in", *camera_entries(rendered, "/cam"))
    rendered.images = every
    done = command(without, "bag", bag, tmp_path / "out", "--quiet", "--interval", 5)
    assert done.returncode == 0, done.stderr
    assert "12 images, 12 HandPairs" in done.stdout


NODE = """
import rclpy
from rclpy.lifecycle import TransitionCallbackReturn
from fourdhands_ros.executable import end
from fourdhands_ros.node.node import HandsNode as Node

rclpy.init()
node = Node()
print(*(transition() == TransitionCallbackReturn.SUCCESS for transition in (node.trigger_configure, node.trigger_activate)))
node.destroy_node()
rclpy.try_shutdown()
end(0)
"""
TELEOP = NODE.replace("node.node import HandsNode", "teleop.node import TeleopNode")


def test_the_node(without):
    done = run(without, "-c", NODE)
    assert done.stdout.split() == ["True", "True"], done.stdout + done.stderr


def test_teleoperation_lacks_its_planner_before_a_robot_moves(without):
    """It was missed at the first motion, by a node that had said that it is ready to follow."""
    done = run(without, "-c", TELEOP)
    assert done.stdout.split() == ["True", "False"], done.stdout + done.stderr
    assert "teleoperation needs ruckig, which is not installed" in done.stderr and "Traceback" not in done.stderr


NEEDS = [
    (["track", "{tmp}/in.mp4", "--out", "{tmp}/out", "--weights", "{tmp}/small.safetensors"], ("sizes", "torch", "[torch]")),
    (["track", "{tmp}/in.mp4", "--out", "{tmp}/out", "--model", "image", "--weights", "w"], ("model = 'image'", "[torch]")),
    (["export", "--out", "{tmp}/out"], ("fourdhands export", "torch", "[onnx]")),
    (["train", "landmark", "--out", "{tmp}/w.safetensors"], ("fourdhands train", "[train]")),
    (["evaluate", "--out", "{tmp}/out"], ("fourdhands evaluate", "[train]")),
    (["import-weights", "x.pth"], ("fourdhands import-weights", "torch", "[torch]")),
    (["benchmark", "--backbone", "S"], ("fourdhands benchmark", "torch", "[torch]")),
]
ONE_BY_ONE = """
import contextlib, io, json, sys
from fourdhands_core.cli import main
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = main(arguments)
    print(json.dumps([code, said.getvalue()]), flush=True)  # the next command makes stdout anew
"""


def test_what_needs_more_says_what_to_install(without, tmp_path):
    header = json.dumps({"config": LandmarkConfig(width=64).to_dict()})
    save_file({"x": np.zeros(1)}, tmp_path / "small.safetensors", {"fourdhands": header})
    plain_video(tmp_path / "in.mp4", [0])
    commands = [[word.replace("{tmp}", str(tmp_path)) for word in arguments] for arguments, _ in NEEDS]
    done = run(without, "-c", ONE_BY_ONE, json.dumps(commands))
    assert done.returncode == 0, done.stderr
    for (_, words), line in zip(NEEDS, done.stdout.splitlines(), strict=True):
        code, error = json.loads(line)
        assert code == 2 and len(error.strip().splitlines()) == 1, error
        assert all(word in error for word in (*words, "pip install 'fourdhands")), error
