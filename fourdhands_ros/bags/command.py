"""The work of `fourdhands bag`: one bag with a progress bar, or many at once on all cores."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fourdhands_core.errors import FourDHandsError, InputError
from fourdhands_core.files import refuse_overwriting
from fourdhands_core.geometry.camera_source import CameraSource

from .camera import Options
from .conversion import Conversion, convert
from .info import plain, summarise, text

_counts: Any = None
"""In a worker: images done and images in all, of all workers."""


def convert_bags(sources: list[Path], out: Path, options: Options, jobs: int = 0, quiet: bool = False) -> None:
    """Convert one bag to the bag `out`, or several to bags of their names in the folder `out`, `jobs` at once.

    jobs: 0 for one a core. What is there already of several is left alone. Raises InputError where a bag cannot be
    converted, the others being done first.
    """
    if len(sources) == 1:
        with tqdm(unit="image", disable=quiet) as bar:
            _tell(sources[0], convert(sources[0], out, options, lambda done, total: _show(bar, done, total)))
        return
    # One error instead of many where the lens is none.
    CameraSource(options.parameters.default_fov, fov=options.fov, intrinsics=options.intrinsics)
    outs = {source: out / source.resolve().name.removesuffix(".mcap").removesuffix(".db3") for source in sources}
    if len(set(outs.values())) < len(outs):
        raise InputError("two of the bags have one name; convert them one by one")
    refuse_overwriting(outs.values(), sources)
    waiting = {source: target for source, target in outs.items() if not target.exists()}
    for source in outs.keys() - waiting.keys():
        print(f"{source}: {outs[source]} is there already")
    failed = _convert_many(waiting, options, min(jobs or os.cpu_count() or 1, len(waiting) or 1), quiet)
    if failed:
        raise InputError("\n".join([f"{len(failed)} of {len(outs)} bags were not converted", *failed]))


def info(paths: list[Path], as_json: bool = False) -> None:
    """Print what bags say of the hands in them."""
    for path in paths:
        summaries, warnings = summarise(path)
        _warn(warnings)
        if as_json:
            print(json.dumps({"bag": str(path), "hands": plain(summaries)}))
        else:
            print(f"{path}\n{text(summaries)}" if len(paths) > 1 else text(summaries))


def _convert_many(outs: dict[Path, Path], options: Options, jobs: int, quiet: bool) -> list[str]:
    """Convert each bag to its own, each in a process of its own. Returns what went wrong.

    The standard library's pools: the bags have nothing in common but the progress bar, which leaves nothing for an engine
    such as Ray to do on one machine. A pool for each bag, as one whose process is killed, for want of memory or by a bag
    that a library does not survive, fails whatever else it holds. Processes are spawned, as MediaPipe and torch have
    threads that a fork would not copy.
    """
    context = multiprocessing.get_context("spawn")
    counts = context.Array("q", 2)
    failed = []
    pool = ThreadPoolExecutor(jobs)
    try:
        with tqdm(unit="image", disable=quiet) as bar:
            running: dict[Future, Path] = {
                pool.submit(_convert_apart, context, counts, source, out, options): source for source, out in outs.items()
            }
            while running:
                for future in wait(running, timeout=0.2, return_when=FIRST_COMPLETED).done:
                    source = running.pop(future)
                    try:
                        _tell(source, future.result())
                    except (FourDHandsError, OSError) as error:
                        failed.append(f"{source}: {error}")
                    except BrokenProcessPool:
                        failed.append(
                            f"{source}: its process ended unexpectedly, perhaps for want of memory; run the same "
                            "command again with fewer --jobs to continue"
                        )
                    except Exception as error:  # a bug that one bag brings out must not end the others
                        failed.append(f"{source}: {type(error).__name__}: {error}")
                _show(bar, *counts[:])
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown()
    return failed


def _convert_apart(context, counts, source: Path, out: Path, options: Options) -> Conversion:
    with ProcessPoolExecutor(1, context, initializer=_begin_worker, initargs=(counts,)) as alone:
        return alone.submit(_convert_in_worker, source, out, options).result()


def _begin_worker(counts) -> None:
    global _counts
    _counts = counts


def _convert_in_worker(source: Path, out: Path, options: Options) -> Conversion:
    return convert(source, out, options, _Share())


class _Share:
    """Adds one conversion's progress to that of all workers."""

    def __init__(self):
        self._last = 0, 0

    def __call__(self, done: int, total: int) -> None:
        with _counts.get_lock():
            for i, (now, before) in enumerate(zip((done, total), self._last)):
                _counts[i] += now - before
        self._last = done, total


def _show(bar: tqdm, done: int, total: int) -> None:
    if bar.total is None:
        bar.n = bar.initial = done  # what an earlier run has done tells nothing of the speed
    bar.total = total
    bar.update(done - bar.n)


def _tell(source: Path, conversion: Conversion) -> None:
    _warn(conversion.warnings)
    for camera, images in conversion.images.items():
        told = [f"{images} images", f"{conversion.published[camera]} HandPairs"]
        told += [f"{count} refused ({reason})" for reason, count in conversion.refused[camera].items()]
        told += [f"{count} {event}" for event, count in conversion.events[camera].items()]
        tqdm.write(f"{source} {camera or '/'}: {', '.join(told)}")


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        tqdm.write(f"fourdhands: warning: {warning}", file=sys.stderr)
