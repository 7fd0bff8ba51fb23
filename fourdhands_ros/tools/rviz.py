"""RViz for the launch files: the node that shows the hands, or a sentence where RViz is not installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch.actions import LogInfo
from launch_ros.actions import Node


def start_rviz(config: Path, fixed_frame: str, **node: Any) -> Node | LogInfo:
    """A launch action. config: folder of hands.rviz; fixed_frame: RViz's; node: further arguments of launch_ros' Node."""
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:
        return LogInfo(
            msg="rviz:=true has no effect: the package rviz2 is not installed; apt install "
            "ros-$ROS_DISTRO-rviz2, or see the hands with rqt_image_view on hands/debug_image"
        )
    return Node(
        package="rviz2",
        executable="rviz2",
        name="rviz",
        output="screen",
        arguments=["-d", str(config / "hands.rviz"), "-f", fixed_frame],
        **node,
    )
