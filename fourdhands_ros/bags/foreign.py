"""What files and folders are that are given as bags and are none, in words."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from fourdhands_core.files import dataset_words, kind_of, kind_of_start

from .topics import CONVERT, some

_HEAD = 512
"""Bytes by which a file is told."""
ZSTD = b"\x28\xb5\x2f\xfd"
"""How zstd's frames begin."""
_MAGIC = {".mcap": b"\x89MCAP0\r\n", ".db3": b"SQLite format 3\0"}
_FILES = (
    (rb"#ROSBAG V", "is a bag of ROS 1; " + CONVERT),
    (rb"\x89MCAP0\r\n", "is an mcap; name it with .mcap at its end"),
    (rb"SQLite format 3\0", "is a SQLite database; name it with .db3 at its end"),
    (re.escape(ZSTD), "is packed with zstd; name it with .zstd at its end, or unpack it"),
    (rb"(?s)....ftyp|\x1aE\xdf\xa3|RIFF....AVI ", "is a video, which `fourdhands track` reads"),
    (rb"\0+\Z", "begins with nothing but zeros: it was not written to its end, or not copied; copy it again"),
)
"""How files begin, and what they are, where a bag's reader has more to say than files.kind_of."""


def file_words(path: Path, plain: Path | None = None) -> str:
    """What a file is that is no rosbag2's, and what to do; "" where it begins as its name says.

    plain: the same without the compression that .zstd in its name tells.
    """
    try:
        head = _head(path)
        if packed := path.suffix == ".zstd" and head.startswith(ZSTD) and plain is not None:
            head = _head(plain) or head
    except OSError as error:
        return f"cannot be read ({error.strerror}); see whose it is and whether it can be copied"
    if not head:
        return "is empty: nothing was recorded, or not copied"
    expected = _MAGIC.get(Path(path.name.removesuffix(".zstd")).suffix)
    if (packed and head.startswith(ZSTD)) or (expected and head.startswith(expected) and packed == (path.suffix == ".zstd")):
        return ""
    if path.name == "metadata.yaml":
        return f"only describes a bag; give its folder, {path.parent}"
    for magic, words in _FILES:
        if re.match(magic, head):
            return words.format(shlex.quote(str(path)))
    kind, advice = kind_of_start(head) if packed else kind_of(path)
    if kind:
        return f"is {kind}, not a recording" + (f"; {advice}" if advice else "")
    if re.fullmatch(rb"[\t\n\r\x20-\x7e]+", head):
        return f"is text, not a recording; it begins {head[:40].decode()!r}"
    return ""


def folder_words(path: Path) -> str:
    """What a folder without an .mcap or .db3 file holds in their place, and what to do."""
    inside = sorted(path.iterdir())
    names = [file.name for file in inside]
    if not inside:
        return "is an empty folder; give one that rosbag2 wrote"
    if first := next((file for file in inside if file.suffix == ".bag"), None):
        return f"is a folder with bags of ROS 1; {CONVERT.format(shlex.quote(str(first)))}"
    if dataset := dataset_words(path, "a bag"):
        return dataset
    bags = [file.name for file in inside if file.is_dir() and any(part.suffix in _MAGIC for part in file.iterdir())]
    if bags:
        return f"is a folder of bags; give one or several of them: {some(bags)}"
    if "metadata.yaml" in names:
        return "has the metadata.yaml of a bag, but no .mcap or .db3 file; copy those too"
    return f"is a folder without an .mcap or .db3 file; it holds {some(names)}"


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)
