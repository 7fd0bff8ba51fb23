"""`python -m fourdhands_ros.player`: plays a bag without a colcon workspace; see bags/player.py."""

from .executable import run

if __name__ == "__main__":
    run("bags.player")
