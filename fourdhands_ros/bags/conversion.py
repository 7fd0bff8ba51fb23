"""From a bag of images to a bag of hands, in intervals: a run that was killed loses the last one and goes on.

While it is written, the bag OUT is a folder OUT.partial: of each finished interval a bag, and what the trackers remembered
at its end. Every interval begins from that file with new trackers, in a run that was never killed too, so that both come
to the same. At last the intervals become one bag, which appears under its own name when it is complete.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import json
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer

from fourdhands_core.errors import InputError
from fourdhands_core.pipeline.checkpoint import load_memory, save_memory

from ..pypi.message_types import typestore
from .camera import RECENT, BagCamera, CameraTopics, Options, check_lens, find_cameras, written_topics
from .depth import AUTO, NONE, DepthTopic, find_depth
from .reading import Bag, Entry
from .recorder import bag_qos

_STATE, _LOCK = "state.npz", "lock"


@dataclass(frozen=True)
class Conversion:
    """What a conversion came to.

    images, published, refused (by reason), events (by name): by the camera's namespace. warnings: Bag's, and what was said of
    single cameras.
    """

    images: dict[str, int]
    published: dict[str, int]
    refused: dict[str, dict[str, int]]
    events: dict[str, dict[str, int]]
    warnings: list[str]


def convert(
    source: Path, out: Path, options: Options, progress: Callable[[int, int], None] = lambda done, of: None
) -> Conversion:
    """Track the hands in a bag's images and write HandPair, TF, meshes and their triangles to a new bag, an mcap.

    Messages have the images' stamps, and the times at which the images were recorded, so that both bags can be played
    together. progress: called with the images done and their number. A call like an earlier one that was killed
    continues it. Raises InputError for a bag that cannot be read, an `out` that is there, settings that are not those of
    the call that is continued, and where not one image could be used, of which nothing is left.
    """
    if out.exists():
        raise InputError(f"{out} is there already; remove it or choose another name")
    with _room_for(out), Bag(source) as bag, Bag(source) as beside:
        cameras = find_cameras(bag.topics, options, bag.unread)
        if len(cameras) > 1 and options.depth not in (AUTO, NONE):
            raise InputError(
                f"--depth {options.depth} is one camera's, but {', '.join(camera.image for camera in cameras)} are "
                "to be converted; choose one with --topic"
            )
        depths = {
            camera.image: (beside, topic) for camera in cameras if (topic := find_depth(bag, camera.image, options.depth))
        }
        for camera in cameras:
            check_lens(bag, camera, options)
        with _Work(out) as work:
            work.begin(_description(bag, options), lambda: _first_state(bag, cameras, options))
            total = sum(bag.topics[camera.image].count for camera in cameras)
            entries = bag.messages({name for camera in cameras for name in (camera.image, camera.info) if name})
            recent: dict[str, deque[bytes]] = {camera.image: deque(maxlen=RECENT) for camera in cameras}
            for name, _, data in itertools.islice(entries, work.state["consumed"]):
                if name in recent:
                    recent[name].append(data)
            while not work.state["finished"]:
                progress(sum(state["images"] for state in work.state["cameras"]), total)
                _convert_interval(work, entries, cameras, options, depths, recent, lambda done: progress(done, total))
            states = {camera.namespace: state for camera, state in zip(cameras, work.state["cameras"])}
            notes = [f"{name or '/'}: {note}" for name, state in states.items() for note in state["notes"]]
            if not any(state["published"] for state in states.values()):
                work.remove()
                raise InputError(f"none of the {total} images of {source} could be used. " + ". ".join([*bag.warnings, *notes]))
            work.join(written_topics(cameras, options))
            images, published, refused, events = (
                {name: state[figure] for name, state in states.items()}
                for figure in ("images", "published", "refused", "events")
            )
            return Conversion(images, published, refused, events, bag.warnings + notes)


@contextlib.contextmanager
def _room_for(out: Path) -> Iterator[None]:
    """Says what to do where the disk, the quota or the size of a file gives no more."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise InputError(
            f"{out} cannot be written any further ({error.strerror}); make room and give the same command "
            "again, which continues"
        ) from error


def _convert_interval(
    work: _Work,
    entries: Iterator[Entry],
    topics: list[CameraTopics],
    options: Options,
    depths: dict[str, tuple[Bag, DepthTopic]],
    recent: dict[str, deque[bytes]],
    progress: Callable[[int], None],
) -> None:
    """Track through the next options.interval images, or to the end of the entries."""
    state = work.state
    cameras = {}
    with contextlib.ExitStack() as cleanup:
        for one, before in zip(topics, state["cameras"]):
            cameras[one.image] = camera = BagCamera(one, options, depths.get(one.image))
            cleanup.callback(camera.close)
            camera.restore(before, recent[one.image])
        by_info: dict[str, list[BagCamera]] = {}
        for camera in cameras.values():
            by_info.setdefault(camera.topics.info, []).append(camera)
        begun, consumed = sum(camera.images for camera in cameras.values()), 0
        done = begun
        write = cleanup.enter_context(_writer(work.part(), written_topics(topics, options)))
        for topic, time, data in entries:
            consumed += 1
            for camera in by_info.get(topic, ()):
                camera.info(data)
            if topic in cameras:
                if not done:
                    for camera in cameras.values():
                        write((f"{camera.topics.namespace}/hands/faces", time, camera.faces))
                for message in cameras[topic].image(data, time):
                    write(message)
                recent[topic].append(data)
                done += 1
                progress(done)
                if done - begun == options.interval:
                    break
        else:
            state["finished"] = True
            for camera in cameras.values():
                for message in camera.finish():
                    write(message)
    state["consumed"] += consumed
    state["cameras"] = [camera.state() for camera in cameras.values()]
    work.finish_part()


def _first_state(bag: Bag, cameras: list[CameraTopics], options: Options) -> list[dict]:
    """Of each camera the state before its first image. A bag's first CameraInfo holds for images before it too."""
    states = []
    for topics in cameras:
        camera = BagCamera(topics, options)
        for _, _, data in itertools.islice(bag.messages([topics.info]), 1):
            camera.info(data)
        camera.look_at_stamps(data for _, _, data in itertools.islice(bag.messages([topics.image]), 2))
        states.append(camera.state())
        camera.close()
    return states


def _description(bag: Bag, options: Options) -> dict:
    """What a conversion is of and how it is made, in plain values, to tell whether another call continues it."""
    files = [[file.name, file.stat().st_size] for file in bag.files]
    return json.loads(json.dumps({"files": files, **asdict(options)}, default=str))


class _Work:
    """The folder of a conversion under way. state: finished, parts, consumed (messages read), cameras, description."""

    def __init__(self, out: Path):
        self._out, self._folder = out, out.with_name(out.name + ".partial")

    def __enter__(self) -> _Work:
        folder, found = self._folder, []
        if folder.exists():
            found = [file.name for file in folder.iterdir()]
            if found and _LOCK not in found:
                raise InputError(f"{folder} is there and no unfinished conversion; choose another name for the bag")
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = (folder / _LOCK).open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"another process writes {self._out}; wait for it or choose another name") from error
        return self

    def __exit__(self, *_) -> None:
        if self._folder.exists() and [file.name for file in self._folder.iterdir()] == [_LOCK]:
            shutil.rmtree(self._folder, ignore_errors=True)  # nothing was begun
        self._lock.close()

    def begin(self, description: dict, cameras: Callable[[], list[dict]]) -> None:
        """Go on from what is there; else from the cameras' states. Raises InputError where it is of another call."""
        if (self._folder / _STATE).is_file():
            self.state = load_memory(self._folder / _STATE)
            if missing := {"description", "finished", "parts", "consumed", "cameras"} - self.state.keys():
                raise InputError(f"{self._folder / _STATE} lacks {', '.join(sorted(missing))}; remove the folder to begin anew")
            before = self.state["description"]
            if before != description:
                changed = [name for name in description if before.get(name) != description[name]]
                raise InputError(
                    f"{self._folder} was begun otherwise ({', '.join(changed)}); give the same bag and options "
                    "to continue it, or remove it to begin anew"
                )
        else:
            self.state = {"description": description, "finished": False, "parts": 0, "consumed": 0, "cameras": cameras()}
            self._keep()

    def part(self) -> Path:
        """The next interval's bag; what a killed run left of it is removed."""
        return _removed(self._folder / f"part_{self.state['parts']:06}")

    def finish_part(self) -> None:
        """The interval's bag is complete and `state` is that of its end."""
        self.state["parts"] += 1
        self._keep()

    def _keep(self) -> None:
        save_memory(self._folder / _STATE, self.state)
        self.state = load_memory(self._folder / _STATE)  # what a run that continues would begin with

    def remove(self) -> None:
        """Leave nothing of it."""
        shutil.rmtree(self._folder)

    def join(self, topics) -> None:
        """Make one bag of the intervals, under its own name."""
        whole = _removed(self._folder / "whole") / self._out.name
        with _writer(whole, topics) as write:
            for number in range(self.state["parts"]):
                with Reader(self._folder / f"part_{number:06}") as reader:
                    for connection, time, data in reader.messages():
                        write((connection.topic, time, data))
        whole.rename(self._out)
        self.remove()


@contextlib.contextmanager
def _writer(path: Path, topics) -> Iterator[Callable[[Entry], None]]:
    """A new bag to write to; topics: see written_topics. It has an end only where no exception came."""
    writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        connections = {
            name: writer.add_connection(name, kind, typestore=typestore(), offered_qos_profiles=[bag_qos(qos)])
            for name, (kind, qos) in topics.items()
        }
        yield lambda entry: writer.write(connections[entry[0]], *entry[1:])


def _removed(path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    return path
