"""Recorded episodes by their sidecars: listed, trimmed, labelled. Bags themselves are never written to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fourdhands_core.episodes.sidecar import DISCARDED, RECORDING, Sidecar, read_sidecar
from fourdhands_core.errors import DatasetError, InputError
from fourdhands_core.progress import short_names
from fourdhands_core.streams import counted, printable, said_of

from ..bags.info import HAND_PAIR, CameraSummary, summarise
from ..bags.reading import Bag
from ..bags.topics import topics_of
from .finding import find_bags


def lines(paths: list[Path]) -> Iterator[tuple[str, bool]]:
    """A line for each episode of bags and folders: length, hands, and what its sidecar says; and whether all could be read."""
    for bag in find_bags(paths):
        read, discarded = True, False
        try:
            sidecar = read_sidecar(bag)
            said = _said(sidecar) if sidecar else "no sidecar"
            discarded = sidecar is not None and sidecar.state == DISCARDED
        except DatasetError as error:
            said, read = str(error), False
        try:
            summaries, warnings = summarise(bag)
            hands = "; ".join(_words(name, one) for name, one in summaries.items())
        except InputError as error:
            hands, warnings = str(error), []
            read = read and (discarded or not _holds_hands(bag))
        yield said_of(bag, f"{hands}; {said}") + "".join(f"; {warning}" for warning in warnings), read


def _holds_hands(bag: Path) -> bool:
    """Whether a bag has, or may have, hands; else nothing is wrong with it where there are none to summarise."""
    try:
        with Bag(bag) as opened:
            return bool(topics_of(opened.topics, HAND_PAIR))
    except InputError:
        return True


def check(path: Path) -> tuple[list[str], list[str]]:
    """What the episodes of a bag or folder hold, and what is wrong with them, in words. Of one that was discarded nothing is
    wrong: what it lacks is told of what it holds."""
    good, bad = list[str](), list[str]()
    for bag, called in short_names(find_bags([path])).items():
        wrong: list[str] = []
        try:
            sidecar = read_sidecar(bag)
        except DatasetError as error:
            sidecar = None
            wrong.append(said_of(called, str(error).replace(printable(str(bag)), called)))
        if sidecar and sidecar.state == RECORDING:
            wrong.append(f"{called}: its recording was not ended; `fourdhands episodes relabel --state kept` takes it as it is")
        summaries, warnings = dict[str, CameraSummary](), list[str]()
        try:
            summaries, warnings = summarise(bag)
            good.append(f"{bag}: " + "; ".join(_words(name, one) for name, one in summaries.items()))
        except InputError as error:
            wrong.append(said_of(called, str(error).replace(printable(str(bag)), called)))
        wrong += [f"{called}: {warning}" for warning in warnings]
        for name, one in summaries.items():
            if not one.left and not one.right:
                wrong.append(f"{called}: no hand is ever valid in {name}")
            if one.scaled < 1.0:
                wrong.append(f"{called}: positions of {name} are not metres, CameraInfo was missing")
            if one.repeated:
                words = "stamps repeated or out of order, as where a clock was set back or a bag was played in a loop"
                wrong.append(f"{called}: of {counted(one.pairs, 'HandPairs')} of {name} {one.repeated} have {words}: left out")
            if one.gaps:
                wrong.append(f"{called}: {one.missing:.1f} s of images are missing in {name}")
        if sidecar and sidecar.state == DISCARDED:
            good += [f"{words} (discarded)" for words in wrong]
        else:
            bad += wrong
    return good, bad


def _words(name: str, one: CameraSummary) -> str:
    return f"{name} {one.seconds:.1f} s, left {100 * one.left:.0f} %, right {100 * one.right:.0f} %"


def _said(sidecar: Sidecar) -> str:
    words = [sidecar.state, sidecar.outcome or "outcome not said", repr(sidecar.task) if sidecar.task else "no task"]
    if sidecar.trim:
        words.append(f"trimmed to {sidecar.trim[0]:.2f} to {sidecar.trim[1]:.2f} s")
    missing = (f"missing while recorded: {one}" for one in sidecar.missing)
    return ", ".join([*words, *(" ".join(note.split()) for note in sidecar.notes), *missing])


def _folder(bag: Path) -> Path:
    """Of a bag, which its sidecar lies in. Raises InputError for a file."""
    if not bag.is_dir():
        raise InputError(f"{bag} is a file of a bag; give the bag's folder, in which its sidecar lies")
    return bag


def trim(paths: list[Path], begin: float, end: float | None) -> Iterator[str]:
    """Say that only the part from `begin` to `end` seconds after the first HandPair of each is exported. Raises InputError
    where one has no such part, before any is changed, and at the end where some could not be changed."""
    parts = {bag: _part(_folder(bag), begin, end) for bag in find_bags(paths)}
    sidecars = {bag: read_sidecar(bag) or Sidecar() for bag in parts}
    for bag, sidecar in sidecars.items():
        sidecar.trim = None if begin == 0.0 and end is None else parts[bag]
    yield from _written(sidecars)


def _part(bag: Path, begin: float, end: float | None) -> tuple[float, float]:
    """Of a bag from where to where it is exported, seconds."""
    seconds = max(one.seconds for one in summarise(bag)[0].values())
    until = seconds if end is None else end
    if not 0.0 <= begin < until <= seconds + 1e-6:
        given = f"--begin {begin:g}" + ("" if end is None else f" --end {end:g}")
        raise InputError(f"{given}: give a part of the {seconds:.2f} s of {bag}")
    return begin, until


def relabel(paths: list[Path], task: str | None, outcome: str | None, state: str | None, notes: list[str]) -> Iterator[str]:
    """Change what sidecars say; None leaves it. outcome: "none" removes it. Raises InputError where nothing is to change, and
    at the end where some could not be changed."""
    if task is None and outcome is None and state is None and not notes:
        raise InputError("nothing to change: give --task, --outcome, --state or --note")
    sidecars = {bag: read_sidecar(_folder(bag)) or Sidecar() for bag in find_bags(paths)}  # all of them, before any is written
    for sidecar in sidecars.values():
        sidecar.task = sidecar.task if task is None else task
        sidecar.outcome = sidecar.outcome if outcome is None else outcome.replace("none", "")
        sidecar.state = sidecar.state if state is None else state
        sidecar.notes += notes
    yield from _written(sidecars)


def _written(sidecars: dict[Path, Sidecar]) -> Iterator[str]:
    """A line for each that was written. Raises InputError at the end where some could not be."""
    failed = []
    for bag, sidecar in sidecars.items():
        try:
            sidecar.write(bag)
        except InputError as error:
            failed.append(str(error))
            continue
        yield f"{bag}: {_said(sidecar)}"
    if failed:
        others = f"{len(failed)} of {len(sidecars)} episodes were not changed, the others were:\n" if len(sidecars) > 1 else ""
        raise InputError(others + "\n".join(failed))
