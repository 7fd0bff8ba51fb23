"""The cameras of a bag into one pair of hands, as the node fuses them: where each stood, what is written, what is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fourdhands_core.errors import InputError
from fourdhands_core.fusion.fusion import Fused, HandFusion
from fourdhands_core.fusion.ordering import InOrder
from fourdhands_core.fusion.views import View
from fourdhands_core.pipeline.session import Counts, Notes, Result

from ..convert.transforms import KEPT, TransformError
from ..node.places import Places, Unplaced, check_named
from .camera import BagCamera, CameraTopics, Options
from .frames import RecordedFrames, look_up_first
from .messages import HandMessages
from .reading import Bag, Entry
from .topics import TF_MESSAGE, frame_topics, some, topics_of


class BagPlaces:
    """Where the cameras of a bag stood in the fixed frame. Of one conversion, whose images come in the order of recording.

    bag: another one than that whose images are read. Raises InputError where the cameras cannot be one: see `_check`.
    """

    def __init__(self, bag: Bag, cameras: Sequence[CameraTopics], options: Options) -> None:
        self.frame, self._bag, self._options = options.fused_frame, bag, options
        self._check(cameras)
        self._frames = None
        if options.rig is None:
            frames = RecordedFrames(bag)
            for camera in cameras:
                self._check_tree(camera, frames)
            self._frames = RecordedFrames(bag)  # from its beginning again
        self._places = Places(self.frame, options.rig, self._frames)

    def pose(self, camera: str, frame_id: str, time: int, result: Any) -> Any:
        """See Places.pose. time: when the image was recorded, nanoseconds."""
        if self._frames is not None:
            self._frames.read_to(time)
        return self._places.pose(camera, frame_id, result)

    def _check(self, cameras: Sequence[CameraTopics]) -> None:
        path, options, topics = self._bag.path, self._options, self._bag.topics
        images = some(camera.image for camera in cameras)
        if len(cameras) < 2:
            raise InputError(f"one camera cannot be fused, and {images} is all that is read of {path}; leave the option out")
        here = [camera.image for camera in cameras if not camera.namespace]
        if here:
            raise InputError(f"the hands of {here[0]} and of all cameras would both be on /hands; leave it out by --topic")
        blind = [camera.image for camera in cameras if not camera.info and options.fov is None and options.intrinsics is None]
        if blind:
            raise InputError(
                f"the lens of {some(blind)} is not known, without which nothing is in metres; give --fov or --intrinsics, or "
                "name the other cameras by --topic"
            )
        if options.rig is not None:
            check_named(options.rig, [camera.name for camera in cameras], "the file of --cameras")
        elif not any(name in topics and topics[name].count for name in frame_topics(topics)):
            others = topics_of(topics, TF_MESSAGE)  # of several robots
            which = f" (and {some(others)} are those of several robots)" if others else ""
            raise InputError(
                f"{path} has no messages on /tf or /tf_static{which}, so that nothing says where its cameras stand in "
                f"{self.frame}; give --cameras FILE, as `fourdhands calibrate-cameras` makes it"
            )

    def _check_tree(self, camera: CameraTopics, frames: RecordedFrames) -> None:
        """Raise InputError where /tf knows no way from a camera to the fixed frame."""
        try:
            look_up_first(self._bag, camera, frames, self.frame)
        except TransformError as error:
            raise InputError(
                f"where {camera.name} stands in {self.frame} is not known: {error}; give the name of a frame of the bag's "
                "/tf to --fixed-frame, or --cameras FILE, or name the other cameras by --topic"
            ) from error


class BagFusion:
    """Takes what the trackers of a bag's cameras give and hands out the messages of all of them together.

    images, published: counts of what cameras saw and of what came of it. counts, notes: what was not fused, and what was said.
    """

    def __init__(self, cameras: Sequence[BagCamera], options: Options, places: BagPlaces) -> None:
        self._cameras, self._places = cameras, places
        parameters, tracker = options.parameters, cameras[0].tracker
        self._fusion = HandFusion(tracker.assets, parameters.tracker_settings(), tracker.betas, tracker.landmarks)
        self.messages = HandMessages(tracker.faces, parameters, "", parameters.frame_prefix, options.markers)
        self._order, self._times = InOrder(), dict[int, int]()
        self.counts, self.notes = Counts(), Notes()
        self.images, self.published = 0, 0

    def state(self) -> dict[str, Any]:
        """All that a new BagFusion needs to go on from here; shared with this one."""
        return {
            "fusion": self._fusion.memory,
            "kept": list(self._order.kept),
            "last": self._order.last,
            "times": dict(self._times),
            "shown": self.messages.meshes.shown,
            "images": self.images,
            "published": self.published,
            "refused": dict(self.counts.refused),
            "events": dict(self.counts.events),
            "notes": list(self.notes.kept),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from the state of another one."""
        self._fusion.memory = state["fusion"]
        self._order.kept, self._order.last = list(state["kept"]), state["last"]
        self._times, self.messages.meshes.shown = dict(state["times"]), state["shown"]
        self.images, self.published = state["images"], state["published"]
        self.counts.refused.update(state["refused"])
        self.counts.events.update(state["events"])
        self.notes.kept.extend(state["notes"])

    def take(self, camera: BagCamera, results: list[Result]) -> list[Entry]:
        """Take in what a camera's tracker has just given; returns what there is to write."""
        name = camera.topics.name
        rows = [(one.stamp, name, one, frame_id, time) for one, (frame_id, time) in results]
        waiting = [stamp for one in self._cameras for stamp in one.session.waiting]
        set_back = bool(rows) and any(stamp < rows[-1][0] for stamp in camera.session.waiting)
        due = self._order.finish(rows) if set_back else self._order.take(rows, waiting)
        return [entry for row in due for entry in self._add(*row)]

    def finish(self) -> list[Entry]:
        """The estimate that waits for a camera, after all results were taken."""
        entries = [entry for row in self._order.finish() for entry in self._add(*row)]
        entries += self._encode(self._fusion.finish(self.messages.with_vertices))
        newest = max((view.stamp for view in self._fusion.newest()), default=0)
        for problem in self._fusion.consistency.problems(newest):
            self.notes.warning(problem)
        return entries

    def _add(self, stamp: int, name: str, estimate: Any, frame_id: str, time: int) -> list[Entry]:
        try:
            pose = self._places.pose(name, frame_id, time, estimate)
        except Unplaced as error:
            late = max((view.stamp - stamp for view in self._fusion.newest()), default=0) * 1e-9
            reason, problem = error.reason, str(error)
            if late > KEPT and error.__cause__ is not None:  # frames were asked, and have forgotten it
                reason = "too late"
                problem = f"it paused, and the estimates of its images before that came {late:.0f} s after those of the others"
            if self.counts.count_refused(f"{name}, {reason}", problem):
                self.notes.warning(f"{name} is not fused ({reason}): {problem}; further images are counted only")
            return []
        self.images += 1
        self._times[stamp] = time
        view = View(name, pose, estimate, estimate.rays)
        return self._encode(self._fusion.add(view, self.messages.with_vertices))

    def _encode(self, results: list[Fused]) -> list[Entry]:
        entries: list[Entry] = []
        if (problem := self.messages.problem(self._places.frame)) and problem not in self.notes.kept:
            self.notes.warning(problem)
        for fused in results:
            stamp = fused.pair.stamp
            time = self._times[stamp]
            self._times = {other: when for other, when in self._times.items() if other > stamp}
            self.published += 1
            entries += self.messages.encode(fused.pair, self._places.frame, time, (self.published, 0, self.counts.rejected))
            for camera, why in fused.left_out:
                self.counts.count_event(f"estimates without {camera}: {why.split(':')[0]}")
        return entries
