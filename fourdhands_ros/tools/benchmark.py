"""Speed of the ROS side: publishing beside plain message objects, and how old a HandPair is when it arrives elsewhere.

`fourdhands benchmark ros` runs both. Ages are taken in a process of its own, from the image's stamp to the callback.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import rclpy
from geometry_msgs.msg import Point, TransformStamped
from rclpy.serialization import serialize_message
from rclpy.signals import SignalHandlerOptions
from visualization_msgs.msg import Marker, MarkerArray

from fourdhands_core.benchmark import percentiles
from fourdhands_core.errors import InputError
from fourdhands_core.geometry.rotations import quaternion_from_matrix
from fourdhands_core.hand_model.assets import HUMAN
from fourdhands_core.hand_model.skeleton import SIDES
from fourdhands_core.media.video import VideoReader, VideoWriter
from fourdhands_core.pipeline.tracker import HandPairTracker
from fourdhands_core.pipeline.types import HandPairEstimate

from ..convert.encoders import SOURCES, STATES, HandPairEncoder, MarkerEncoder, TransformEncoder, split_stamp
from ..node.parameters import Parameters
from ..pypi.message_types import HandPair, TFMessage, create_subscription, is_compiled, message_type, typestore
from .demo import START_TIMEOUT, CameraProcess, Process, configure_dds, wait_for

if TYPE_CHECKING:
    from rclpy.node import Node


def _header(message, stamp: int) -> None:
    message.header.stamp.sec, message.header.stamp.nanosec = split_stamp(stamp)
    message.header.frame_id = "camera"


def marker_objects(pair: HandPairEstimate, faces: Sequence[np.ndarray]) -> MarkerArray:
    """Both meshes as message objects, as tutorials do it: a Point for every corner."""
    array = MarkerArray()
    for hand in pair.hands:
        marker = Marker(ns="hands", id=hand.side, type=Marker.TRIANGLE_LIST, action=Marker.ADD)
        _header(marker, pair.stamp)
        marker.scale.x = marker.scale.y = marker.scale.z = marker.color.a = marker.color.r = 1.0
        marker.points = [Point(x=x, y=y, z=z) for x, y, z in hand.vertices[faces[hand.side].ravel()].astype(float).tolist()]
        array.markers.append(marker)
    return array


def transform_objects(pair: HandPairEstimate) -> list[TransformStamped]:
    """Both wrists as message objects."""
    transforms = []
    for hand in pair.hands:
        transform = TransformStamped(child_frame_id=f"{SIDES[hand.side]}_wrist")
        _header(transform, pair.stamp)
        place, turn = transform.transform.translation, transform.transform.rotation
        place.x, place.y, place.z = hand.joints[0].tolist()
        turn.x, turn.y, turn.z, turn.w = quaternion_from_matrix(hand.wrist_rotation).tolist()
        transforms.append(transform)
    return transforms


def pair_object(pair: HandPairEstimate) -> Any:
    """HandPair as a message object, of rosidl's class or, with ROS 2 from PyPI, of rosbags'."""

    def new(name, **values):
        kind = message_type(name) if is_compiled(HandPair) else typestore().types[name]
        return kind(**values)

    def point(values):
        x, y, z = values.tolist()
        return new("geometry_msgs/msg/Point", x=x, y=y, z=z)

    def header():
        sec, nanosec = split_stamp(pair.stamp)
        return new("std_msgs/msg/Header", stamp=new("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec), frame_id="camera")

    def numbers(values):
        return np.ravel(values).astype(np.float32)

    hands = []
    for hand in pair.hands:
        x, y, z, w = quaternion_from_matrix(hand.wrist_rotation).tolist()
        hands.append(
            new(
                "fourdhands_ros/msg/Hand",
                header=header(),
                side=hand.side,
                valid=hand.valid,
                state=STATES[hand.state],
                age=hand.age,
                confidence=hand.confidence,
                joints=[point(joint) for joint in hand.joints],
                joints_raw=[point(joint) for joint in hand.joints_raw],
                joint_confidence=numbers(hand.joint_confidence),
                joints_2d=numbers(hand.joints_2d),
                wrist=new(
                    "geometry_msgs/msg/Pose",
                    position=point(hand.joints[0]),
                    orientation=new("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w),
                ),
                scaled=hand.scaled,
                model=HUMAN,
                flat_hand_mean=True,
                global_orient=numbers(hand.global_orient),
                hand_pose=numbers(hand.hand_pose),
                betas=numbers(hand.betas),
                vertices=numbers([]),
            )
        )
    left, right = hands
    return new(
        "fourdhands_ros/msg/HandPair",
        header=header(),
        left=left,
        right=right,
        left_root_relative=new("geometry_msgs/msg/Vector3", **dict(zip("xyz", pair.left_root_relative.tolist()))),
        left_root_source=SOURCES[pair.left_root_source],
        network="landmark",
        frames_published=1,
        frames_dropped=0,
        frames_rejected=0,
        latency_stages=["total"],
        latency=numbers([0.01]),
        left_cameras=[],
        right_cameras=[],
    )


class Publishing:
    """Publishes both meshes, the joints and TF of estimates as the node does, below `benchmark/`.

    node: rclpy's. faces: for left and right, (F, 3).
    """

    def __init__(self, node: Node, faces: Sequence[np.ndarray]):
        self.publishers = {
            name: node.create_publisher(kind, f"benchmark/{name}", 5)
            for name, kind in (("hands", HandPair), ("tf", TFMessage), ("markers", MarkerArray))
        }
        self._pairs = HandPairEncoder("landmark", HUMAN)
        self._transforms, self._markers = TransformEncoder(), MarkerEncoder(faces)

    def __call__(self, pair: HandPairEstimate) -> None:
        """Publish an estimate."""
        for name, message in (
            ("tf", self._transforms.encode(pair, "camera")),
            ("hands", self._pairs.encode(pair, "camera", {"total": 0.01})),
            ("markers", self._markers.encode(pair, "camera")),
        ):
            if message is not None:
                self.publishers[name].publish(message)


@contextmanager
def published() -> Iterator[Callable]:
    """What `fourdhands_core.benchmark.benchmark` takes as its stage `publish`: estimates go out on real topics."""
    context = rclpy.Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("publishing_benchmark", context=context)
    made: list[Callable] = []

    def publish(pair, faces):
        if not made:
            made.append(Publishing(node, faces))
        made[0](pair)

    try:
        yield publish
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)


def publishing(node: Node, pair: HandPairEstimate, faces: Sequence[np.ndarray], rounds: int) -> dict:
    """Milliseconds to make and publish both meshes, the joints and TF of one estimate, serialised here and as objects.

    node: rclpy's. pair: with both hands and their vertices. faces: for left and right, (F, 3).
    """
    serialised = Publishing(node, faces)
    publishers = serialised.publishers

    def objects():
        listed = b"".join(serialize_message(transform)[4:] for transform in transform_objects(pair))
        publishers["tf"].publish(b"\0\1\0\0" + len(pair.hands).to_bytes(4, "little") + listed)
        message = pair_object(pair)
        publishers["hands"].publish(
            message if is_compiled(HandPair) else bytes(typestore().serialize_cdr(message, HandPair._runtime_name))
        )
        publishers["markers"].publish(marker_objects(pair, faces))

    result = {
        "serialised": percentiles(_seconds(lambda: serialised(pair), rounds)),
        "objects": percentiles(_seconds(objects, rounds // 5)),
    }
    for publisher in publishers.values():
        node.destroy_publisher(publisher)
    return {**result, "ratio": round(result["objects"]["p50"] / result["serialised"]["p50"], 1)}


def _seconds(function: Callable, rounds: int) -> list[float]:
    seconds = []
    for _ in range(rounds + 5):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return seconds[5:]


class Arrivals:
    """What one camera's HandPair messages told when they came: ages, seconds from the image's stamp, and what they are made of.

    dropped: images, so far. `times`: of each message its age and the seconds by stage, see `stages_of`.
    """

    def __init__(self) -> None:
        self.times: list[tuple[float, dict[str, float]]] = []
        self.dropped = 0

    def take(self, message: Any) -> None:
        """A HandPair has come now."""
        age = time.time() - (message.header.stamp.sec + message.header.stamp.nanosec * 1e-9)
        self.times.append((age, stages_of(message, age)))
        self.dropped = message.frames_dropped


def stages_of(message: Any, age: float) -> dict[str, float]:
    """Seconds by stage of a HandPair, from the image's stamp to its arrival: HandPair's own, without their sum; "between", in
    which it waited for the node's second thread; and "delivery", from the end of the node's work on."""
    stages = {name: float(value) for name, value in zip(message.latency_stages, message.latency)}
    total, transport = stages.pop("total"), stages.pop("transport")
    return {"transport": transport, **stages, "between": total - sum(stages.values()), "delivery": age - transport - total}


def ages(video: Path, cameras: int, seconds: float, parameters: Parameters = Parameters()) -> dict:
    """Age of HandPair messages, stamp to callback in this process, with `cameras` 30 Hz cameras in one node.

    Images, CameraInfo and HandPair go over DDS between processes. Of every camera's first second, in which models and
    processes warm up, nothing counts. parameters: of the node, but for `cameras`. Needs rclpy to be initialised.
    """
    names = [f"camera_{k}" for k in range(cameras)]
    node = rclpy.create_node("age_benchmark")
    arrived = {name: Arrivals() for name in names}
    folder = Path(tempfile.mkdtemp())
    for name in names:
        create_subscription(node, HandPair, f"{name}/hands", arrived[name].take, 10)
    told = {spec.name: getattr(parameters, spec.name) for spec in fields(Parameters) if spec.name != "cameras"}
    given = {name: value for name, value in told.items() if value != getattr(Parameters, name)} | {"cameras": names}
    with ExitStack() as cleanup:
        told_node = [word for name, value in given.items() for word in ("-p", f"{name}:={json.dumps(value)}")]
        hands = Process("fourdhands_ros", "--ros-args", *told_node, log=folder / "node.log")
        cleanup.callback(hands.stop)
        players = []
        for name in names:  # on a busy machine it takes long until all of them are heard; they are stopped before their end
            options = f"--fov 60 --subscribers 1 --wait --namespace {name} --loop --seconds {START_TIMEOUT + seconds}"
            players.append(CameraProcess(str(video), *options.split(), log=folder / f"{name}.log"))
            cleanup.callback(players[-1].stop)
        checks = [hands.check, *(player.check for player in players)]
        wait_for(lambda: all("ready" in player.said for player in players), checks)
        for player in players:
            player.start()

        # Without pauses: they would let messages queue up, whose ages were this process's own and not the node's.
        def heard() -> bool:
            rclpy.spin_once(node, timeout_sec=0.05)
            return all(len(one.times) > 30 for one in arrived.values())

        wait_for(heard, checks, pause=0.0)
        start, before = time.monotonic(), sum(one.dropped for one in arrived.values())
        first = [len(one.times) for one in arrived.values()]
        while time.monotonic() - start < seconds:
            rclpy.spin_once(node, timeout_sec=0.1)
            hands.check()
        for player in players:
            player.stop()
    node.destroy_node()
    counted = [one.times[begun:] for one, begun in zip(arrived.values(), first)]
    everything = [age for times in counted for age, _ in times]
    stages: dict[str, list[float]] = {}
    for name, value in (item for times in counted for _, took in times for item in took.items()):
        if np.isfinite(value):
            stages.setdefault(name, []).append(value)
    middle = min(map(len, counted)) // 2
    earlier, later = (
        np.median([age for times in counted for age, _ in times[part]]) for part in (slice(middle), slice(middle, None))
    )
    return {
        "cameras": cameras,
        "seconds": seconds,
        "age_ms": percentiles(everything),
        "stages_ms": {name: percentiles(values) for name, values in stages.items()},
        "messages_per_second_and_camera": round(len(everything) / seconds / cameras, 2),
        "camera_late_ms": round(1000.0 * max(player.said.get("latest", 0.0) for player in players), 1),
        "dropped": sum(one.dropped for one in arrived.values()) - before,
        "later_half_over_earlier": round(float(later / earlier), 3),
    }


def run(
    video: str | Path,
    seconds: float = 20.0,
    rounds: int = 1000,
    cameras: tuple[int, ...] = (1, 2, 4),
    parameters: Parameters = Parameters(),
) -> dict:
    """Both measurements, one after the other; video: of hands, played as the camera. parameters: of the node.

    Raises InputError for a video in which no two hands are found.
    """
    configure_dds(os.environ)
    folder = Path(tempfile.mkdtemp())
    played = camera_clip(video, folder)
    tracker = HandPairTracker(parameters.tracker_settings())
    with VideoReader(played) as reader:
        for stamp, image in reader:
            pair = tracker.process(image, stamp, with_vertices=True)
            if pair.left.valid and pair.right.valid:
                break
        else:
            raise InputError(f"{video} shows no two hands in its first 10 s, whose publishing is measured; give another one")
    tracker.close()
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        return {
            "video": Path(video).name,
            "cores": os.cpu_count(),
            "publishing_ms": publishing(rclpy.create_node("publishing_benchmark"), pair, tracker.faces, rounds),
            "model": parameters.model,
            "device": parameters.device,
            "age": [ages(played, count, seconds, parameters) for count in cameras],
        }
    finally:
        rclpy.try_shutdown()
        shutil.rmtree(folder)


def camera_clip(video: str | Path, folder: Path) -> Path:
    """The first 10 s of a video at 640 x 480, which is what the cameras play."""
    with VideoReader(video) as reader, VideoWriter(folder / "camera.mp4", 30.0) as writer:
        for _, image in islice(reader, 300):
            writer.write(cv2.resize(image, (640, 480), interpolation=cv2.INTER_AREA))
    return folder / "camera.mp4"
