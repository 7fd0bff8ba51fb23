"""Two human hands from camera images: detection, the temporal 4DHands network, and metric 3-D output. No ROS in here."""

__version__ = "0.1.0"
