"""The work of `fourdhands bag`: one bag with a progress bar, or many at once on all cores or on a cluster."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from fourdhands_core.copies import brought, call_here, fetched, note, note_of
from fourdhands_core.engine import run_apart
from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera_source import CameraSource
from fourdhands_core.outputs import check_folder
from fourdhands_core.progress import Board
from fourdhands_core.remote import Place, Remote, inside
from fourdhands_core.streams import counted, warn

from .camera import Options
from .conversion import MADE_OF, Conversion, convert, key_of, refuse_recordings
from .info import plain, summarise, text
from .remote import METADATA, bag_at


def convert_bags(
    sources: Sequence[Place], out: Place, options: Options, jobs: int | None = None, quiet: bool = False, address: str = ""
) -> None:
    """Convert one bag to the bag `out`, or several to bags of their names in the folder `out`, `jobs` at once; either may be
    on a storage.

    jobs: None for one a core. address: of a Ray cluster, see run_apart, which converts even one into the folder `out`. What is
    there already, of the same bytes and options, is left alone. Raises InputError where a bag cannot be converted,
    or another one's hands are there, the others being done first.
    """
    sources = [bag_at(source) for source in sources]
    if len(sources) == 1 and not address:
        _convert_one(sources[0], out, options, quiet)
        return
    # One error instead of many where the lens is none.
    CameraSource(options.parameters.default_fov, fov=options.fov, intrinsics=options.intrinsics)
    outs = _outs(sources, out)
    waiting, failed = {}, {}
    for source, target in outs.items():
        if not _is_there(target):
            waiting[source] = target
        elif (made_of := _made_of(target)) is None or made_of == _key_of(source, options):
            print(f"{source}: {target} is there already")
        else:
            failed[source] = (
                f"{target} is there already, of other options or of what was then in the bag or its episode.json; remove it, "
                "or choose another folder"
            )

    def told(source: Place, conversion: Conversion) -> None:
        if isinstance(source, Remote):
            note(source, options.text(), conversion.key)
        _tell(source, conversion)

    work = {source: (fetched(source), brought(target, METADATA), options) for source, target in waiting.items()}
    failed |= run_apart(convert, work, jobs, address, quiet, told=told)
    if failed:
        words = [f"{source}: {reason}" for source, reason in failed.items()]
        raise InputError("\n".join([f"{len(failed)} of {len(outs)} bags were not converted", *words]))


def _convert_one(source: Place, out: Place, options: Options, quiet: bool) -> None:
    if _is_there(out) and (made_of := _made_of(out)) and made_of == _key_of(source, options):
        print(f"{source}: {out} is there already; nothing was done")
        return
    with Board([source], "image", quiet) as board:

        def progress(done: int, total: int) -> None:
            board.at(source, done, total)
            board.draw()

        if isinstance(out, Remote):
            if out.holds(METADATA):
                raise InputError(f"{out} is there already; choose another name for the bag of hands")
            out.check_writable()
        board.begin(source)
        conversion = call_here(convert, fetched(source), brought(out, METADATA), options, progress)
    _tell(source, conversion)


def _outs(sources: Sequence[Place], out: Place) -> dict[Place, Place]:
    """Where in the folder each bag's hands go. Raises InputError where that cannot be, or is where a recording is."""
    names = {one: one.name if isinstance(one, Remote) else one.resolve().name for one in sources}
    outs = {source: out / name.removesuffix(".mcap").removesuffix(".db3") for source, name in names.items()}
    if len(set(outs.values())) < len(outs):
        raise InputError("two of the bags have one name; convert them one by one")
    out.check_writable() if isinstance(out, Remote) else check_folder(out)
    for target in outs.values():
        if isinstance(target, Remote) and target in sources:
            raise InputError(f"{target} is a recording that is read; give another folder for the bags of hands")
        if isinstance(target, Path):
            refuse_recordings(target, [source for source in sources if isinstance(source, Path)])
    return outs


def _is_there(out: Place) -> bool:
    return out.holds(METADATA) if isinstance(out, Remote) else out.exists()


def _made_of(bag: Place) -> str | None:
    """The key of what a bag of hands was made of; None of one that does not say."""
    try:
        return str(json.loads(inside(bag, MADE_OF).read_text(encoding="utf-8"))["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _key_of(source: Place, options: Options) -> str:
    """The key of what would be made of a bag now; empty of one that cannot be read."""
    noted = note_of(source, options.text()) if isinstance(source, Remote) else None
    try:
        return noted or call_here(key_of, fetched(source), options)
    except InputError:
        return ""


def info(paths: Sequence[Place], as_json: bool = False) -> None:
    """Print what bags say of the hands in them."""
    for path in paths:
        summaries, warnings = call_here(summarise, fetched(bag_at(path)))
        for warning in warnings:
            warn(warning)
        if as_json:
            print(json.dumps({"bag": str(path), "hands": plain(summaries)}))
        else:
            print(f"{path}\n{text(summaries)}" if len(paths) > 1 else text(summaries))


def _tell(source: Place, conversion: Conversion) -> None:
    for warning in conversion.warnings:
        warn(warning)
    for camera, images in conversion.images.items():
        told = [counted(images, "images"), counted(conversion.published[camera], "HandPairs")]
        told += [f"{count} refused ({reason})" for reason, count in conversion.refused[camera].items()]
        told += [f"{event}: {count}" for event, count in conversion.events[camera].items()]
        tqdm.write(f"{source} {camera or '/'}: {', '.join(told)}")
