"""`python -m fourdhands_ros`: the node without a colcon workspace."""

from .executable import run

run("node.node")
