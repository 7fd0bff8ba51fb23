"""The dataset of all parts: made of them, known again by their keys, and what it leaves out."""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import unquote

from fourdhands_core.copies import call_here, fetched, note_of
from fourdhands_core.episodes.card import write_card
from fourdhands_core.episodes.folder import MANIFEST, ExportFolder, content_key
from fourdhands_core.episodes.lerobot import write_lerobot
from fourdhands_core.episodes.parts import FIELDS, read_part
from fourdhands_core.episodes.plain_formats import write_hdf5, write_npz
from fourdhands_core.episodes.sidecar import sidecar_of
from fourdhands_core.errors import DatasetError, InputError
from fourdhands_core.outputs import TEXT
from fourdhands_core.progress import short_names
from fourdhands_core.remote import Place, Remote, inside
from fourdhands_core.streams import counted, printable, said_of

from ..bags.reading import Bag
from .options import Options, Report
from .source import CAMERA_FRAME
from .video import is_video

_WRITERS: dict[str, Callable[..., None]] = {
    "lerobot": lambda whole, folders, _, options, task: write_lerobot(
        whole, folders, options.cutting.fps, options.vcodec, task
    ),
    "hdf5": lambda whole, folders, names, options, task: write_hdf5(
        whole, folders, names, options.cutting.fps, task, options.chosen.frame == CAMERA_FRAME
    ),
    "npz": lambda whole, folders, names, options, task: write_npz(whole, folders, names, options.cutting.fps, task),
}
"""By `fourdhands_core.episodes.FORMATS`."""
LAST = "meta/info.json", "index.json", str(MANIFEST)
"""Files of datasets by which one is known; on a storage they come last."""


def key_of(bag: Bag | None, source: Path, options: Options) -> tuple[str, list[Path]]:
    """The key of a bag's part, or None's, a video's, and the files that it is of."""
    if bag is None:
        return content_key([source], [options.plain(), source.resolve().name]), [source]
    sidecar = sidecar_of(source)
    files = [*bag.files, *([sidecar] if sidecar.is_file() else [])]
    return content_key(files, [options.plain(), source.resolve().name]), files


def _key_of(source: Path, options: Options) -> str:
    if is_video(source):
        return key_of(None, source, options)[0]
    with Bag(source) as bag:
        return key_of(bag, source, options)[0]


def noted_key(bag: Place, options: Options) -> str | None:
    """The key of a bag's part, where that is known without its bytes."""
    return note_of(bag, options.text()) if isinstance(bag, Remote) else None


def _keys(bags: Iterable[Place], options: Options) -> list[str]:
    """Those of the bags that can be read."""
    found = []
    for source in bags:
        with contextlib.suppress(InputError):  # it failed before too, or is new: the keys tell
            found.append(noted_key(source, options) or call_here(_key_of, fetched(source), options))
    return found


def finish(
    work: ExportFolder, keys: dict[Place, str], options: Options, form: str, report: Report, failed: Iterable[Path] = ()
) -> None:
    """Make the dataset of the parts and give it its name. failed: bags of this machine that are left out of it."""
    said = {bag: read_part(work.part(key)) for bag, key in keys.items()}
    names = _names([*map(str, said), *report.skipped])
    for bag, one in said.items():
        one["bag"] = names[str(bag)]
    used, like = {}, _like_most([one for one in said.values() if one["episodes"]])
    for bag, one in said.items():
        if not one["episodes"]:
            report.skipped[str(bag)] = "no episode: " + _left_out_of(one)
        elif one["features"] != like["features"]:
            report.skipped[str(bag)] = f"{_difference(like, one)} ({one['seconds']:.2f} s)"
        elif one["frame"] != like["frame"]:
            report.skipped[str(bag)] = (
                f"its frame is {one['frame']!r}, that of {like['bag']} {like['frame']!r}; give one with --frame "
                f"({one['seconds']:.2f} s)"
            )
        elif _model(one) != _model(like):
            report.skipped[str(bag)] = (
                f"its hands are of the model {_named_model(one)}, those of {like['bag']} of {_named_model(like)}, whose "
                f"poses are others: export it apart ({one['seconds']:.2f} s)"
            )
        else:
            used[bag] = keys[bag]
    if not used:
        work.remove()  # parts without an episode
        raise InputError("nothing was exported: " + "; ".join(said_of(bag, reason) for bag, reason in report.skipped.items()))
    whole = work.begin_whole()
    folders = [work.part(key) for key in used.values()]
    _WRITERS[form](whole, folders, [names[str(bag)] for bag in used], options, options.task or "use the hands")
    told = _manifest(keys, used, said, options, form, _reasons(report.skipped, names, work))
    if those := _keys(failed, options):
        told["failed"] = those
    (whole / MANIFEST).parent.mkdir(exist_ok=True)
    (whole / MANIFEST).write_text(json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False), **TEXT)
    write_card(whole, told, [read_part(folder) for folder in folders])
    report.episodes = sum(len(said[bag]["episodes"]) for bag in used)
    report.rows = sum(episode["length"] for bag in used for episode in said[bag]["episodes"])
    work.finish(whole)


def _like_most(parts: list[dict]) -> dict:
    """The first of those bags that have the columns, frame and hand model which most have; empty of none."""
    kinds = [json.dumps([one["features"], one["frame"], _model(one)], sort_keys=True) for one in parts]
    return parts[kinds.index(Counter(kinds).most_common(1)[0][0])] if parts else {}


def _model(part: dict) -> tuple[str, bool]:
    """What MANO's parameters of a part mean: of which model they are, and whether they are relative to its flat hand."""
    return str(part["facts"].get("hand_model", "")), bool(part["facts"].get("flat_hand_mean", True))


def _named_model(part: dict) -> str:
    name, flat = _model(part)
    return repr(name) + ("" if flat else " about its mean pose")


def _difference(like: dict, other: dict) -> str:
    """How the columns of a bag differ from that of one whose kind the dataset is of."""
    names = sorted(like["features"].keys() ^ other["features"].keys())
    if names:
        return f"it has other columns than {like['bag']}: {', '.join(names)}"
    name = next(name for name in like["features"] if like["features"][name] != other["features"][name])
    shapes = [one["features"][name]["shape"] for one in (other, like)]
    what = (
        f"shape {shapes[0]}, that of {like['bag']} {shapes[1]}"
        if shapes[0] != shapes[1]
        else f"the same names in another order than {like['bag']}'s"
        if sorted(like["features"][name]["names"]) == sorted(other["features"][name]["names"])
        else f"other names than {like['bag']}'s"
    )
    return f"its {name} is of {what}"


def _manifest(
    keys: dict[Place, str],
    used: dict[Place, str],
    said: dict[Place, dict],
    options: Options,
    form: str,
    skipped: dict[str, str],
) -> dict:
    """What a dataset says of how it was made, the same wherever its bags lie. skipped: see _reasons."""
    bags = []
    for bag, key in keys.items():
        one = said[bag]
        taken = sum(episode["length"] for episode in one["episodes"]) / options.cutting.fps if bag in used else 0.0
        bags.append(
            {name: one[name] for name in FIELDS - {"features"}}
            | {"key": key, "used": bag in used, "task": one["task"] or options.task, "seconds_exported": round(taken, 6)}
            | {"episodes": len(one["episodes"]) if bag in used else 0}
        )
    return {"format": form, "task": options.task, "options": options.plain(), "bags": bags, "skipped": skipped}


def _names(bags: Iterable[str]) -> dict[str, str]:
    """What bags are called of an export, that none is called as another, wherever they all lie; links by what they lead to."""
    places = {bag: unquote(bag) if "://" in bag else os.path.realpath(bag) for bag in bags}
    called = short_names(places.values())
    return {bag: printable(called[place]) for bag, place in places.items()}


def _left_out_of(one: dict) -> str:
    """Why what a part leaves out is in no episode, and how much for each reason."""
    seconds: dict[str, float] = {}
    for piece in one["left_out"]:
        seconds[piece["reason"]] = seconds.get(piece["reason"], 0.0) + piece["seconds"]
    return "; ".join(f"{reason} ({much:.2f} s)" for reason, much in seconds.items())


def _reasons(skipped: dict[str, str], names: dict[str, str], work: ExportFolder) -> dict[str, str]:
    """Why bags are not in a dataset, by their names, without the places where they and the dataset lie."""
    result = {}
    for bag, reason in skipped.items():
        for place in (bag, os.path.realpath(bag), *filter(os.path.isabs, [str(work.out)])):
            reason = reason.replace(place, names[bag] if place != str(work.out) else work.out.name)
        result[names[bag]] = printable(reason)
    return result


def same_again(out: Place, bags: list[Place], options: Options, form: str, report: Report) -> None:
    """Report a dataset that is there. Raises InputError where it is of other bags or options."""
    try:
        told = json.loads(inside(out, MANIFEST).read_text(encoding="utf-8"))
        before = [one["key"] for one in told["bags"]]
        made, failed = (told["format"], told["task"], told["options"]), {*told.get("failed", ())}
        report.skipped.update(told["skipped"])
        report.episodes = sum(one["episodes"] for one in told["bags"])
        report.rows = sum(round(one["seconds_exported"] * options.cutting.fps) for one in told["bags"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise DatasetError(
            f"{out} is there already, and its own {MANIFEST} cannot be read ({reason}); choose another --out, or remove it"
        ) from error
    if made[0] != form:
        raise InputError(f"{out} is there already, in the format {made[0]}; choose another --out for {form}")
    there = _episodes_of(out, form)
    if there != report.episodes:
        raise InputError(
            f"{out} is there already and was changed since: it holds {there} episodes, {report.episodes} were exported; choose "
            "another --out, or remove it"
        )
    same = made == (form, options.task, options.plain())
    if not same or before != [key for key in _keys(bags, options) if key not in failed]:
        words = "of other bags or options, or another version's"
        raise InputError(f"{out} is there already, {words}; choose another --out, or remove it")
    report.again = True


def _episodes_of(out: Place, form: str) -> int:
    """How many episodes are in a dataset. Raises DatasetError."""
    name = "meta/info.json" if form == "lerobot" else "index.json"
    try:
        said = json.loads(inside(out, name).read_text(encoding="utf-8"))
        return int(said["total_episodes"]) if form == "lerobot" else len(said["episodes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{out} is there already, and its {name} cannot be read; choose another --out, or remove it"
        ) from error


def left_out_words(out: Place) -> list[str]:
    """A line for each time that a dataset leaves out, and why."""
    told = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    lines = []
    for one in told["bags"]:
        if not one["used"]:
            continue
        lines.append(
            f"{one['bag']}: {counted(one['episodes'], 'episodes')}, {one['seconds_exported']:.1f} of {one['seconds']:.1f} s"
        )
        if moved := one.get("resampling"):
            lines.append(
                f"  rows between two HandPairs are off by about {moved['mean_mm']:.2f} mm, 95 % below {moved['p95_mm']:.2f} mm"
            )
        for piece in one["left_out"]:
            lines.append(f"  left out {piece['seconds']:.2f} s from {piece['start']:.2f} s on: {piece['reason']}")
        lines += [f"  {counted(count, 'times')} {reason}" for reason, count in one["unusable"].items()]
    lines += [f"{bag}: left out, {reason}" for bag, reason in told["skipped"].items()]
    return lines
