"""A camera made of a file or a device: publishes `image_raw` and `camera_info` with the times of the frames as stamps.

`python -m fourdhands_ros.camera SOURCE` plays a video in any format that OpenCV reads, or a live camera by its index.
It says on stdout, as one line of JSON each, when it is ready and what it has published; what is wrong goes to the ROS log.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta

import numpy as np
import rclpy
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from fourdhands_core.commands import path
from fourdhands_core.files import local_path
from fourdhands_core.geometry import CALIBRATION_FILES
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.media.track_video import camera_for_video
from fourdhands_core.media.video import VideoReader

from ..convert.camera_info import resolved_info_topics
from ..convert.cdr import Template
from ..convert.marker import header
from ..executable import Stop, end, make_room_for_images, program
from ..process import make_node, parse, run_ros

_LATE = 200_000_000
"""Nanoseconds by which a frame of a file may be published too late; one that is more overdue is left out."""
_STUCK = 10
"""Frames left out in a row without gain after which a file plays slower."""
_GONE = 5_000_000_000
"""Nanoseconds: a frame more overdue than that was not waited for, but the computer slept or its clock was set."""
_GAP, _STEP = 60_000_000_000, 33_333_333
"""Nanoseconds: so long without a frame is not waited for, as a recorder's pause, but the next one comes this much later."""
_TELL = 10.0
"""Seconds between two lines of the log that say the same."""

CAMERA_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
"""Reliable serves subscribers of both kinds: a node takes the newest image, a recorder takes every one."""


def camera_info(width: int, height: int, camera: Camera | None, frame_id: str) -> CameraInfo:
    """The CameraInfo of a camera; without one its K is zero, which is how ROS marks an uncalibrated camera."""
    message = CameraInfo(width=width, height=height)
    message.header.frame_id = frame_id
    if camera is not None:
        message.distortion_model = camera.distortion_model or "plumb_bob"
        message.d = camera.distortion.tolist() or [0.0] * 5
        message.k = camera.matrix.ravel()
        message.r = np.eye(3).ravel()
        message.p = np.hstack([camera.matrix, np.zeros((3, 1))]).ravel()
    return message


def image_template(width: int, height: int, frame_id: str) -> Template:
    """A serialised rgb8 Image with the slots sec, nanosec and data: two copies of an image instead of four."""
    template = Template()
    header(template, frame_id)
    template.constant("u4", (height, width))
    template.string("rgb8")
    template.constant("u1", False)  # is_bigendian
    template.constant("u4", 3 * width)  # step
    template.sequence("data", "u1", 3 * width * height)
    return template.finish()


def forth_and_back(source: VideoReader, most: int = 300) -> Iterator[tuple[int, np.ndarray]]:
    """The first images of a video forwards, backwards and so on without end, at the video's rate."""
    kept: list[np.ndarray] = []
    interval = 0
    for stamp, image in source:
        if kept:
            interval = stamp // len(kept)
        kept.append(image)
        yield stamp, image
        if len(kept) == most:
            break
    count, number = len(kept), len(kept)
    while count > 1:
        place = number % (2 * count - 2)
        yield number * interval, kept[min(place, 2 * count - 2 - place)]
        number += 1


class Pace:
    """When each frame of a file is due, and which are left out on a computer that is too busy, so that stamps stay near now.

    start: the clock at the file's beginning. skipped: frames left out. slowed: by how much the rest of the file plays later:
    where frames take longer to decode than they last, leaving them out does not help. Times in nanoseconds. Where the clock is
    set, forwards or back, the file goes on from where it was.
    """

    def __init__(self, start: int):
        self._start, self._run, self._late_before, self._slow = start, 0, 0, False
        self._before: int | None = None
        self.skipped = self.slowed = 0

    def due(self, time_in_file: int) -> int:
        """When a frame is to be published, which is its stamp."""
        return self._start + time_in_file

    def overdue(self, time_in_file: int, now: int) -> bool:
        """Whether a frame, of which it is asked once and in order, is to be left out."""
        if self._before is not None:
            self.awaited(self._before, now)
        self._before = time_in_file
        late = now - self.due(time_in_file)
        if late <= _LATE:
            self._run = 0
            return False
        if not self._run:
            self._late_before = late
        self._run += 1
        self._slow |= self._run > _STUCK and late >= self._late_before
        if self._slow or late > _GONE:
            self._start += late
            self.slowed += late
            self._run = 0
            return False
        self.skipped += 1
        return True

    def passed_over(self, time_in_file: int) -> int:
        """How long before this frame there is none, where that is so long that it is not waited for; else 0. To be asked before
        `overdue`."""
        gap = 0 if self._before is None else time_in_file - self._before
        if gap <= _GAP:
            return 0
        self._start -= gap - _STEP
        return gap

    def awaited(self, time_in_file: int, now: int) -> int:
        """The stamp of a frame that was waited for."""
        early = self.due(time_in_file) - now
        if early > _LATE:  # the clock was set back
            self._start -= early
        return self.due(time_in_file)


class Waiting:
    """The time by which images are published: the computer's, or /clock's where the node has use_sim_time."""

    def __init__(self, node: Node, stop: Stop):
        self._clock, self._stop, self._executor = node.get_clock(), stop, None
        if node.get_parameter("use_sim_time").value:
            self._executor = SingleThreadedExecutor()
            self._executor.add_node(node)
            self.until(1)  # the first /clock; before it is 0

    def now(self) -> int:
        """Nanoseconds."""
        return self._clock.now().nanoseconds

    def until(self, at: int) -> bool:
        """Return at that time, where the clock is set back, or at a signal; whether it was one."""
        begun = self.now()
        if self._executor is None:
            return self._stop.wait((at - begun) * 1e-9)
        while begun - _LATE <= self.now() < at and not self._stop.is_set():
            self._executor.spin_once(timeout_sec=0.1)
        return self._stop.is_set()


class CameraPublisher:
    """Publishes the frames of a video or camera when they are due."""

    def __init__(self, node: Node, source: VideoReader, camera: Camera | None, frame_id: str, stop: Stop):
        self._node, self._source, self._stop = node, source, stop
        self._images = node.create_publisher(Image, "image_raw", CAMERA_QOS)
        self._infos = node.create_publisher(
            CameraInfo, resolved_info_topics(node, "camera_info", self._images.topic_name)[-1], CAMERA_QOS
        )
        self._info = camera_info(source.width, source.height, camera, frame_id)
        self._image = image_template(source.width, source.height, frame_id)
        self.pace = Pace(0)
        self.published, self.latest = 0, 0.0
        self.first_stamp: int | None = None

    def wait_for_subscribers(self, count: int) -> None:
        """Return when both topics have `count` subscribers, or at a signal; a node may load its model for minutes."""
        told = time.monotonic()
        while min(self._images.get_subscription_count(), self._infos.get_subscription_count()) < count:
            if time.monotonic() > told + _TELL:
                told = time.monotonic()
                self._node.get_logger().warning(
                    f"{self._images.get_subscription_count()} of {count} subscribers of {self._images.topic_name} and "
                    f"{self._infos.get_subscription_count()} of {self._infos.topic_name} are there: waiting for the others"
                )
            if self._stop.wait(0.02):
                return

    def play(self, seconds: float | None, images: Iterable[tuple[int, np.ndarray]] | None = None) -> None:
        """Publish until the source or `seconds` end, or a signal comes.

        A file's frame i gets the stamp of the start plus its own time.

        images: (stamp, image) pairs in place of the source's own.
        """
        waiting = Waiting(self._node, self._stop)
        self.pace = pace = Pace(waiting.now())
        for stamp, image in images or self._source:
            if self._stop.is_set():
                break
            if not self._source.is_camera:
                if gap := pace.passed_over(stamp):
                    silent = timedelta(seconds=round(gap / 1e9))
                    self._node.get_logger().warning(f"the file has no frame for {silent}; that is passed over")
                if pace.overdue(stamp, waiting.now()):
                    self._node.get_logger().warning(
                        f"this computer is too busy to publish every frame: {pace.skipped} left out so far",
                        throttle_duration_sec=_TELL,
                    )
                    continue
                if waiting.until(pace.due(stamp)):
                    break
                stamp = pace.awaited(stamp, waiting.now())
            if self.first_stamp is None:
                self.first_stamp = stamp
            if seconds is not None and stamp - self.first_stamp >= seconds * 1e9:
                break
            self._info.header.stamp.sec, self._info.header.stamp.nanosec = divmod(stamp, 10**9)
            message = self._image.fill(stamp, data=image)
            self._infos.publish(self._info)
            self._images.publish(message)
            self.published += 1
            self.latest = max(self.latest, (waiting.now() - stamp) * 1e-9)

    def wait_until_received(self, timeout: float = 2.0) -> bool:
        """Return when reliable subscribers have everything, or after `timeout` seconds: what is not acknowledged when the
        process ends is lost."""
        return all(publisher.wait_for_all_acked(Duration(seconds=timeout)) for publisher in (self._images, self._infos))


def main(argv: list[str] | None = None) -> int:
    """Run the camera; returns the exit code."""
    parser = argparse.ArgumentParser(prog=program("camera"), description=__doc__)
    parser.add_argument("source", type=local_path, help="video file, folder of images (30 a second), or index of a camera")
    parser.add_argument("--fov", type=float, help="horizontal field of view, degrees; without it uncalibrated")
    parser.add_argument("--intrinsics", type=path, help=f"its calibration: {CALIBRATION_FILES}")
    parser.add_argument("--frame-id", default="camera_optical_frame")
    parser.add_argument("--namespace", default="", help="of its topics")
    parser.add_argument("--loop", action="store_true", help="play a file forth and back without end")
    parser.add_argument("--seconds", type=float, help="stop after this time")
    parser.add_argument("--subscribers", type=int, default=0, help="wait until both topics have this many")
    parser.add_argument("--wait", action="store_true", help="wait for a line on stdin before the first frame")
    args, command_line = parse(parser, argv)
    make_room_for_images(os.environ)
    return run_ros("camera", parser.prog, command_line, lambda stop: _run(args, stop))


def _run(args: argparse.Namespace, stop: Stop) -> int:
    node = make_node(rclpy.create_node, "camera", namespace=args.namespace)
    with VideoReader(args.source) as source:
        camera = camera_for_video(source.width, source.height, args.fov, args.intrinsics)
        publisher = CameraPublisher(node, source, camera, args.frame_id.lstrip("/"), stop)
        publisher.wait_for_subscribers(args.subscribers)
        if not stop.is_set():
            _say(ready=True)
        if not args.wait or _line_comes(stop):
            publisher.play(args.seconds, forth_and_back(source) if args.loop else None)
            publisher.wait_until_received()
        missing = 0 if stop.is_set() or args.loop or args.seconds else source.missing
    if missing:
        node.get_logger().warning(f"{missing} of {source.frame_count or 'the'} frames in the file could not be read")
    played = {"published": publisher.published, "first_stamp": publisher.first_stamp, "latest": publisher.latest}
    pace = publisher.pace
    _say(**played, skipped=pace.skipped, slowed=pace.slowed * 1e-9, missing=missing)
    return 0


def _say(**values: object) -> None:
    print(json.dumps(values), flush=True)


def _line_comes(stop: Stop) -> bool:
    """Wait for a line on stdin; False at a signal, or where stdin ends without one."""
    while not stop.is_set():
        if select.select([sys.stdin], [], [], 0.1)[0]:
            return bool(sys.stdin.readline())
    return False


if __name__ == "__main__":
    end(main())
