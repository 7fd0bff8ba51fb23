"""`python -m fourdhands_ros.camera`: a video as a camera without a colcon workspace; see tools/camera.py."""

from .executable import run

if __name__ == "__main__":
    run("tools.camera")
