"""What a user means by the name of a video: a camera, a video file, or the pictures of a folder or pattern.

`VideoReader` (media/video.py) opens it, as a class of media/captures.py. Who treats a camera in another way asks
`camera_index`: `check_there` of commands/__init__.py, commands/track.py, commands/view.py; fourdhands_ros/tools/demo_teleop.py
makes a path of it.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
from pathlib import Path

from ..errors import InputError
from ..files import check_file, dataset_words, kind_of, not_a
from .images import SUFFIXES

_ADVICE = "give a video file, a folder of images, or a camera's index (0, 1, ...)"


def camera_index(source: str | Path | int) -> int | None:
    """The index of the camera that `source` names: a number that is no file, or /dev/videoN and links to it; else None."""
    if isinstance(source, int):
        return source
    if str(source).isdecimal() and not os.path.exists(source):
        return int(str(source))
    device = re.fullmatch(r"/dev/video(\d+)", os.path.realpath(source))
    return int(device[1]) if device else None


def is_url(source: object) -> bool:
    """Whether it begins as an address does (rtsp://, http://)."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", str(source)) is not None


def pictures_of(source: str | Path) -> list[Path] | None:
    """The image files that `source` names, in natural order (frame_9 before frame_10); None where it is a single file that
    may be a video.

    source: a folder, an image, or a pattern of names, as frame_%04d.png or *.jpg. Raises InputError where it is none of
    them and no file, or has no images.
    """
    path = Path(source)
    if not str(source):  # as a shell makes of a variable that is not set: the current folder would be taken
        raise InputError(f"the name of the video is empty; {_ADVICE}")
    if is_url(source):
        raise InputError(
            f"{source} is an address, which is not read; record it to a file first, as with: "
            f"ffmpeg -i {shlex.quote(str(source))} -c copy video.mkv"
        )
    if os.path.isdir(path):
        files = _files(path)
        _refuse_results(path, {file.name for file in files})
        return _in_order(files) or _no_pictures(path)
    if os.path.exists(path) or not (expression := _pattern(path.name)):
        path = check_file(source, "video", _ADVICE)
        return [path] if path.suffix.lower() in SUFFIXES else None
    found = _in_order(file for file in _files(path.parent) if re.fullmatch(expression, file.name))
    if not found:
        raise InputError(f"no image in {path.parent} has a name like {path.name}; {_ADVICE}")
    return found


def _pattern(name: str) -> str:
    """The regular expression of a pattern of names; empty where it is none."""
    if re.search(r"%\d*d", name):
        return r"\d+".join(re.escape(part) for part in re.split(r"%\d*d", name))
    return fnmatch.translate(name) if re.search(r"[*?\[]", name) else ""


def _files(folder: Path) -> list[Path]:
    """What is in a folder, hidden files left out; InputError where that cannot be told."""
    if not os.path.isdir(folder):
        raise InputError(f"the folder {folder} does not exist; {_ADVICE}")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InputError(f"the folder {folder} may not be read by this user; change its rights (chmod u+rx)")
    return sorted(file for file in folder.iterdir() if not file.name.startswith("."))


def _in_order(files) -> list[Path]:
    """The images among files."""
    files = [file for file in files if file.suffix.lower() in SUFFIXES and file.is_file()]
    return sorted(
        files,
        key=lambda file: [int(part) if place % 2 else part for place, part in enumerate(re.split(r"([0-9]+)", file.name))],
    )


def _refuse_results(folder: Path, names: set[str]) -> None:
    """Raise InputError of a folder of results, whose contact sheet is no video of one image."""
    others = names & {"hands.npz", "overlay.mp4"}
    if "contact_sheet.png" in names and others:
        hands = f"; or, where hands that were found will do, {folder / 'hands.npz'}" if "hands.npz" in others else ""
        raise InputError(
            f"{folder} is a folder of results (contact_sheet.png, {', '.join(sorted(others))}), not of a video's images; give "
            f"the video that they are of{hands}"
        )


def _no_pictures(folder: Path):
    kinds = {file: kind_of(file)[0] for file in _files(folder)[:20] if file.is_file()}
    if any(kind == "an mcap recording" or file.suffix == ".db3" for file, kind in kinds.items()):
        raise InputError(f"{folder} is a bag of ROS, not a video; run: fourdhands bag {shlex.quote(str(folder))} OUT")
    if dataset := dataset_words(folder, "a video"):
        raise InputError(f"{folder} {dataset}")
    unread = next((file for file, kind in kinds.items() if kind == "a picture in HEIC or AVIF"), None)
    if unread:
        raise InputError(f"{folder} has no image that is read: {not_a(unread, 'one of JPEG, PNG and their like')}")
    video = next((file for file, kind in kinds.items() if kind == "a video"), None)
    raise InputError(
        f"{folder} is a folder without images ({', '.join(SUFFIXES[:3])}, ...); "
        + (f"give the video in it: {video}" if video else _ADVICE)
    )
