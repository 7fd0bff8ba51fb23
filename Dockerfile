# The node on a robot with an NVIDIA GPU: ROS 2 Jazzy, this package, torch with CUDA.
#
#   docker build -t fourdhands .
#   docker run --rm --gpus all --network host --ipc host fourdhands image:=/camera/image_raw camera_info:=/camera/camera_info
#
# The host, x86-64, needs a driver for CUDA 13 and the NVIDIA Container Toolkit; --network and --ipc host let DDS reach the
# camera's driver. The landmark network runs on the CPU; the image model on the GPU, with its weights mounted:
#   docker run ... -v ~/weights:/weights:ro fourdhands model:=image weights:=/weights/Demo_Video.safetensors device:=cuda
FROM ros:jazzy-ros-base

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV VIRTUAL_ENV=/opt/fourdhands
ENV PATH="$VIRTUAL_ENV/bin:$PATH"

RUN apt-get update && apt-get install -y --no-install-recommends \
        libgl1 libglib2.0-0t64 python3-venv ros-jazzy-rmw-cyclonedds-cpp ros-jazzy-rosbag2-storage-mcap \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv --system-site-packages "$VIRTUAL_ENV"

WORKDIR /ws
# First what changes seldom: torch alone is gigabytes. On PyPI it comes with CUDA.
COPY constraints.txt requirements-workspace.txt src/fourdhands_ros/
RUN pip install --no-cache-dir -c src/fourdhands_ros/constraints.txt -r src/fourdhands_ros/requirements-workspace.txt torch==2.13.0

COPY . src/fourdhands_ros/
# hadolint ignore=SC1091
RUN source /opt/ros/jazzy/setup.bash \
    && apt-get update && rosdep update --rosdistro jazzy \
    && rosdep install -y --from-paths src --ignore-src --dependency-types exec \
    && rm -rf /var/lib/apt/lists/* \
    && colcon build --cmake-args -DBUILD_TESTING=OFF \
    && useradd --create-home --groups video robot

USER robot
# ros_entrypoint.sh of the base image sources /opt/ros; this adds the workspace.
ENTRYPOINT ["/bin/bash", "-c", "source /opt/ros/jazzy/setup.bash && source /ws/install/setup.bash && exec ros2 launch fourdhands_ros hands.launch.py \"$@\"", "hands"]
