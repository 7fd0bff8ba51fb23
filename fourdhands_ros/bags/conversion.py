"""From a bag of images to a bag of hands, in intervals: a run that was killed loses the last one and goes on.

While it is written, the bag OUT is a folder OUT.partial: of each finished interval a bag, and what the trackers remembered
at its end. Every interval begins from that file with new trackers, in a run that was never killed too, so that both come
to the same. At last the intervals become one bag, which appears under its own name when it is complete.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer

from fourdhands_core.episodes.folder import content_key
from fourdhands_core.episodes.sidecar import Sidecar, read_sidecar, sidecar_of
from fourdhands_core.errors import InputError
from fourdhands_core.outputs import WorkFolder, check_folder, room_for, write_text
from fourdhands_core.pipeline.checkpoint import load_memory, save_memory
from fourdhands_core.pipeline.session import Result
from fourdhands_core.streams import counted

from ..pypi.message_types import typestore
from .camera import BagCamera, CameraTopics, Options, by_info, check_lens, find_cameras, first_info, written_topics
from .depth import AUTO, NONE, DepthTopic, compared, find_depth
from .fusing import BagFusion, BagPlaces
from .info import HAND_PAIR
from .reading import Bag, Entry
from .recorder import bag_qos
from .topics import topics_of

_STATE = "state.npz"
MADE_OF = "fourdhands.json"
"""In a bag of hands: the key of what it was made of, see `key_of`."""
_FAR = 10_000_000_000
"""Nanoseconds before the other HandPairs at which the first one's stamp is wrong, as in `episodes/order.py`."""


@dataclass(frozen=True)
class Conversion:
    """What a conversion came to.

    images, published, refused (by reason), events (by name): by the camera's namespace, and of all together by "all in FRAME".
    warnings: Bag's, and what was said of single cameras. key: see `key_of`.
    """

    images: dict[str, int]
    published: dict[str, int]
    refused: dict[str, dict[str, int]]
    events: dict[str, dict[str, int]]
    warnings: list[str]
    key: str


def convert(
    source: Path, out: Path, options: Options, progress: Callable[[int, int], None] = lambda done, of: None
) -> Conversion:
    """Track the hands in a bag's images and write HandPair, TF, meshes and their triangles to a new bag, an mcap.

    Messages have the images' stamps, and the times at which the images were recorded, so that both bags can be played
    together. With options.rig or fixed_frame also what all cameras see together, on `/hands`. What the source's episode.json
    says is said of the new bag too. progress: called with the images done and their number. A call like an earlier one that
    was killed continues it. Raises InputError for a bag that cannot be read, an `out` that is there, settings that are not
    those of the call that is continued, and where not one image could be used, of which nothing is left; DatasetError for an
    episode.json that is none.
    """
    refuse_recordings(out, [source])
    if out.exists():
        raise InputError(f"{out} is there already; choose another name for the bag of hands")
    check_folder(out.parent)
    with room_for(out), Bag(source) as bag, Bag(source) as beside:
        sidecar, key = _sidecar(source, bag), _key(bag, source, options)
        cameras = find_cameras(bag.topics, options, bag.unread)
        if len(cameras) > 1 and options.depth not in (AUTO, NONE):
            raise InputError(
                f"--depth {options.depth} is one camera's, but {', '.join(camera.image for camera in cameras)} are "
                "to be converted; choose one with --topic"
            )
        depths = {
            camera.image: (beside, compared(bag, camera.image, topic))
            for camera in cameras
            if (topic := find_depth(bag, camera.image, options.depth))
        }
        for camera in cameras:
            check_lens(bag, camera, options)
        places = BagPlaces(beside, cameras, options) if options.fused_frame else None
        with _Work(out) as work:
            work.begin(_description(bag, options), lambda: _first_state(bag, cameras, options, places))
            counts = {camera.image: bag.topics[camera.image].count for camera in cameras}
            total = sum(counts.values())
            entries = bag.messages({name for camera in cameras for name in (camera.image, camera.info) if name})
            for _ in itertools.islice(entries, work.state["consumed"]):
                pass
            while not work.state["finished"]:
                progress(sum(state["images"] for state in work.state["cameras"]), total)
                _convert_interval(work, entries, cameras, counts, options, depths, places, lambda done: progress(done, total))
            states = {camera.namespace: state for camera, state in zip(cameras, work.state["cameras"])}
            if places is not None:
                states[f"all in {places.frame}"] = work.state["fused"]
            notes = [f"{name or '/'}: {note}" for name, state in states.items() for note in state["notes"]]
            if not any(state["published"] for state in states.values()):
                work.remove()
                raise InputError(
                    f"none of the images of {source} could be used ({counted(total, 'images')}). "
                    + ". ".join([*bag.warnings, *notes])
                )
            work.join(written_topics(cameras, options), sidecar, key)
            figures = ("images", "published", "refused", "events")
            told: dict[str, Any] = {figure: {name: state[figure] for name, state in states.items()} for figure in figures}
            return Conversion(**told, warnings=bag.warnings + notes, key=key)


def key_of(source: Path, options: Options) -> str:
    """Of a bag's bytes, of what its episode.json says, and of the options, to tell whether a bag of hands is made of them."""
    with Bag(source) as bag:
        return _key(bag, source, options)


def _key(bag: Bag, source: Path, options: Options) -> str:
    sidecar = sidecar_of(source)
    return content_key([*bag.files, *([sidecar] if sidecar.is_file() else [])], options.plain())


def _sidecar(source: Path, bag: Bag) -> Sidecar | None:
    """What is said of a bag, for a bag of other HandPairs: by stamps where it was trimmed from its own first HandPair on."""
    sidecar = read_sidecar(source)
    if sidecar is not None and sidecar.trim is not None:
        stamps = sorted(stamp for name in topics_of(bag.topics, HAND_PAIR) for stamp in bag.first_stamps(name))
        first = next((one for one in stamps if one > stamps[len(stamps) // 2] - _FAR), None)  # one of them may be wrong
        if first is not None:
            begin, end = (first + round(seconds * 1e9) for seconds in sidecar.trim)
            old, last = sidecar.span or (begin, end)
            sidecar.span, sidecar.trim = (max(begin, old), end if last is None else min(end, last)), None
    return sidecar


def refuse_recordings(out: Path, sources: Iterable[Path]) -> None:
    """Raise InputError where `out` would be one of the recordings that are read, by whatever name or link, or in one."""
    whole = out.resolve()
    for source in filter(os.path.exists, sources):  # of one that is not there, opening it says so
        read = source.resolve()
        if whole == read or (read.is_file() and whole == read.parent):
            raise InputError(f"{out} is the recording that is read; give another name for the bag of hands")
        if source.is_dir() and whole.is_relative_to(read):
            raise InputError(f"{out} is in the recording {source} that is read; give another place for the bag of hands")


def _convert_interval(
    work: _Work,
    entries: Iterator[Entry],
    topics: list[CameraTopics],
    counts: dict[str, int],
    options: Options,
    depths: dict[str, tuple[Bag, DepthTopic]],
    places: BagPlaces | None,
    progress: Callable[[int], None],
) -> None:
    """Track through the next options.interval images, or to the end of the entries. counts: of images, by their topics."""
    state = work.state
    with contextlib.ExitStack() as cleanup:
        cameras = {}
        for one, before in zip(topics, state["cameras"]):
            cameras[one.image] = camera = BagCamera(one, options, depths.get(one.image))
            cleanup.callback(camera.close)
            camera.restore(before)
        infos = by_info(cameras.values())
        fusion = None if places is None else BagFusion(list(cameras.values()), options, places)
        if fusion:
            fusion.restore(state["fused"])
        begun, consumed = sum(camera.images for camera in cameras.values()), 0
        done = begun
        write = cleanup.enter_context(_writer(work.part(), written_topics(topics, options)))
        for topic, time, data in entries:
            consumed += 1
            for camera in infos.get(topic, ()):
                camera.info(data)
            if topic in cameras:
                if not done:
                    for messages in [one.messages for one in cameras.values()] + ([fusion.messages] if fusion else []):
                        write(messages.faces(time))
                camera = cameras[topic]
                _write(write, camera, camera.track(data, time), fusion)
                if camera.images == counts[topic]:  # it ends here, and its last images wait for no further ones
                    _write(write, camera, camera.flush(), fusion)
                done += 1
                progress(done)
                if done - begun == options.interval:
                    break
        else:
            state["finished"] = True
            _write_rest(write, cameras.values(), fusion)
    state["consumed"] += consumed
    state["cameras"] = [camera.state() for camera in cameras.values()]
    if fusion:
        state["fused"] = fusion.state()
    work.finish_part()


def _write_rest(write: Callable[[Entry], None], cameras: Iterable[BagCamera], fusion: BagFusion | None) -> None:
    for camera in cameras:
        _write(write, camera, camera.flush(), fusion)
    for message in fusion.finish() if fusion else ():
        write(message)


def _write(write: Callable[[Entry], None], camera: BagCamera, results: list[Result], fusion: BagFusion | None) -> None:
    """What comes of a camera's estimates, by itself and with the others."""
    for message in camera.encode(results):
        write(message)
    for message in fusion.take(camera, results) if fusion else ():
        write(message)


def _first_state(bag: Bag, cameras: list[CameraTopics], options: Options, places: BagPlaces | None) -> dict:
    """Of each camera, and of all together, the state before the first image. A bag's first CameraInfo that can be read holds
    for images before it too."""
    states, fused = [], None
    for topics in cameras:
        camera = BagCamera(topics, options)
        if info := first_info(bag, topics):
            camera.info(info)
        camera.look_at_stamps(bag)
        states.append(camera.state())
        if places is not None and fused is None:
            fused = BagFusion([camera], options, places).state()
        camera.close()
    return {"cameras": states, "fused": fused}


def _description(bag: Bag, options: Options) -> dict:
    """What a conversion is of and how it is made, in plain values, to tell whether another call continues it; of files that
    options name what is in them."""
    files = [[file.name, file.stat().st_size] for file in bag.files]
    return {"files": files, **options.plain()}


class _Work(WorkFolder):
    """The folder of a conversion under way. state: finished, parts, consumed (messages read), cameras, fused, description."""

    work, instead = "conversion", "choose another name for the bag"

    def begin(self, description: dict, first: Callable[[], dict]) -> None:
        """Go on from what is there; else from the first states, `cameras` and `fused`. Raises InputError where it is of another
        call."""
        if (self.folder / _STATE).is_file():
            self.state = load_memory(self.folder / _STATE)
            if missing := {"description", "finished", "parts", "consumed", "cameras", "fused"} - self.state.keys():
                raise InputError(f"{self.folder / _STATE} lacks {', '.join(sorted(missing))}; remove the folder to begin anew")
            before = self.state["description"]
            if before != description:
                changed = [name for name in description if before.get(name) != description[name]]
                raise InputError(
                    f"{self.folder} was begun otherwise ({', '.join(changed)}); give the same bag and options "
                    "to continue it, or remove it to begin anew"
                )
        else:
            self.state = {"description": description, "finished": False, "parts": 0, "consumed": 0, **first()}
            self._keep()

    def part(self) -> Path:
        """The next interval's bag; what a killed run left of it is removed."""
        part = self.folder / f"part_{self.state['parts']:06}"
        shutil.rmtree(part, ignore_errors=True)
        return part

    def finish_part(self) -> None:
        """The interval's bag is complete and `state` is that of its end."""
        self.state["parts"] += 1
        self._keep()

    def _keep(self) -> None:
        save_memory(self.folder / _STATE, self.state)
        self.state = load_memory(self.folder / _STATE)  # what a run that continues would begin with

    def join(self, topics: Any, sidecar: Sidecar | None, key: str) -> None:
        """Make one bag of the intervals, under its own name, with what is said of it."""
        whole = self.whole() / self.out.name
        with _writer(whole, topics) as write:
            for number in range(self.state["parts"]):
                with Reader(self.folder / f"part_{number:06}") as reader:
                    for connection, time, data in reader.messages():
                        write((connection.topic, time, data))
        if sidecar is not None:
            sidecar.write(whole)
        write_text(whole / MADE_OF, json.dumps({"key": key}) + "\n")
        whole.rename(self.out)
        self.remove()


@contextlib.contextmanager
def _writer(path: Path, topics: Any) -> Iterator[Callable[[Entry], None]]:
    """A new bag to write to; topics: see written_topics. It has an end only where no exception came."""
    writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        connections = {
            name: writer.add_connection(name, kind, typestore=typestore(), offered_qos_profiles=[bag_qos(qos)])
            for name, (kind, qos) in topics.items()
        }
        yield lambda entry: writer.write(connections[entry[0]], *entry[1:])
