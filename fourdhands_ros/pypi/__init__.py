"""What exists only for ROS 2 from Python packages: message types at run time."""
