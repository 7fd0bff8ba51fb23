"""Tracks both hands through a video and prints where the wrists are. No ROS is needed.

python examples/video.py VIDEO [FOV]: FOV is the camera's horizontal field of view in degrees; without it one is assumed, and
positions are not to scale.
"""

import sys

from fourdhands_core.media.track_video import camera_for_video
from fourdhands_core.media.video import VideoReader
from fourdhands_core.pipeline.tracker import HandPairTracker

tracker = HandPairTracker()
with VideoReader(sys.argv[1]) as video:
    camera = camera_for_video(video.width, video.height, fov=float(sys.argv[2]) if len(sys.argv) > 2 else None)
    for stamp, image in video:
        pair = tracker.process(image, stamp, camera)
        for name, hand in ("left", pair.left), ("right", pair.right):
            if hand.valid:
                x, y, z = hand.joints[0]  # joint 0 is the wrist; metres in the camera's optical frame
                print(
                    f"{stamp / 1e9:7.3f} s  {name} wrist at {x:+.3f} {y:+.3f} {z:+.3f} m"
                    + ("" if hand.scaled else " (not scaled)")
                )
tracker.close()
