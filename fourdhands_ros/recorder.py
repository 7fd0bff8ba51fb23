"""`python -m fourdhands_ros.recorder`: records without a colcon workspace; see bags/recorder.py."""

from .executable import run

if __name__ == "__main__":
    run("bags.recorder")
