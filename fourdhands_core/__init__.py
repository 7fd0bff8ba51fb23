"""Two human hands from camera images: detection, the temporal 4DHands network, and metric 3-D output. No ROS in here."""

import os

from .signals import is_the_command, starting

__version__ = "0.1.0"

# Some builds of onnxruntime would tell their maker of every session.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if is_the_command():  # what it imports next takes a moment, in which a signal would be a traceback
    starting()
