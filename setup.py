"""The pip package `fourdhands`: the core, the ROS 2 node and the `fourdhands` command."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
README = ROOT / "README.md"

ROS_FROM_PYPI = [
    "ros-jazzy-rclpy",
    "ros-jazzy-rmw-fastrtps-cpp",
    "ros-jazzy-sensor-msgs",
    "ros-jazzy-geometry-msgs",
    "ros-jazzy-visualization-msgs",
    "ros-jazzy-std-srvs",
    "ros-jazzy-diagnostic-msgs",
    "cv-bridge>=1.13",  # a workspace has ROS's own
    "rosbags>=0.11",
    "backports.zstd>=1",
    "mcap>=1.2",
]

TORCH = ["torch==2.13.0"]  # a range would take the newest build with several GB of CUDA
MANO = ["smplx==0.1.28"]  # MANO's forward function in torch, which training needs; its licence forbids commercial use
RENDER = ["scipy>=1.10"]

setup(
    name="fourdhands",
    version="0.1.0",
    description="Both hands' pose, shape, mesh and position in metres from a camera image topic, for ROS 2",
    long_description=README.read_text() if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    # fourdhands_ros.msg is the folder msg/: without a colcon workspace the node reads the definitions at run time.
    packages=[*find_packages(include=["fourdhands_core*", "fourdhands_ros*"]), "fourdhands_ros.msg"],
    package_dir={"fourdhands_ros.msg": "msg"},
    package_data={
        "fourdhands_core": ["py.typed", "**/assets/*", *(f"**/*.{x}" for x in "safetensors onnx yaml xml urdf stl".split())],
        "fourdhands_ros": ["py.typed", "tools/*.xml"],
        "fourdhands_ros.msg": ["*.msg"],
    },
    install_requires=[
        "numpy>=1.26",
        "safetensors>=0.4",
        "onnxruntime>=1.20",  # runs the detector, and the landmark network in half of torch's time
        "PyYAML>=6",
        "threadpoolctl>=3",
        "tqdm>=4.60",
        "pillow>=10",  # the size in a compressed image's header, before OpenCV takes memory for it
        "opencv-python==4.11.0.86",
    ],
    extras_require={
        "mediapipe": ["mediapipe==0.10.21"],  # to compare with; up to Python 3.12
        "ros": ROS_FROM_PYPI,
        "robot": ["mujoco>=3.17", "mink>=1.3", "ruckig>=0.19"],  # retargeting, teleoperation, the simulated robot
        "view": ["viser>=1.1"],  # the page that shows hands in a browser
        "dataset": ["pyarrow>=19", "av>=15", "h5py>=3.10"],  # fourdhands episodes: LeRobot's format, videos, HDF5
        "cluster": ["ray[client]>=2.40", "fsspec>=2024.2"],  # --address; URLs, each protocol with fsspec's own package for it
        "render": RENDER,  # the demo's and the evaluation's rendered hands
        "torch": TORCH,  # the image network, and networks of other sizes than the shipped one's
        "mano": MANO,
        "onnx": [*TORCH, "onnx>=1.17", "onnxscript>=0.5"],  # to export networks; what they export runs without
        # TensorBoard itself wants a protobuf that MediaPipe, with which tests compare, does not
        "train": [*TORCH, *MANO, *RENDER, "numba>=0.60", "tensorboardX>=2.6", "matplotlib"],
        "lint": ["ruff>=0.17", "mypy>=2.4", "types-PyYAML", "types-tqdm"],
        # pytest 9 and launch_testing: ros2/launch 979; transforms3d is what tf_transformations is a layer on
        "test": [*RENDER, "pytest<9", "hypothesis>=6", "scikit-image>=0.22", "transforms3d>=0.4"],
        # make test in several processes; what .ci/run asks of pytest
        "parallel": ["pytest-xdist>=3.5", "pytest-rerunfailures>=16.2", "pytest-timeout>=2.3"],
    },
    entry_points={"console_scripts": ["fourdhands = fourdhands_core.cli:run"]},
)
