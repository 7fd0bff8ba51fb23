"""What a bag says of the hands in it: `fourdhands bag info`."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from fourdhands_core.episodes.order import in_order
from fourdhands_core.errors import InputError
from fourdhands_core.hand_model.skeleton import SIDES
from fourdhands_core.streams import counted

from ..pypi.message_types import Hand, typestore
from .reading import Bag
from .topics import IMAGES, Topic, topics_of

HAND_PAIR = "fourdhands_ros/msg/HandPair"
_GAP = 3.0
"""Where two HandPairs are further apart than this many of their usual periods, images are missing between them."""


@dataclass(frozen=True)
class CameraSummary:
    """The hands of one camera.

    pairs: HandPair messages. seconds: from the first image's stamp to the last one's. rate: HandPairs a second, by the
    median period. left, right, both: share of the pairs in which they are valid. tracks: (left, right) how often its
    track started; held for a moment it is the same track. confidence: (left, right) mean where valid, NaN where never. scaled:
    share of the valid hands whose positions are metres, NaN where there are none. gaps: how often images are missing,
    missing: seconds of it in all. images: of each image topic of this camera its messages. repeated: HandPairs whose stamps are
    repeated or out of order, as of a clock that was set back or a recording played in a loop; only `pairs` counts them too.
    """

    pairs: int
    seconds: float
    rate: float
    left: float
    right: float
    both: float
    tracks: tuple[int, int]
    confidence: tuple[float, float]
    scaled: float
    gaps: int
    missing: float
    images: dict[str, int]
    repeated: int = 0


def summarise(path: Path) -> tuple[dict[str, CameraSummary], list[str]]:
    """The summaries of a bag by its HandPair topics, and Bag.warnings.

    Raises InputError where the bag cannot be read, holds no HandPair, or has one that does not unpack.
    """
    with Bag(path) as bag:
        pairs = pair_topics(bag)
        images = {name: topic.count for name, topic in bag.topics.items() if topic.type in IMAGES and topic.count}
        rows: dict[str, list[tuple]] = {name: [] for name in pairs}
        stores = {name: pair_store(path, name, bag.topics[name]) for name in pairs}
        for name, time, data in bag.messages(pairs):
            try:
                pair = stores[name].deserialize_cdr(data, HAND_PAIR)
                hands = pair.left, pair.right
                row = (
                    pair.header.stamp.sec * 1_000_000_000 + pair.header.stamp.nanosec,  # one that is no time is a wrong one
                    *(bool(hand.valid) for hand in hands),
                    *(hand.state != Hand.ABSENT for hand in hands),
                    *(float(hand.confidence) for hand in hands),
                    *(bool(hand.scaled) for hand in hands),
                    time,
                )
            except Exception as error:  # rosbags lets out whatever it runs into; a damaged definition lacks fields
                raise InputError(
                    f"{path}: a message of {name} does not unpack ({type(error).__name__}: {error}); it is damaged"
                ) from error
            rows[name].append(row)
        if not any(rows.values()):
            raise InputError(f"{path}: none of the messages of {', '.join(pairs)} can be read; " + "; ".join(bag.warnings))
        return {
            name: _summary(
                rows[name], {image: count for image, count in images.items() if image.startswith(name.rpartition("/")[0] + "/")}
            )
            for name in pairs
            if rows[name]
        }, bag.warnings


def text(summaries: dict[str, CameraSummary]) -> str:
    """The summaries for people."""
    blocks = []
    for name, one in summaries.items():
        rows = [f"{name}: {counted(one.pairs, 'HandPairs')} in {one.seconds:.1f} s ({one.rate:.1f} a second)"]
        for side, share, tracks, confidence in zip(SIDES, (one.left, one.right), one.tracks, one.confidence):
            rows.append(
                f"  {side:<6} {100 * share:5.1f} %, {tracks} track{'s' * (tracks != 1)}"
                + (f", mean confidence {confidence:.2f}" if tracks else "")
            )
        rows.append(f"  both   {100 * one.both:5.1f} %")
        if one.scaled < 1.0:  # NaN where there is no hand
            rows.append(f"  scaled {100 * one.scaled:5.1f} %: the other positions are of an assumed field of view, not metres")
        rows.append(f"  gaps   {one.gaps}" + (f", {one.missing:.1f} s in all" if one.gaps else ""))
        if one.repeated:
            rows.append(f"  stamps {counted(one.repeated, 'HandPairs')} repeated or out of order, which nothing above counts")
        rows += [f"  images {image} {count}" for image, count in sorted(one.images.items())]
        blocks.append("\n".join(rows))
    return "\n".join(blocks)


def plain(summaries: dict[str, CameraSummary]) -> dict:
    """The summaries as plain values, for JSON; what is not a number is None."""

    def value(item: Any) -> Any:
        return None if isinstance(item, float) and np.isnan(item) else [*map(value, item)] if isinstance(item, tuple) else item

    return {name: {key: value(item) for key, item in asdict(one).items()} for name, one in summaries.items()}


def _summary(rows: list[tuple], images: dict[str, int]) -> CameraSummary:
    rows = sorted(rows, key=lambda row: row[-1])
    stamp, time = (np.array([row[k] for row in rows], np.int64) for k in (0, -1))  # too large for a float
    kept = in_order(stamp, time)  # a wrong stamp makes a recording no longer
    table, stamp = np.array(rows, np.float64)[kept], stamp[kept]
    valid, there, confidence, scaled = table[:, 1:3] > 0, table[:, 3:5] > 0, table[:, 5:7], table[:, 7:9]
    periods = np.diff(stamp) / 1e9
    usual = float(np.median(periods)) if len(periods) else 0.0
    gaps = periods[periods > _GAP * usual]
    began = np.diff(there, axis=0, prepend=False) & there
    left, right = valid.mean(axis=0).tolist()
    mean_left, mean_right = (
        float(confidence[valid[:, side], side].mean()) if valid[:, side].any() else float("nan") for side in range(2)
    )
    began_left, began_right = began.sum(axis=0).tolist()
    return CameraSummary(
        len(rows),
        (stamp[-1] - stamp[0]) / 1e9,
        1.0 / usual if usual else 0.0,
        left,
        right,
        float(valid.all(axis=1).mean()),
        (began_left, began_right),
        (mean_left, mean_right),
        float(scaled[valid].mean()) if valid.any() else float("nan"),
        len(gaps),
        float((gaps - usual).sum()),
        images,
        len(rows) - len(kept),
    )


def pair_topics(bag: Bag, topic: str | None = None) -> list[str]:
    """The topics with hands, `topic` or else the first by name before the others. Raises InputError where there are none."""
    pairs = topics_of(bag.topics, HAND_PAIR)
    if topic is not None and topic not in pairs:
        raise InputError(f"{bag.path} holds no hands on {topic}; topics with hands are: {', '.join(pairs) or 'none'}")
    if not pairs:
        held = ", ".join(sorted(bag.topics)) or "no topic"
        advice = f"; `fourdhands bag {shlex.quote(str(bag.path))} OUT` finds them in its images"
        raise InputError(f"{bag.path} holds no hands, but {held}{advice if topics_of(bag.topics, *IMAGES) else ''}")
    return sorted(pairs, key=lambda name: name != (topic or pairs[0]))


def pair_store(path: Path, name: str, topic: Topic) -> Any:
    """A type store that knows HandPair as the bag defines it; as this package does where the bag does not say."""
    if not topic.definition:
        return typestore()
    store = get_typestore(Stores.EMPTY)
    try:
        store.register(get_types_from_msg(topic.definition, HAND_PAIR))
    except Exception as error:  # as above
        raise InputError(
            f"{path}: the definition of {name}'s messages does not parse ({type(error).__name__}); it is damaged"
        ) from error
    return store
