"""`python -m fourdhands_ros.player`: plays a bag or a dataset without a colcon workspace; see episodes/player.py."""

from .executable import run

if __name__ == "__main__":
    run("episodes.player")
