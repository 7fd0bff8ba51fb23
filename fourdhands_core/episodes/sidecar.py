"""The file beside a recorded episode's messages that says what was done in it: episode.json in the bag's folder."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from ..errors import DatasetError, InputError
from ..outputs import TEXT
from ..remote import Place, Remote

NAME = "episode.json"
KEPT, DISCARDED, RECORDING = "kept", "discarded", "recording"
OUTCOMES = ("", "success", "failure")


@dataclass
class Sidecar:
    """What is known of an episode beside its messages.

    task: in words. state: KEPT, DISCARDED, or RECORDING, which stays where the recorder was killed. outcome: success, failure
    or empty. notes: of who recorded. trim: seconds after the first HandPair (begin, end), of which the rest is not exported.
    missing: what was not there while it was recorded. span: stamps in nanoseconds between which the demonstration is; the
    second is None where the recorder was killed.

    A new key has a default here, for files of before, and a check in `read_sidecar`. It is written by `EpisodeRecorder` of
    `fourdhands_ros/bags/episode_recorder.py`, which gets options in `bags/recorder.py` and `launch/record.launch.py`; shown by
    `episodes list` and changed by `relabel` in `fourdhands_ros/episodes/keeping.py`, options in `commands/episodes.py`; shown
    on the page by `_sidecar_words` of `fourdhands_ros/view/bag_recording.py`; told of in `docs/`:
    `demonstrations.md` and `view.md`.
    """

    task: str = ""
    state: str = KEPT
    outcome: str = ""
    notes: list[str] = field(default_factory=list)
    trim: tuple[float, float] | None = None
    missing: list[str] = field(default_factory=list)
    span: tuple[int, int | None] | None = None

    def write(self, bag: Path) -> None:
        """Into a bag's folder, whole or not at all."""
        path = bag / NAME
        beside = path.with_name(f".{NAME}.{os.getpid()}")
        try:
            with beside.open("w", **TEXT) as file:
                json.dump(asdict(self), file, indent=1, ensure_ascii=False)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise InputError(f"{path} cannot be written ({error.strerror}); it is as it was") from error


def sidecar_of(bag: Path) -> Path:
    """Where the sidecar of a bag is, if it has one: in its folder, which a file of it lies in too."""
    return bag.with_name(NAME) if bag.is_file() else bag / NAME


def read_sidecar(bag: Place) -> Sidecar | None:
    """The sidecar of a bag; None where it has none. Raises DatasetError where it is none of this package's."""
    path = bag / NAME if isinstance(bag, Remote) else sidecar_of(bag)
    if isinstance(path, Remote) and not path.files:
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read ({error}); remove or repair it") from error
    try:
        values = json.loads(text)
        known = {one.name for one in fields(Sidecar)}
        sidecar = Sidecar(**{name: value for name, value in values.items() if name in known})
        if sidecar.state not in (KEPT, DISCARDED, RECORDING):
            raise ValueError(f"state {sidecar.state!r} is none of {KEPT}, {DISCARDED}, {RECORDING}")
        texts = [sidecar.notes, sidecar.missing]
        written = all(isinstance(one, list) and all(isinstance(text, str) for text in one) for one in texts)
        if not isinstance(sidecar.task, str) or sidecar.outcome not in OUTCOMES or not written:
            raise ValueError("of another kind than this package's")
        if sidecar.trim is not None:
            begin, end = map(float, sidecar.trim)
            if not 0.0 <= begin < end < 1e9:
                raise ValueError(f"trim from {begin:g} to {end:g} s is no part")
            sidecar.trim = (begin, end)
        if sidecar.span is not None:
            first, last = sidecar.span
            sidecar.span = (int(first), None if last is None else int(last))
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise DatasetError(f"{path} is no episode's file ({error}); remove or repair it") from error
    return sidecar
