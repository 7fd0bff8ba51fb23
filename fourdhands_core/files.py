"""Files that people bring and name: whether one can be read, what it really is, and that no input is written over."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import stat
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

from .errors import FourDHandsError, InputError

_KINDS = (
    (
        rb"(?s)\s*(<\?xml.{0,200}?\?>\s*)?(<!--.{0,2000}?-->\s*)*<(!doctype\s+html|html|head|body|script|meta|title|link|style)\b",
        "a web page",
        "log in at the publisher's site (or confirm the download there), and save the file itself",
    ),
    (rb"version https://git-lfs", "a Git LFS pointer, which stands for the file", "get the file itself with `git lfs pull`"),
    (rb"\s*<\?xml", "an XML text", ""),
    (rb"\s*[{\[]\s*[\"\]}{\[0-9-]", "a JSON text", ""),
    (rb"PK\x03\x04", "a zip archive", "unpack it and give the file in it"),
    (rb"\x04\x22\x4d\x18", "an lz4 archive", "unpack it (unlz4) and give the file in it"),
    (rb"\x1f\x8b", "a gzip archive", "unpack it (gunzip, or tar -xzf) and give the file in it"),
    (rb"BZh[1-9]", "a bzip2 archive", "unpack it (bunzip2, or tar -xjf) and give the file in it"),
    (rb"\xfd7zXZ\x00", "an xz archive", "unpack it (unxz, or tar -xJf) and give the file in it"),
    (rb"\x28\xb5\x2f\xfd", "a zstd archive", "unpack it (unzstd) and give the file in it"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it (7z x) and give the file in it"),
    (rb"Rar!\x1a\x07", "a RAR archive", "unpack it and give the file in it"),
    (rb"(?s).{257}ustar", "a tar archive", "unpack it (tar -xf) and give the file in it"),
    (rb"%PDF-", "a PDF", ""),
    (rb"\x89PNG\r\n|\xff\xd8\xff|GIF8|(?s:RIFF.{4}WEBP)", "a picture", ""),
    (
        rb"(?s)....ftyp(hei[cxms]|mif1|msf1|avi[fs])",
        "a picture in HEIC or AVIF",
        "convert it (heif-convert IN OUT.jpg), or have the phone take JPEG",
    ),
    (
        rb"#EXTM3U|ffconcat version",
        "a playlist, a text that names other files",
        "give the video that it names, or each by itself",
    ),
    (rb"(?s)ID3[\x02-\x04]|fLaC|....ftypM4[AB]|RIFF.{4}WAVE", "an audio file", ""),
    (
        rb"(?s)....ftyp|\0...(moov|wide|free|skip|pnot)|....mdat|\x1a\x45\xdf\xa3|RIFF.{4}AVI |"
        rb"G.{187}G.{187}G|.{4}G.{191}G.{191}G|\0\0\x01[\xb3\xba]|\0{2,3}\x01[\x09\x27\x40\x46\x47\x67]|FLV\x01|\x30\x26\xb2\x75\x8e\x66\xcf\x11|"
        rb"\x06\x0e\x2b\x34|YUV4MPEG2 ",
        "a video",
        "",
    ),
    (rb"\x89HDF\r\n", "an HDF5 file", ""),
    (rb"\x93NUMPY", "a numpy array (npy)", ""),
    (rb"\x89MCAP0\r\n", "an mcap recording", ""),
    (rb"SQLite format 3\x00", "an SQLite database", ""),
    (rb"#ROSBAG V2", "a bag of ROS 1", "convert it with rosbags-convert"),
    (rb"(?s).{6}\x00\x00\{\"", "a safetensors file", ""),
    (rb"\x80[\x02-\x05]", "a pickle", ""),
)
"""How files begin, what they are then called, and what to do where another kind was expected."""


def kind_of(path: str | Path) -> tuple[str, str]:
    """What a file is by its first bytes, as ("a web page", what to do about it); ("", "") where that cannot be told."""
    if not os.path.isfile(path):  # to open a pipe would wait for who writes to it
        return "", ""
    try:
        with open(path, "rb") as file:
            start = file.read(4096)
    except OSError:
        return "", ""
    return _zipped(path) if start.startswith((b"PK\x03\x04", b"PK\x05\x06")) else kind_of_start(start)


def kind_of_start(start: bytes) -> tuple[str, str]:
    """`kind_of` what begins with these bytes."""
    if not start:
        return "empty", "copy or download it again"
    start = start[:4096].removeprefix(b"\xef\xbb\xbf")
    return next(((name, advice) for pattern, name, advice in _KINDS if re.match(pattern, start, re.IGNORECASE)), ("", ""))


def _zipped(path) -> tuple[str, str]:
    """Of which kind a zip is: torch's checkpoints and numpy's npz are zips too."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return "a truncated zip archive", "copy or download it again"
    if any(name.endswith("/data.pkl") for name in names):
        return "a torch checkpoint", ""
    if names and all(name.endswith(".npy") for name in names):
        return "a numpy archive (npz)", ""
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return "a zip archive", f"unpack it and give the file in it (it holds {shown})"


def not_a(path: str | Path, wanted: str, reason: str = "", advice: str = "", known: Iterable[str] = ()) -> str:
    """The sentence for a file that could not be read as `wanted`: what it is instead, or else the `reason`.

    known: kinds of `kind_of` that `wanted` itself has, of which the file then is a damaged one. advice: what to do where
    the kind has none.
    """
    kind, what_to_do = kind_of(path)
    if not kind or kind in known:
        return f"{path} is not {wanted}" + (f" ({reason})" if reason else "") + (f"; {advice}" if advice else "")
    what_to_do = what_to_do or advice
    return f"{path} is {kind}, not {wanted}" + (f"; {what_to_do}" if what_to_do else "")


def dataset_words(folder: Path, wanted: str) -> str:
    """That a folder is a LeRobot dataset and not `wanted`, and what to do, in words that follow its name; empty where it is
    none."""
    if not (folder / "meta" / "info.json").is_file():
        return ""
    return f"is a dataset, not {wanted}; bags of it are: fourdhands episodes import {shlex.quote(str(folder))} --out BAGS"


def local_path(text: str) -> str:
    """The path of a local file's address, as a browser or a file manager copies it (file:///a%20b), and of one that begins with
    ~/, which shells leave as it is in NAME:=~/FILE and --NAME=~/FILE; any other text as it is."""
    address = re.fullmatch(r"file:(?://(?:localhost)?)?(/(?!/).*)", text, re.IGNORECASE | re.DOTALL)
    return unquote(address[1], errors="surrogateescape") if address else os.path.expanduser(text)


def check_file(path: str | Path, what: str, advice: str, error: type[FourDHandsError] = InputError) -> Path:
    """The path of a file that can be opened. Raises `error` for what is missing, a folder, no file, or not for this user.

    what: names the file in the message ("hand model"). advice: what to give instead.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        kind = "is a link to a file that" if path.is_symlink() else ""
        raise error(f"{what} {path} {kind}{' ' if kind else ''}does not exist; {advice}") from None
    except OSError as problem:  # a folder on the way that may not be entered, a name that is too long
        raise error(f"{what} {path} cannot be opened ({problem.strerror}); {advice}") from problem
    if stat.S_ISDIR(mode):
        raise error(f"{what} {path} is a folder; {advice}")
    if not stat.S_ISREG(mode):
        raise error(f"{what} {path} is a device or a pipe, not a file; {advice}")
    if not os.access(path, os.R_OK):
        raise error(f"{what} {path} may not be read by this user; change its rights (chmod u+r)")
    return path


def refuse_overwriting(outputs: Iterable[str | Path], inputs: Iterable[str | Path | None]) -> None:
    """Raise InputError where a file to be written is one of the inputs, by whatever name or link, or in an input folder.

    To be called before anything is written. An input that is None, empty or not there is passed over.
    """
    given = [Path(path) for path in inputs if path is not None and str(path) and os.path.exists(path)]
    for output in map(Path, outputs):
        if not os.path.exists(output):
            continue
        for path in given:
            if os.path.samefile(output, path):
                name = "an input" if output == path else f"the input {path}"
            elif path.is_dir() and output.resolve().is_relative_to(path.resolve()):
                name = f"a file of the input {path}"
            else:
                continue
            raise InputError(f"{output} is {name} and would be written over; choose another place")


def from_root(path: str | Path) -> str:
    """The path from the root on: of a relative one FFmpeg takes what stands before a colon, as in 13:00/clip.mp4, for a
    protocol."""
    return os.path.abspath(path)


@contextlib.contextmanager
def utf8_name(path: str | Path, without: str = "") -> Iterator[str]:
    """A name of the file for libraries in C++, which fail or crash on names that are not UTF-8: its own where it is, else
    a link's to it, for as long as the context lasts. The file need not be there. without: letters that are no better.

    One that FFmpeg would take for an address is made `from_root`.
    """
    name = from_root(path) if ":" in str(path).partition("/")[0] else str(path)
    with contextlib.suppress(UnicodeEncodeError):
        if os.fsencode(name) == name.encode() and not set(without) & set(name):
            yield name
            return
    with tempfile.TemporaryDirectory() as folder:
        ending = Path(path).suffix
        link = Path(folder, "file" + (ending if ending.isascii() and not set(without) & set(ending) else ""))
        link.symlink_to(os.path.abspath(path))
        yield str(link)
