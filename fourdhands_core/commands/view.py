"""`fourdhands view`: hands in a browser, live or recorded."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FourDHandsError, InputError
from ..extras import needed_for
from . import (
    Commands,
    add_command,
    add_lens,
    add_settings,
    add_shape,
    check_there,
    is_bag,
    is_topic,
    lens_of,
    refuse_options,
    ros_side,
    tracker_settings,
)

if TYPE_CHECKING:
    from ..hand_model.assets import HandAsset
    from ..view.page import Episode
    from ..view.recordings import Recording
    from ..view.serving import Served


def add(commands: Commands) -> None:
    """Its arguments."""
    text = "show hands in a browser: of running nodes, a video, a bag, recorded episodes, a dataset, or a result"
    add_arguments(add_command(commands, "view", view, text))


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments, also those of the program hands_view."""
    command.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help="hands.npz, a video, a bag with hands, a folder of such bags, a dataset, or HandPair topics of running nodes such "
        "as /left/hands (default: all that are published)",
    )
    command.add_argument("--against", metavar="SOURCE", help="a second result of the same images, to compare with the first")
    command.add_argument(
        "--estop",
        action="store_true",
        help="of running nodes: also show a button that stops robots that follow a hand, by their ~/estop",
    )
    command.add_argument("--host", default="127.0.0.1", help="address to serve at; others than 127.0.0.1 need a token")
    command.add_argument("--port", type=int, help="port to serve at (default: 8080, or the next that is free; 0: any)")
    command.add_argument("--token", help="for other addresses than this machine's own (default: a new one)")
    command.add_argument("--rate", type=float, default=15.0, metavar="HZ", help="pictures a second at most (default: 15)")
    add_recording(command)
    add_settings(command, "mirrored")


def check_page(args: argparse.Namespace) -> Callable[[], Served]:
    """What serves the page that the arguments ask for. Raises InputError, and DependencyError without viser."""
    if not 0.1 <= args.rate <= 60.0:
        raise InputError(f"--rate {args.rate:g} is not between 0.1 and 60 pictures a second")
    with needed_for("the page"):
        from ..view.serving import serve
    return lambda: serve(args.host, args.port, args.token)


def add_recording(command: argparse.ArgumentParser) -> None:
    """The arguments that `open_recording` takes beside the source."""
    command.add_argument("--video", metavar="VIDEO", help="of a hands.npz: the video that it was made of")
    command.add_argument("--topic", metavar="TOPIC", help="of a bag: the HandPair topic of the time line (default: the first)")
    command.add_argument("--image", metavar="NAME", help="image topic, or of a dataset the camera (default: that of the hands)")
    command.add_argument("--episode", type=int, metavar="N", help="of a dataset or a folder of bags, from 0 (default: 0)")
    add_lens(command, "of a video: ")
    add_shape(command)


def view(args: argparse.Namespace, ros_arguments: Sequence[str] = ()) -> int:
    """Serve the page until Ctrl-C. ros_arguments: the command line of which ROS reads its part."""
    topics = [source for source in args.sources if is_topic(source)]
    if topics and len(topics) < len(args.sources):
        recording = next(source for source in args.sources if source not in topics)
        raise InputError(f"{topics[0]} is a topic and {recording} a recording; show one kind at a time")
    if not topics and len(args.sources) > 1:
        raise InputError(f"{len(args.sources)} recordings were given; show one, and another --against it")
    serve = check_page(args)
    hands = hands_of(args)
    if not args.sources or topics:
        if args.against:
            raise InputError("--against compares recordings; record the topics first, with record.launch.py")
        refuse_others(args, "topic")
        (live,) = ros_side("live topics", "view.live")
        return live.show(topics, hands, serve, args.image, args.rate, args.estop, ros_arguments)
    from ..view.page import RecordingPage

    if args.estop:
        raise InputError(f"--estop means nothing to {args.sources[0]}: only running nodes can be stopped")
    refuse_others(args, *(kind_of(source) for source in (args.sources[0], args.against) if source))
    with contextlib.ExitStack() as cleanup:
        episodes = episodes_of(args.sources[0], args, hands)
        number, recording = open_chosen(args, args.sources[0], episodes, pass_over=not args.against)
        cleanup.callback(recording.close)
        against = None
        if args.against:
            _, against = open_chosen(args, args.against, episodes_of(args.against, args, hands))
            cleanup.callback(against.close)
        served = cleanup.enter_context(contextlib.closing(serve()))
        page = RecordingPage(served, recording, args.rate, against, episodes if against is None else (), number)
        cleanup.callback(page.close)
        print(served.text(), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(0.5)  # a signal that comes just before it is heard only after it
    return 0


_MEANT = {
    "topic": {"image"},
    "bag": {"topic", "image"},
    "episodes": {"topic", "image", "episode"},
    "dataset": {"image", "episode"},
    "hands.npz": {"video", "fov", "intrinsics"},
    "video": {"fov", "intrinsics", "mirrored", "hand_shape"},
}
"""By the kind of a source which of `add_recording`'s arguments mean something to it."""


def refuse_others(args: argparse.Namespace, *kinds: str) -> None:
    """Raise InputError where an argument of `add_recording` was given that means nothing to any source of these kinds."""
    others = set().union(*_MEANT.values()) - set().union(*(_MEANT[kind] for kind in kinds))
    refuse_options(args, sorted(others), f"{args.command} {' --against '.join(kinds)}")


def kind_of(source: str) -> str:
    """What a source that is no topic is taken for, of _MEANT. Raises InputError where it is not there."""
    check_there(source)
    place = Path(source)
    if is_bag(place):
        return "bag"
    from ..episodes.check import is_dataset

    if place.suffix in (".hdf5", ".npz") and is_dataset(place.parent):
        raise InputError(f"{source} is a file of the dataset {place.parent}; give that folder, with --episode")
    if place.suffix == ".npz" or (place / "hands.npz").is_file():
        return "hands.npz"
    if place.is_dir():
        if is_dataset(place):
            return "dataset"
        if any(is_bag(one) for one in place.iterdir() if one.is_dir()):
            return "episodes"
    return "video"


def episodes_of(source: str, args: argparse.Namespace, hands: tuple[HandAsset, HandAsset]) -> Sequence[Episode]:
    """What a source names: several episodes of a dataset or a folder of bags, or one of anything else.

    Raises DatasetError where a dataset is damaged.
    """
    from ..view.page import Episode

    kind = kind_of(source)
    if kind == "dataset":
        from ..episodes.exported import ExportedDataset
        from ..view.dataset_recording import DatasetRecording

        dataset = ExportedDataset(Path(source))
        return [
            Episode(f"{one.number}: {one.task}", partial(DatasetRecording, dataset, one.number, hands, args.image))
            for one in dataset.episodes
        ]
    if kind == "episodes":
        finding, bags = ros_side("bags", "episodes.finding", "view.bag_recording")
        found = finding.find_bags([Path(source)])
        names = [str(bag.relative_to(source)) for bag in found]
        return [
            Episode(f"{number}: {name}", partial(bags.BagRecording, bag, hands, args.topic, args.image))
            for number, (bag, name) in enumerate(zip(found, names))
        ]
    return [Episode(source, partial(open_recording, source, args, hands))]


def open_chosen(
    args: argparse.Namespace, source: str, episodes: Sequence[Episode], pass_over: bool = False
) -> tuple[int, Recording]:
    """The episode that --episode names, or the first, and its number. pass_over: where none was named it is the first that can
    be opened; why others before it cannot is told.

    Raises InputError where there is none of that number, and what Recording's makers raise.
    """
    number = args.episode or 0
    if not 0 <= number < len(episodes):
        raise InputError(f"--episode {number}: {source} has the episodes 0 to {len(episodes) - 1}")
    while pass_over and args.episode is None and number < len(episodes) - 1:
        try:
            return number, episodes[number].open()
        except FourDHandsError as error:
            print(f"fourdhands: episode {episodes[number].label} is passed over: {error}", file=sys.stderr)
            number += 1
    return number, episodes[number].open()


def open_recording(source: str, args: argparse.Namespace, hands: tuple[HandAsset, HandAsset]) -> Recording:
    """A hands.npz, a bag, or a video. Raises InputError where the source is none of them."""
    from ..view.recordings import NpzRecording, VideoRecording

    place, kind = Path(source), kind_of(source)
    if kind == "bag":
        (bags,) = ros_side("bags", "view.bag_recording")
        return bags.BagRecording(place, hands, args.topic, args.image)
    lens = lens_of(args)
    if kind == "hands.npz":  # or the folder of `fourdhands track --out`
        given = None if args.fov is None and args.intrinsics is None else lens
        return NpzRecording(place / kind if place.is_dir() else place, hands, args.video, given)
    from ..media.sources import camera_index
    from ..media.video import VideoReader
    from ..pipeline.shape_calibration import tracker_with_shape

    if camera_index(source) is not None:
        raise InputError(
            f"{source} is a camera; start the node with it, `hands.launch.py video:={source} view:=true`, and view that"
        )
    VideoReader(source).close()  # what is wrong with it is told before the models are loaded
    return VideoRecording(source, tracker_with_shape(tracker_settings(args), args.hand_shape), lens, hands)


def hands_of(args: argparse.Namespace) -> tuple[HandAsset, HandAsset]:
    """The hand models (left, right) that the arguments of `add_settings` name, called as in messages: by their files' names."""
    from ..hand_model.assets import open_hand, open_left, pair_of

    right = open_hand(args.hand_model)
    right = replace(right, name=Path(args.hand_model).stem or right.name)
    return pair_of(right, open_left(args.hand_model_left))
