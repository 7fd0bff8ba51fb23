"""The page of running nodes: their topics, subscribed to only while somebody looks, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.rigid import Rigid
from fourdhands_core.hand_model.assets import HandAsset
from fourdhands_core.view.moments import words
from fourdhands_core.view.page import Panel
from fourdhands_core.view.plots import PlotPanel
from fourdhands_core.view.robots import RobotState
from fourdhands_core.view.serving import Served
from fourdhands_core.view.sights import RobotSight, Sight
from fourdhands_core.view.stage import Stage

from ..bags.info import HAND_PAIR
from ..convert.diagnosis import recorder_words, sentences
from ..convert.transforms import TransformError
from ..executable import Stop
from ..node.frames import Frames, watch_frames
from ..node.polling import PolledSubscription
from ..process import make_node, run_ros
from ..pypi.message_types import deserialize_ros
from .live_camera import LiveCamera
from .live_models import LiveModels
from .live_robots import LiveRobots

_SPAN = 20.0
"""Seconds that the plot shows."""
_SILENCE = 2.0
"""Seconds without hands after which that is said."""
_GONE = 30.0
"""Seconds without hands after which a camera that was found, and that no node publishes any more, is left out."""
_LOOK_PERIOD = 0.5
"""Seconds between two looks at what topics there are, and two drawings of the plot."""
_QUEUE_PERIOD = 0.07
"""Seconds at most between two looks at what has come, which is kept no longer than that of a few images."""
_NICENESS = 5
_RECORDER_PERIOD = 5.0
"""Seconds for which holds what a recorder said."""


class LivePage:
    """Shows the cameras while somebody looks. Its own thread takes messages in and draws; another one, of the executor, waits
    for answers of services alone.

    cameras: to show. image: of a camera that is found. found: those that come up are shown too; a camera of the topic /hands is
    waited for where there are none. estop: with a button that stops robots.
    """

    def __init__(
        self,
        served: Served,
        node: Node,
        cameras: Sequence[LiveCamera],
        hands: tuple[HandAsset, HandAsset],
        rate: float,
        find: bool = False,
        estop: bool = False,
    ) -> None:
        self._node, self.cameras, self._period, self._find = node, list(cameras), 1.0 / rate, find
        self._server = served.server
        self.stage = Stage(served.server, hands)
        self._presence = served.gateway.presence
        self.panel = Panel(served.server, [self.stage], "")
        self.robots = LiveRobots(node, estop)
        self._models = LiveModels(node, hands)
        self._stopped = ""
        if estop:
            button = served.server.gui.add_button("Emergency stop", color="red", hint="true on ~/estop of all robots here")
            button.on_click(lambda _: self.stop_robots())
        self.choice: Any = None
        self._plots = PlotPanel(served.server, span=_SPAN)
        self.panel.add_choices()
        self._open = False
        self._looked = 0.0
        self.sights: dict[str, Sight] = {}
        self._words: dict[str, list[str]] = {}
        self._standing: list[str] = []
        self._diagnostics: PolledSubscription | None = None
        self._told: dict[str, tuple[str, ...]] = {}
        self._recorder: tuple[float, str] = (0.0, "")
        self._frames: Frames | None = None
        self._name()

    def run(self, stop: Stop) -> None:
        """Until the end is asked for."""
        executor = SingleThreadedExecutor()
        executor.add_node(self._node)
        spinning = threading.Thread(target=_spin, args=(executor,), name="answers", daemon=True)
        spinning.start()
        try:
            while not stop.is_set():
                there = self._presence.wait(0.2)
                if there != self._open:
                    self.switch(there)
                if there:
                    began = time.monotonic()
                    self.turn()
                    while (left := began + self._period - time.monotonic()) > 0:
                        time.sleep(min(left, _QUEUE_PERIOD))
                        if left > _QUEUE_PERIOD:
                            for camera in self.cameras:
                                camera.take()
        finally:
            self.switch(False)
            executor.shutdown()
            spinning.join(5.0)

    def _name(self) -> None:
        """What is shown, and of several cameras a choice whose plots are."""
        names = [camera.pairs for camera in self.cameras]
        self.panel.name(", ".join(names) or "hands")
        if self.choice is not None and names:
            self.choice.options = tuple(names)
        elif len(names) > 1:
            self.choice = self._server.gui.add_dropdown("Plots of", tuple(names), order=self._plots.choice.order - 0.1)

    def stop_robots(self) -> None:
        """Ask for the emergency stop of all robots, and say what came of it."""
        self._stopped = self.robots.stop()

    def switch(self, there: bool) -> None:
        """Subscribe where somebody looks, let go of all topics where nobody does."""
        self._open, self._looked = there, 0.0
        if self._diagnostics is not None:
            self._diagnostics.destroy()
            self._diagnostics = None
        if self._frames is not None:
            self._frames.destroy()
            self._frames = None
        self.robots.close()
        self._models.close()
        if there:
            self._diagnostics = PolledSubscription(self._node, DiagnosticArray, "/diagnostics", QoSProfile(depth=50))
        for camera in self.cameras:
            camera.close()
            if there:
                camera.came = time.monotonic()
                camera.open()

    def _look(self) -> None:
        """At what has come up since."""
        topics = self._node.get_topic_names_and_types()
        if self._find:
            known = {camera.pairs for camera in self.cameras}
            for name, types in sorted(topics):
                if HAND_PAIR in types and name not in known and self._node.count_publishers(name):
                    camera = LiveCamera(self._node, name, None)
                    camera.came = time.monotonic()
                    camera.open()
                    self.cameras.append(camera)
                    self._name()
            for camera in self.cameras[:]:
                if time.monotonic() - camera.came > _GONE and not self._node.count_publishers(camera.pairs):
                    camera.close()
                    self.cameras.remove(camera)
                    self._words.pop(camera.pairs, None)
                    self._name()
            if not self.cameras:
                self._words[""] = ["no node publishes hands: start one, such as with hands.launch.py"]
            else:
                self._words.pop("", None)
        self.robots.look(topics)
        for camera in self.cameras:
            camera.look_for_images(topics)
            camera.look_for_depth(topics, self.stage.shown["Depth cloud"])
        if self._frames is None and (len(self.cameras) > 1 or self.robots.states()):
            self._frames = watch_frames(self._node)

    def pose(self, source: str, stamp: int) -> tuple[Rigid | None, str]:
        """Where a frame stands in the first camera's at a stamp, or why that is not known."""
        first = self.cameras[0].frame_id if self.cameras else ""
        if self._frames is None or not first or not source:
            return None, "nothing names its frame yet"
        try:
            return self._frames.lookup(first, source, stamp), ""
        except TransformError as error:
            return None, str(error)

    def _take_diagnostics(self) -> None:
        for data, _ in self._diagnostics.take() if self._diagnostics is not None else ():
            with contextlib.suppress(Exception):  # what does not unpack explains nothing
                self._hear(deserialize_ros(data, DiagnosticArray))

    def _hear(self, array: DiagnosticArray) -> None:
        for frame in {status.hardware_id for status in array.status} & {camera.frame_id for camera in self.cameras}:
            self._told[frame] = sentences(array, frame)
        if recorder := recorder_words(array):
            self._recorder = time.monotonic(), recorder

    def _see(self, camera: LiveCamera, now: float) -> None:
        """What is newest of a camera, and its words."""
        newest = camera.newest()
        if newest is None:
            if now - camera.came > _SILENCE:
                self.sights.pop(camera.pairs, None)  # what is old is not shown as if it were now
                self._models.forget(camera.pairs)
                publishers = self._node.count_publishers(camera.pairs)
                why = "the node sends none" if publishers else "no node publishes it"
                self._words[camera.pairs] = [f"no hands on {camera.pairs} for {now - camera.came:.0f} s: {why}"]
            return
        moment, image = newest
        camera.add(moment)
        pose, problem = self.pose(camera.frame_id, moment.stamp) if camera is not self.cameras[0] else (Rigid(), "")
        cloud = camera.cloud(moment.stamp, image)
        hands, unknown = self._models.of(camera.pairs, camera.model)
        sight = Sight(camera.pairs, moment, image, False, cloud, camera.fused, pose, problem, camera.model, hands)
        self.sights[camera.pairs] = sight
        told = [f"Meshes: {unknown}."] if unknown else []
        self._words[camera.pairs] = [*words(moment), *told, *self._told.get(camera.frame_id, ())]

    def turn(self) -> None:
        """Take in what has come, and show it."""
        now = time.monotonic()
        looks = now - self._looked > _LOOK_PERIOD
        if looks:
            self._looked = now
            self._look()
            self._take_diagnostics()
        before = dict(self.sights)
        for camera in self.cameras:
            self._see(camera, now)
        self.robots.repeat_stop()
        robots = self.robots.states()
        said = self._draw(robots) if robots or self.sights != before else self._standing
        self._standing = said
        if looks and self.cameras:
            wanted = self.choice.value if self.choice is not None else ""
            shown = next((camera for camera in self.cameras if camera.pairs == wanted), self.cameras[0])
            self._plots.draw(shown.course)
        self._say(said, now)

    def _draw(self, robots: dict[str, RobotState]) -> list[str]:
        stamp = max((sight.moment.stamp for sight in self.sights.values()), default=0)
        posed = [RobotSight(name, state, *self.pose(state.base_frame, stamp)) for name, state in sorted(robots.items())]
        order = [self.sights[camera.pairs] for camera in self.cameras if camera.pairs in self.sights]
        with self._server.atomic():
            return self.stage.draw(order, posed)

    def _say(self, said: Sequence[str], now: float) -> None:
        lines: list[str] = []
        for name, said_of in self._words.items():
            lines += ([f"{name}:"] if name and len(self._words) > 1 else []) + said_of
        lines += said
        if now - self._recorder[0] < _RECORDER_PERIOD:
            lines.append(self._recorder[1])
        if self._stopped:
            lines.append(self._stopped)
        self.panel.say([*lines, *(text for camera in self.cameras for text in camera.problems.values())])


def _step_back() -> None:
    """The nodes that are looked at come first: a lower priority, of which enough is left for a page that works where all cores
    are taken, waking up that interrupts nobody, and one thread for pictures."""
    os.nice(_NICENESS)
    with contextlib.suppress(OSError, AttributeError):  # not Linux
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    cv2.setNumThreads(1)


def _spin(executor: SingleThreadedExecutor) -> None:
    with contextlib.suppress(ExternalShutdownException):
        executor.spin()


def show(
    topics: Sequence[str],
    hands: tuple[HandAsset, HandAsset],
    serve: Callable[[], Served],
    image: str | None = None,
    rate: float = 15.0,
    estop: bool = False,
    ros_arguments: Sequence[str] = (),
) -> int:
    """Serve the page of HandPair topics until Ctrl-C; the exit status. topics: to show, none for all that are published. serve:
    opens it. image: of the only camera. estop: with a button that stops robots.

    Raises InputError where image is given for several cameras, or ROS refuses its arguments.
    """
    if image is not None and len(topics) != 1:
        which = f"{', '.join(topics)} are to be shown; name one of them" if topics else "all are to be shown; name its hands"
        raise InputError(f"--image {image} is one camera's, but {which}")

    def body(stop: Stop) -> int:
        _step_back()
        node = make_node(Node, "hands_view", start_parameter_services=False, enable_rosout=False)
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(node.destroy_node)
            served = serve()
            cleanup.callback(served.close)
            cameras = [LiveCamera(node, node.resolve_topic_name(topic), image) for topic in topics]
            page = LivePage(served, node, cameras, hands, rate, not topics, estop)
            print(served.text(), flush=True)
            page.run(stop)
        return 0

    return run_ros("hands_view", "fourdhands view", list(ros_arguments), body, failed=None)
