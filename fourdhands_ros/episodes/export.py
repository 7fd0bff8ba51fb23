"""The work of `fourdhands episodes export`: a part of each bag, several at once, and the dataset of all parts."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from fourdhands_core.copies import Brought, fetched, note
from fourdhands_core.engine import run_apart, run_in_turn
from fourdhands_core.episodes.actions import action_of
from fourdhands_core.episodes.folder import MANIFEST, ExportFolder, remove_left, states
from fourdhands_core.episodes.parts import Pictures, Writing, fetch_parts, has_part, made_whole, parts_in, read_part, write_part
from fourdhands_core.episodes.pictures import check_codec
from fourdhands_core.episodes.recording import Progress, Recording
from fourdhands_core.episodes.resampling import plan
from fourdhands_core.episodes.sidecar import DISCARDED, RECORDING, Sidecar, read_sidecar
from fourdhands_core.errors import DatasetError, InputError
from fourdhands_core.files import refuse_overwriting
from fourdhands_core.outputs import check_folder, room_for
from fourdhands_core.remote import Place, Remote
from fourdhands_core.streams import printable, said_of

from ..bags.camera import Options as Conversion
from ..bags.camera import find_cameras
from ..bags.conversion import convert
from ..bags.depth import AUTO, find_depth
from ..bags.frames import RecordedFrames, look_up_first
from ..bags.reading import Bag
from ..convert.transforms import TransformError
from .beside import check_images, intrinsics_at, pictures_of, read_marks
from .finding import find_places
from .options import Options, Report
from .robot import joint_topic
from .source import CAMERA_FRAME, hands_topic, read_recording
from .video import frames_of, is_video, read_video
from .whole import LAST, finish, key_of, noted_key, same_again


def export(
    sources: Sequence[Place],
    out: Place,
    options: Options,
    form: str = "lerobot",
    jobs: int | None = None,
    address: str = "",
    quiet: bool = False,
    skip_failed: bool = False,
) -> Report:
    """Make the dataset `out` of bags, or of all bags in folders, each on this machine or on a storage.

    The command of a run that was ended continues it; where `out` is there and of the same bags and options, nothing is done.
    jobs, address: see run_apart. skip_failed: make the dataset without the bags that failed. Raises InputError where a bag
    fails, the others being done first, or nothing is left to export.
    """
    action_of(options.action, options.operator)
    check_codec(options.vcodec)
    bags = find_places(sources, is_video)
    if isinstance(out, Path):
        refuse_overwriting([out], [bag for bag in bags if isinstance(bag, Path)])
        check_folder(out.parent)
    report = Report()
    kept, failed = _kept(bags, options, report)
    run = _Run(kept, failed, len(kept) + len(failed), options, form, jobs, address, quiet, skip_failed)
    if isinstance(out, Path):
        run.into(out, report)
    elif out.holds(MANIFEST):
        same_again(out, kept, options, form, report)
    else:
        out.check_writable()
        beside = _beside(out) if address else None
        with Brought(out, LAST, kept=True).here() as here:
            if here.exists():  # of a run that was killed before it was on the storage
                try:
                    same_again(here, kept, options, form, Report())
                except (InputError, DatasetError):
                    shutil.rmtree(here)
            run.into(here, report, beside / "parts" if beside else None)
            report.again = False
    if isinstance(out, Remote):
        with contextlib.suppress(InputError):  # of this run, or of a killed one
            _beside(out).remove()
    return report


_OF_A_PART = re.compile(r"parts/[0-9a-f]{32}/")


@dataclass(frozen=True)
class _Run:
    """An export with its options. kept, failed: see _kept. of: how many those are. The rest as in export."""

    kept: list[Place]
    failed: dict[Place, str]
    of: int
    options: Options
    form: str
    jobs: int | None
    address: str
    quiet: bool
    skip_failed: bool

    def into(self, out: Path, report: Report, shared: Remote | None = None) -> None:
        """Make the dataset in a folder of this machine. shared: where a cluster's nodes put the parts, where not beside it."""
        if out.exists() and not (out / MANIFEST).is_file():
            raise InputError(f"{out} is there already and no finished export; choose another --out")
        with room_for(out):
            if out.exists():
                same_again(out, self.kept, self.options, self.form, report)
                remove_left(out)
                return
            with ExportFolder(out) as work:
                if out.exists():  # another process finished it meanwhile
                    raise InputError(
                        f"{out} is there already; give the same command again to see whether it is of the same bags"
                    )
                keys, failed = self._parts(work, shared)
                if failed and not self.skip_failed:
                    raise InputError(_failed_words(failed, self.of))
                report.skipped.update({str(bag): f"failed: {reason}" for bag, reason in failed.items()})
                done = {bag: keys[bag] for bag in self.kept if bag in keys}
                finish(work, done, self.options, self.form, report, [bag for bag in failed if isinstance(bag, Path)])

    def _parts(self, work: ExportFolder, shared: Remote | None) -> tuple[dict[Place, str], dict[Place, str]]:
        """The keys of all bags' parts, which lie in the folder then; of those that failed why."""
        keys: dict[Place, str] = {}
        parts: Place = shared or work.parts
        there = parts_in(parts)
        for bag in self.kept:  # those whose files need not be copied for it
            key = noted_key(bag, self.options)
            if key in there:
                keys[bag] = key

        def told(bag: Place, result: tuple[str, list[str]]) -> None:
            keys[bag] = result[0]
            if isinstance(bag, Remote):
                note(bag, self.options.text(), result[0])
            for warning in result[1]:
                tqdm.write(f"fourdhands: warning: {bag}: {warning}", file=sys.stderr)

        tasks = {bag: (fetched(bag), parts, self.options) for bag in self.kept if bag not in keys}
        if self.address or (self.jobs != 1 and len(tasks) > 1):
            failed = run_apart(make_part, tasks, self.jobs, self.address, self.quiet, "row", told)
        else:
            failed = run_in_turn(make_part, tasks, self.quiet, "row", told)
        if shared:
            fetch_parts(shared, work.parts, set(keys.values()))
        return keys, dict(sorted((self.failed | failed).items(), key=lambda one: str(one[0])))


def _beside(out: Remote) -> Remote:
    """Where a cluster's nodes put parts, which is removed at the end. Raises InputError where something else is there."""
    beside = out.beside(".partial")
    if not all(_OF_A_PART.match(file.name) for file in beside.find(re.compile(""), needed=False)):
        raise InputError(f"{beside} is there and no unfinished export; choose another --out")
    return beside


def _kept(bags: list[Place], options: Options, report: Report) -> tuple[list[Place], dict[Place, str]]:
    """The bags that are to be exported by what lies beside them, and those of which that cannot be read, with the reason."""
    kept: list[Place] = []
    failed: dict[Place, str] = {}
    for bag in bags:
        try:
            sidecar = None if is_video(bag) else read_sidecar(bag)
        except DatasetError as error:
            failed[bag] = str(error)
            continue
        if sidecar and sidecar.state == DISCARDED:
            report.skipped[str(bag)] = "discarded"
        elif sidecar and sidecar.state == RECORDING and sidecar.span is None:
            words = "its recording was not ended, and what was to be shown had not begun"
            report.skipped[str(bag)] = f"{words}; `fourdhands episodes relabel --state kept` takes all of it"
        elif options.outcome and (sidecar is None or sidecar.outcome != options.outcome):
            report.skipped[str(bag)] = f"its outcome is {sidecar.outcome or 'not said' if sidecar else 'not said'}"
        else:
            kept.append(bag)
    if not kept:
        why = report.skipped | {str(bag): reason for bag, reason in failed.items()}
        raise InputError("no bag is left to export: " + "; ".join(said_of(bag, words) for bag, words in why.items()))
    return kept, failed


def _failed_words(failed: dict[Place, str], of: int) -> str:
    words = [said_of(bag, reason) for bag, reason in failed.items()]
    if of == 1:
        return words[0]
    head = f"{len(failed)} of {of} bags failed"
    if len(failed) < of:
        head += "; the others are kept for the next run, and --skip-failed goes on without"
    return "\n".join([head, *words])


def make_part(source: Path, parts: Place, options: Options, progress: Progress) -> tuple[str, list[str]]:
    """The part of a bag or video, unless it is there. Returns its key and what the user should know.

    Raises InputError for one that cannot be read or that changed meanwhile.
    """
    with room_for(parts), contextlib.ExitStack() as opened:
        bag = None if is_video(source) else opened.enter_context(Bag(source))
        try:
            key, files = key_of(bag, source, options)
            before = states(files)
            folder = parts / key
            if not has_part(folder):
                with made_whole(folder) as beside:
                    tracked = beside.parent / f"{key}.hands"
                    if bag is None:
                        _fill_of_video(beside, tracked, source, options, progress)
                    else:
                        _fill(beside, tracked, source, bag, options, progress)
                    if states(files) != before:
                        raise InputError(f"{source} changed while it was read; give the command again when it is finished")
                shutil.rmtree(tracked, ignore_errors=True)
        except FileNotFoundError as error:
            if isinstance(parts, Path) and not parts.is_dir():
                raise InputError(f"{parts} was removed while it was written to; give the command again") from error
            raise InputError(f"{source} changed while it was read ({error}); give the command again") from error
        return key, read_part(folder)["warnings"]


def _fill(folder: Path, tracked: Path, source: Path, bag: Bag, options: Options, progress: Progress) -> None:
    """Write the part of a bag, whose hands are found first where it has none."""
    if hands_topic(bag, options.chosen.topic) is not None:
        _write(folder, bag, bag, source, options, progress)
        return
    told = [] if tracked.exists() else convert(source, tracked, _of_one_camera(bag, options), progress).warnings
    with Bag(tracked) as hands:
        _write(folder, hands, bag, source, options, progress, told)


def _fill_of_video(folder: Path, tracked: Path, source: Path, options: Options, progress: Progress) -> None:
    """Write the part of a video, whose hands are found first."""
    shutil.rmtree(tracked, ignore_errors=True)
    recording = read_video(source, tracked, options, progress)
    recording.name = printable(source.resolve().name)
    _write_recording(folder, recording, options, lambda camera, numbers: frames_of(source, numbers), progress)


def _of_one_camera(bag: Bag, options: Options) -> Conversion:
    """How hands are found in the images of the camera whose they are to be. Raises InputError where that is not said, or there
    is none: before that takes its time."""
    conversion, wanted = options.conversion, options.chosen.topic
    check_images(bag, options.chosen.images or ())
    joint_topic(bag, options.chosen.robot)
    read_marks(bag, options.chosen.split)
    all_cameras = find_cameras(bag.topics, replace(conversion, camera_info=""), bag.unread)
    cameras = {f"{one.namespace}/hands": one for one in all_cameras}
    there = f"there would be {', '.join(sorted(cameras))} of its images"
    if wanted and wanted not in cameras:
        raise InputError(f"--topic {wanted} holds no HandPair in {bag.path}; {there}")
    if len(cameras) > 1 and not wanted:
        raise InputError(f"{bag.path} has several cameras and no hands; {there}; choose one with --topic")
    camera = cameras[wanted or next(iter(cameras))]
    if options.chosen.frame != CAMERA_FRAME:
        try:
            look_up_first(bag, camera, RecordedFrames(bag), options.chosen.frame, 2**62)
        except TransformError as error:
            raise InputError(f"{bag.path}: --frame {options.chosen.frame}: {error}") from error
    if len(cameras) > 1:
        mirrored = conversion.parameters.tracker_settings().of_camera(camera.name).mirrored
        parameters = replace(conversion.parameters, mirrored=mirrored, mirrored_cameras=())
        conversion = replace(conversion, topics=(camera.image,), parameters=parameters)
    find_cameras(bag.topics, conversion, bag.unread)
    if conversion.depth != AUTO:
        find_depth(bag, camera.image, conversion.depth)
    return conversion


def _write(
    folder: Path, hands: Bag, bag: Bag, source: Path, options: Options, progress: Progress, told: list[str] | None = None
) -> None:
    """told: what was said while this package found the hands, as the options say; None where they were recorded."""
    found = told is not None
    recording = read_recording(hands, bag, options.chosen, folder.parent, options.conversion if found else None)
    if not found and options.conversion != Options().conversion:
        recording.warnings.append(
            f"{source} has hands already: what was said of its images and of how hands are found is not used"
        )
    recording.warnings += [words for words in told or () if words not in recording.warnings]
    recording.name = printable(source.resolve().name)
    recording.warnings = [printable(words.replace(str(source), recording.name)) for words in recording.warnings]
    sidecar = read_sidecar(source)
    if sidecar:
        recording.task, recording.outcome = sidecar.task, sidecar.outcome
        recording.marks = _marks(recording, sidecar)
    _write_recording(folder, recording, options, lambda camera, numbers: pictures_of(bag, recording, camera, numbers), progress)


def _write_recording(folder: Path, recording: Recording, options: Options, pictures: Pictures, progress: Progress) -> None:
    write_part(
        folder,
        recording,
        plan(recording, options.cutting),
        Writing(action_of(options.action, options.operator), options.cutting, options.vcodec),
        pictures,
        lambda stamp: intrinsics_at(recording, stamp),
        progress,
    )


def _marks(recording: Recording, sidecar: Sidecar) -> list[tuple[int, int]] | None:
    """The parts to take: those that a topic marks, within what the sidecar says."""
    limits = []
    if sidecar.span:
        limits.append((sidecar.span[0], 2**62 if sidecar.span[1] is None else sidecar.span[1]))
    if sidecar.trim:
        start = int(recording.hands.stamp[0])
        limits.append((start + round(sidecar.trim[0] * 1e9), start + round(sidecar.trim[1] * 1e9)))
    marks = recording.marks
    for begin, end in limits:
        within = [(begin, end)] if marks is None else marks
        marks = [(max(begin, one), min(end, other)) for one, other in within if one < end and other > begin]
    return marks
