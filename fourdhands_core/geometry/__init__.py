"""Rotations, boxes, cameras: plain arrays in, plain arrays out."""

CALIBRATION_FILES = "a YAML of ROS (camera_info, or an echoed CameraInfo), OpenCV or Kalibr"
"""What `calibration_file` reads, in the words of the options `--intrinsics`."""
