"""A robot's joints in a bag: the JointState of one topic, on which several may each tell their own, as broadcasters of
ros2_control do for arm and gripper."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from pathlib import Path

import numpy as np
from sensor_msgs.msg import JointState

from fourdhands_core.episodes.clocks import Clock
from fourdhands_core.episodes.order import in_order
from fourdhands_core.episodes.recording import Rows, Signal
from fourdhands_core.episodes.resampling import silences
from fourdhands_core.errors import InputError

from ..bags.reading import Bag
from ..bags.topics import JOINT_STATE, some, topics_of
from ..pypi.message_types import deserialize_ros

_OLD = 500_000_000
"""Nanoseconds for which a joint is taken to be where it was told to be, in messages that tell others of the same robot."""
_SETS = 64
"""Different sets of joints in a topic's messages, beyond which they are not read."""
_JUMP, _BACK, _TIMES, _BLOCK = 0.02, 0.2, 5, 1 << 14
"""Radians or metres of a jump from one message to the next, the share of it by which the one after that is not back, how often
that is no chance, and messages that are looked at together."""
_OTHERS = f"JointState of yet another set of joints, after {_SETS}"


class _Told:
    """The messages of a topic that tell the same joints. names: of those. folder: see recording.Rows."""

    def __init__(self, names: tuple[str, ...], folder: Path | None) -> None:
        self.names, self.stamp, self.time = names, array("q"), array("q")
        self.rows = Rows(len(names), np.float64, folder)

    def add(self, stamp: int, time: int, positions: dict[str, float]) -> None:
        """One more. time: of recording."""
        self.stamp.append(stamp)
        self.time.append(time)
        self.rows.append(np.array([positions[name] for name in self.names]))

    def signal(self) -> Signal:
        """Those whose stamps rise; to be called once."""
        stamp = np.frombuffer(self.stamp, np.int64)
        kept = in_order(stamp, np.frombuffer(self.time, np.int64))
        self.rows.keep(kept)
        self.time_of_kept = np.frombuffer(self.time, np.int64)[kept]
        return Signal(self.names, stamp[kept], self.rows)


def read_robot(
    bag: Bag, wanted: str, folder: Path | None, span: tuple[int, int], clock: Clock
) -> tuple[tuple[Signal, ...], Counter[str], list[str]]:
    """The joints of a topic, apart where several tell theirs; how many messages are not taken, by reason; and what the user
    should know of them within a span of stamps.

    wanted: the topic; empty for the only one, or /joint_states. folder: see recording.Rows. clock: the hands'. Raises
    InputError where it has to be said which.
    """
    topic = joint_topic(bag, wanted)
    unusable: Counter[str] = Counter()
    if topic is None:
        return (), unusable, []
    sets: dict[tuple[frozenset[str], frozenset[str]], _Told] = {}  # by the joints that are told, and those that are named
    for _, time, data in bag.messages([topic]):
        try:
            state = deserialize_ros(data, JointState)
        except Exception:  # rclpy's RMWError has no public name
            unusable["JointState that does not unpack"] += 1
            continue
        positions = {name: place for name, place in zip(state.name, state.position) if math.isfinite(place)}
        key = frozenset(positions), frozenset(state.name)
        if not positions:
            unusable["JointState without a position"] += 1
            continue
        if key not in sets and len(sets) == _SETS:
            unusable[_OTHERS] += 1
            continue
        if key not in sets:
            sets[key] = _Told(tuple(positions), folder)
        stamp = state.header.stamp.sec * 1_000_000_000 + state.header.stamp.nanosec or clock.moment(time)
        sets[key].add(stamp, time, positions)
    for told, named in [key for key in sets if key[0] != key[1] and (key[1], key[1]) in sets]:  # a joint is unknown for a while
        unusable["JointState that names joints whose position it does not tell"] += len(sets.pop((told, named)).stamp)
    read = [one.signal() for one in sets.values()]
    unusable["JointState whose stamp is repeated or out of order"] = sum(
        len(one.stamp) - len(signal.stamp) for one, signal in zip(sets.values(), read)
    )
    groups = [_joined(group, folder) for group in _related([one for one in read if len(one.stamp) > 1])]
    signals = [one for one in groups if len(one.stamp) > 1]
    heard = {name for one in signals for name in one.names}
    seldom = tuple(dict.fromkeys(name for one in read for name in one.names if name not in heard))
    notes = [f"{topic}: {some(seldom)} told less than twice, left out"] if seldom else []
    words = (clock.other(signal.stamp, one.time_of_kept) for one, signal in zip(sets.values(), read))
    notes += [f"{topic}: {one}" for one in dict.fromkeys(words) if one]
    if unusable[_OTHERS]:
        notes.append(f"{topic} tells more than {_SETS} different sets of joints: the others are left out")
    signals.sort(key=lambda one: one.names)  # who tells first is chance
    return (
        tuple(signals),
        unusable,
        notes + [words for one in signals for words in (*_silent(topic, one, span), *_contradicted(topic, one))],
    )


def joint_topic(bag: Bag, wanted: str) -> str | None:
    """The topic of JointState to read, None where there is none; see read_robot."""
    topics = topics_of(bag.topics, JOINT_STATE)
    if wanted and wanted not in topics:
        raise InputError(f"--robot {wanted} holds no JointState in {bag.path}; there are: {', '.join(topics) or 'none'}")
    if not wanted and len(topics) > 1 and "/joint_states" not in topics:
        raise InputError(f"{bag.path} has several topics of JointState, {', '.join(topics)}; choose one with --robot")
    return wanted or (topics[0] if len(topics) == 1 else "/joint_states") if topics else None


def _related(sets: list[Signal]) -> list[list[Signal]]:
    """Sets of joints, those together that have joints in common, be it by way of others."""
    groups: list[list[Signal]] = []
    for one in sets:
        related = [group for group in groups if any(not set(one.names).isdisjoint(other.names) for other in group)]
        groups = [group for group in groups if group not in related] + [[*(two for group in related for two in group), one]]
    return groups


def _joined(signals: list[Signal], folder: Path | None) -> Signal:
    """Of sets that have joints in common one signal: at each message the newest of every joint, unless one is too old."""
    if len(signals) == 1:
        return signals[0]
    signals = sorted(signals, key=lambda one: one.names)  # who tells first is chance
    names = tuple(dict.fromkeys(name for signal in signals for name in signal.names))
    columns = [[names.index(name) for name in signal.names] for signal in signals]
    rows, stamps = Rows(len(names), np.float64, folder), array("q")
    newest, told = np.zeros(len(names)), np.full(len(names), -(2**62), np.int64)
    which = np.concatenate([np.full(len(signal.stamp), k) for k, signal in enumerate(signals)])
    number = np.concatenate([np.arange(len(signal.stamp)) for signal in signals])
    stamp = np.concatenate([signal.stamp for signal in signals])
    order = np.argsort(stamp, kind="stable")
    after = np.append(stamp[order][1:], 2**62)
    for at, following in zip(order.tolist(), after.tolist()):
        now, row, those = int(stamp[at]), int(number[at]), columns[which[at]]
        newest[those], told[those] = signals[which[at]].values[row : row + 1][0], now
        if following > now and now - told.min() <= _OLD:
            stamps.append(now)
            rows.append(newest)
    return Signal(names, np.frombuffer(stamps, np.int64), rows)


def _silent(topic: str, signal: Signal, span: tuple[int, int]) -> list[str]:
    """That some joints were not told for a while, in words."""
    silent = silences(signal, *span)
    if not silent:
        return []
    seconds, times = sum(long for _, long in silent), f"{len(silent)} times" if len(silent) > 1 else "once"
    words = f"{topic}: {some(signal.names)} silent for {seconds:.2f} s, {times}, from {silent[0][0]:.2f} s on"
    return [f"{words}; robot.valid is false there"]


def _contradicted(topic: str, signal: Signal) -> list[str]:
    """That some joints jump to another place and back, as where two nodes tell them of different robots, in words."""
    times = np.zeros(len(signal.names), int)
    for at in range(0, len(signal.stamp) - 2, _BLOCK):
        away = np.diff(signal.values[at : at + _BLOCK + 2], axis=0)
        there, back = away[:-1], away[1:]
        least = np.minimum(np.abs(there), np.abs(back))
        times += ((least > _JUMP) & (np.abs(there + back) < _BACK * least)).sum(axis=0)
    names = [name for name, count in zip(signal.names, times.tolist()) if count >= _TIMES]
    if not names:
        return []
    words = f"{topic}: {some(names)} jump to another place and back, up to {times.max()} times, as where two nodes tell the"
    return [f"{words} same joints; what is exported lies between what they tell: record with one of them"]
