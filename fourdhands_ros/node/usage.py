"""What `hands_node --help` prints: the node's topics, services and parameters."""

from __future__ import annotations

import argparse
import textwrap
from dataclasses import fields

import yaml

from .parameters import Parameters

_DESCRIPTION = """\
Tracks both hands in the images of one camera or several.

  ros2 launch fourdhands_ros hands.launch.py image:=/camera/image_raw     in a workspace, with its other programs
  %(prog)s --ros-args -r image_raw:=/camera/image_raw -p hold:=0.5

takes (with cameras: [left, right] below left/ and right/):
  image_raw or image_raw/compressed                       sensor_msgs/Image, CompressedImage
  camera_info                                             sensor_msgs/CameraInfo
  depth/image_raw or depth/image_raw/compressedDepth      with depth: true; 16UC1 or 32FC1 in the colour image's view
gives:
  hands                     fourdhands_ros/HandPair, both hands of every image
  hands/left_wrist, hands/right_wrist   geometry_msgs/PoseStamped, in target_frame
  hands/openxr              geometry_msgs/PoseArray, OpenXR's 26 joints of the left and then the right hand, likewise
  hands/markers             visualization_msgs/MarkerArray, both meshes
  hands/faces               fourdhands_ros/HandFaces, triangles, latched
  hands/debug_image         sensor_msgs/Image with the hands drawn on it; hands/debug_image/compressed, CompressedImage
  /tf, /diagnostics
services: ~/reset, ~/calibrate_hand (std_srvs/Trigger), ~/pause (std_srvs/SetBool), and those of a lifecycle node
"""


def node_parser(prog: str) -> argparse.ArgumentParser:
    """The parser of the node's command line, which has no arguments but ROS's."""
    return argparse.ArgumentParser(
        prog=prog,
        usage=f"{prog} [-h] [--ros-args -p NAME:=VALUE -r FROM:=TO --params-file FILE]",
        description=_DESCRIPTION,
        epilog=_parameters(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _parameters() -> str:
    lines = ["parameters (* may be changed while the node runs):"]
    for spec in fields(Parameters):
        default = list(spec.default) if isinstance(spec.default, tuple) else spec.default
        shown = yaml.safe_dump(default, default_flow_style=True).split("\n...")[0].strip()
        mark = "" if spec.metadata["read_only"] else " *"
        words = spec.metadata["description"] + (
            "" if not spec.metadata["choices"] else f" One of: {', '.join(spec.metadata['choices'])}."
        )
        lines += [f"  {spec.name}: {shown}{mark}", textwrap.fill(words, 110, initial_indent=6 * " ", subsequent_indent=6 * " ")]
    return "\n".join(lines)
