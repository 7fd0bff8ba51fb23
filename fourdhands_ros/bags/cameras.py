"""What several cameras of one bag see, in the order of its messages, and where they stood."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from fourdhands_core.errors import InputError
from fourdhands_core.pipeline.types import HandPairEstimate

from ..node.parameters import Parameters
from .camera import BagCamera, Options, by_info, find_cameras
from .depth import AUTO, compared, find_depth
from .reading import Bag


def watch_bag(
    path: Path,
    tracker: Any,
    topics: tuple[str, ...] = (),
    fov: float | None = None,
    progress: bool = True,
    with_depth: bool = False,
    frames: dict[str, str] | None = None,
) -> Iterator[tuple[str, HandPairEstimate, np.ndarray]]:
    """Each camera, its estimates of its images, and the rays (2, 21, 2) that they were made of.

    tracker: whose settings hold for all cameras. with_depth: place hands by the depth images beside the images. frames:
    gets, by camera, the one that its images name. Raises InputError where the bag holds the images of less than two cameras, or
    with_depth no depth images in an image's view.
    """
    options = Options(Parameters.of(tracker.settings), topics, fov=fov, markers=False)
    with Bag(path) as bag, Bag(path) as beside:
        found = find_cameras(bag.topics, options, bag.unread)
        if len(found) < 2:
            raise InputError(f"{path} holds the images of one camera, {found[0].image}; several are needed")
        if frames is not None:
            frames.update({one.name: bag.frame(one.image) for one in found})
        depths = {one.image: find_depth(bag, one.image, AUTO) for one in found} if with_depth else {}
        if with_depth and not any(depths.values()):
            words = ". ".join([f"{path} holds no depth images in the view of {' or '.join(depths)}", *bag.warnings])
            raise InputError(f"{words}; give --hand-length or --distance in place of --depth")
        cameras = [
            BagCamera(one, options, (beside, compared(bag, one.image, depth)) if (depth := depths.get(one.image)) else None)
            for one in found
        ]
        try:
            by_topic = {camera.topics.image: camera for camera in cameras}
            infos = by_info(cameras)
            total = sum(bag.topics[name].count for name in by_topic)
            entries = bag.messages({*by_topic, *filter(None, infos)})
            with tqdm(total=total, unit="image", disable=not progress) as bar:
                for topic, time, data in entries:
                    for camera in infos.get(topic, ()):
                        camera.info(data)
                    if topic in by_topic:
                        camera = by_topic[topic]
                        for estimate, _ in camera.track(data, time):
                            if estimate.rays is not None and estimate.camera.calibrated:
                                yield camera.topics.name, estimate, estimate.rays
                        bar.update()
        finally:
            for camera in cameras:
                camera.close()
