"""Reads MANO's official pickles without running what is in them, and converts them once to npz.

A pickle names functions that unpickling calls. `ArrayUnpickler` (which the datasets' pickles are read with too) admits
numpy's arrays, and stand-ins for scipy's sparse matrix and chumpy's arrays (chumpy itself no longer installs), and
refuses every other name. numpy believes what a pickle says of types and sizes, and would read and write beyond
its memory: all of it is checked first.
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np

from ..errors import AssetError
from ..files import check_file, kind_of, kind_of_start, not_a, refuse_overwriting
from ..outputs import writing
from .assets import OPTIONAL_SHAPES, SHAPES, check_arrays

_LARGEST = 64 * 2**20
"""Bytes; MANO's pickles have 4 MB."""
_GIVE = "MANO_RIGHT.pkl and MANO_LEFT.pkl, or the zip with them, from https://mano.is.tue.mpg.de"
_TEXT_PICKLES = b"(", b"}", b"c"
"""How pickles of a dictionary begin in Python 2's first two protocols, which state none."""
_HANDS = re.compile(r"(?:^|/)MANO_(?:RIGHT|LEFT)\.pkl$", re.IGNORECASE)


class _StandIn:
    """Takes the place of a class named in the pickle: keeps the pickled state and runs nothing."""

    state: Mapping[str, Any] = MappingProxyType({})  # a pickle may make objects without calling __init__

    def __init__(self, *args: object) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}


class _Chumpy(_StandIn):
    """Any chumpy class."""

    def array(self) -> np.ndarray:
        """The numbers of a plain array (`x`) or of a selection from one (`a` and `idxs`)."""
        if "x" in self.state:
            return dense(self.state["x"])
        if "a" in self.state and "idxs" in self.state:
            picked = dense(self.state["a"]).reshape(-1)[dense(self.state["idxs"])]
            return picked.reshape(self.state.get("preferred_shape", picked.shape))
        raise AssetError("a chumpy object in the file is an expression, not stored numbers; use the official files")


class _Columns(_StandIn):
    """scipy's csc_matrix."""

    def array(self) -> np.ndarray:
        """The numbers, with the zeros between them: `indices` are rows, column k has those from indptr[k] to indptr[k + 1]."""
        values, rows, starts = (np.asarray(self.state[name]) for name in ("data", "indices", "indptr"))
        height, width = self.state["_shape"]
        if not (
            0 <= height * width <= _LARGEST // 8
            and len(values) == len(rows)
            and starts.shape == (width + 1,)
            and starts[0] == 0
            and starts[-1] == len(rows)
            and (np.diff(starts) >= 0).all()
            and ((rows >= 0) & (rows < height)).all()
        ):
            raise AssetError("the file holds a sparse matrix whose parts do not belong together")
        matrix = np.zeros((height, width))
        np.add.at(matrix, (rows, np.repeat(np.arange(width), np.diff(starts))), values)
        return matrix


class _Dtype(_StandIn):
    """numpy's dtype, of numbers, texts or objects: of its state the byte order alone is taken."""

    def __init__(self, name: Any, *_: object) -> None:
        self.dtype = np.dtype(name if isinstance(name, str) else "V")
        if self.dtype.kind not in "fiubSUO":
            raise AssetError(f"the file holds an array of type {name!r}; it may hold numbers, texts and objects")

    def __setstate__(self, state: Any) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])

    def values(self, data: Any) -> np.ndarray:
        """The numbers or texts (N,) in these bytes."""
        data = data.encode("latin1") if isinstance(data, str) else data  # Python 2's bytes
        if self.dtype.hasobject or not isinstance(data, (bytes, bytearray)):
            raise AssetError("the file holds numbers without their bytes")
        return np.frombuffer(data, self.dtype)


class _Array(np.ndarray):
    """numpy's array, whose state is checked before it is taken: version, shape, dtype, in Fortran's order, bytes or list."""

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        if not isinstance(kind, _Dtype):
            raise AssetError("the file holds an array without a type")
        if kind.dtype.hasobject:
            values = np.empty(len(data), object)
            values[:] = data
        else:
            values = kind.values(data)
        values = values.reshape(shape, order="F" if fortran else "C")
        super().__setstate__(
            (1, values.shape, values.dtype, False, values.ravel().tolist() if kind.dtype.hasobject else values.tobytes())
        )


def dense(value: Any) -> np.ndarray:
    """The numbers of an array, a stand-in of ArrayUnpickler or anything that numpy makes an array of."""
    return value.array() if isinstance(value, (_Chumpy, _Columns)) else np.asarray(value)


def _reconstruct_object(kind: Any, base: Any, state: Any) -> Any:
    """copyreg's way to make an object in pickles of protocol 0 and 1, for the stand-ins alone."""
    if not (isinstance(kind, type) and issubclass(kind, _StandIn)):
        raise AssetError(f"the file makes an object of {kind!r}, which a MANO model does not need")
    return kind.__new__(kind)


def _encode(text: Any, encoding: Any) -> Any:
    """What Python 3 writes for bytes in pickles of protocol 0 to 2."""
    if not isinstance(text, str) or encoding != "latin1":
        raise AssetError("the file encodes a text otherwise than a pickle of bytes does")
    return text.encode("latin1")


def _scalar(kind: Any, data: Any) -> Any:
    """numpy's way to make a number."""
    return kind.values(data)[0]


def _from_buffer(data: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    """numpy's way to make an array in pickles of protocol 5."""
    return kind.values(bytes(data)).reshape(shape, order=order)


_MULTIARRAY = "numpy.core.multiarray", "numpy._core.multiarray"
_ADMITTED: dict[tuple[str, str], Callable] = {
    ("_codecs", "encode"): _encode,
    (_MULTIARRAY[0], "scalar"): _scalar,
    (_MULTIARRAY[1], "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("__builtin__", "object"): object,
    ("builtins", "object"): object,
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,
    ("copy_reg", "_reconstructor"): _reconstruct_object,
    ("copyreg", "_reconstructor"): _reconstruct_object,
}


class ArrayUnpickler(pickle._Unpickler):
    """Unpickles containers of numbers, texts and numpy's arrays; `load` raises AssetError where more is named.

    file: open for reading bytes. what: names the kind of file in messages. Sparse matrices and chumpy's arrays become
    stand-ins, whose numbers `dense` gives. The unpickler in C would fill gigabytes for five bytes that remember something
    under a large number; Python's takes twice the time.
    """

    def __init__(self, file: Any, what: str = "a MANO model") -> None:
        super().__init__(file, encoding="latin1")
        self._what = what
        # A pickle can set attributes of the classes it gets: they are made for this file alone.
        self._chumpy, self._columns = type("Chumpy", (_Chumpy,), {}), type("Columns", (_Columns,), {})
        self._array, self._dtype = type("Array", (_Array,), {}), type("Dtype", (_Dtype,), {})

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ADMITTED:
            return _ADMITTED[module, name]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return self._array if name == "ndarray" else self._dtype
        if module in _MULTIARRAY and name == "_reconstruct":
            return lambda *_: self._array(0)
        if module.startswith("scipy.sparse") and name == "csc_matrix":
            return self._columns
        if module.split(".")[0] == "chumpy" and "." not in name:
            return self._chumpy
        raise AssetError(
            f"the file names {module}.{name}, which {self._what} does not need and which could run code; "
            "it was not loaded. Get the file anew from its publisher (MANO: https://mano.is.tue.mpg.de)"
        )

    def persistent_load(self, pid: Any) -> NoReturn:
        raise AssetError(f"the file refers to objects outside itself; it is not the published file of {self._what}")


def read_mano(path: str | Path) -> dict[str, np.ndarray]:
    """Arrays of an official MANO pickle by MANO's names (`assets.SHAPES`, `OPTIONAL_SHAPES`), float64.

    path: MANO_RIGHT.pkl or MANO_LEFT.pkl (Python 2 pickle, or the same written again by Python 3).
    Raises AssetError where the file is missing, truncated or unsafe. `convert_mano` checks keys, shapes and numbers.
    """
    path = check_file(path, "MANO model", f"give {_GIVE}", AssetError)
    _check_size(str(path), path.stat().st_size)
    return _read(path.read_bytes(), str(path))


def _check_size(label: str, size: Any) -> None:
    if size > _LARGEST:
        raise AssetError(f"{label} has {size} bytes, a MANO model about 4 million; give MANO_RIGHT.pkl")


def _read(pickled: bytes, label: str) -> dict[str, np.ndarray]:
    """See read_mano; label: what messages call the pickle."""
    try:
        data = ArrayUnpickler(io.BytesIO(pickled)).load()
        if not isinstance(data, dict):
            raise AssetError(f"holds a {type(data).__name__}, not a model's dictionary; give MANO_RIGHT.pkl")
        arrays = {key: dense(data[key]) for key in (*SHAPES, *OPTIONAL_SHAPES) if key in data}
    except AssetError as error:
        raise AssetError(f"{label}: {error}") from error
    except Exception as error:  # a damaged pickle can fail in any opcode, with any exception
        kind, advice = kind_of_start(pickled)
        if kind not in ("", "a pickle"):
            raise AssetError(f"{label} is {kind}, not a MANO model; {advice or 'give ' + _GIVE}") from error
        if not kind and not pickled.startswith(_TEXT_PICKLES):
            raise AssetError(f"{label} is neither a pickle nor a zip archive; give {_GIVE}") from error
        raise AssetError(
            f"{label} is not a complete pickle ({type(error).__name__}: {error}); it may be truncated: download it again"
        ) from error
    if "shapedirs" in arrays and arrays["shapedirs"].ndim == 3:
        arrays["shapedirs"] = arrays["shapedirs"][:, :, :10]
    if "kintree_table" in arrays and arrays["kintree_table"].dtype.kind in "iu":
        # The root's parent is written as 2^32 - 1.
        arrays["kintree_table"] = arrays["kintree_table"].astype(np.uint32).astype(np.int32)
    return arrays


def side_of(arrays: dict[str, np.ndarray]) -> bool:
    """True for a right hand, False for a left one, told from the arrays whatever the file is called.

    MANO's right hand points its fingers toward -x; the left one is its mirror image in x.
    """
    joints = arrays["J_regressor"] @ arrays["v_template"]
    fingers = joints[4] - joints[0]
    return bool(fingers[0] < 0)


def convert_mano(path: str | Path, out: str | Path) -> list[Path]:
    """Convert official MANO pickles to the npz that `assets.load_hand` reads; returns the npz's paths.

    path: a pickle, or what the publisher gives with two hands in it: mano_v1_2.zip, or its folder. out: the npz to write, or
    a folder (made if missing), in which it takes the pickle's name. The licence of the MANO model forbids passing the result
    on, as it does the pickle. Raises AssetError as `read_mano` does, and where keys are missing, shapes are not MANO's or
    numbers are not finite.
    """
    path, out = Path(path), Path(out)
    if path.is_dir():
        found = sorted(file for file in path.rglob("*.pkl") if _HANDS.search(file.name))
        if not found:
            raise AssetError(f"{path} is a folder without MANO_RIGHT.pkl and MANO_LEFT.pkl; give {_GIVE}")
        sources = [(str(file), file.stem, partial(read_mano, file)) for file in found]
    elif (kind := kind_of(path)[0]) == "a zip archive":
        sources = [(f"{path}: {name}", Path(name).stem, partial(_read_packed, path, name)) for name in _packed_hands(path)]
    elif kind in ("", "a pickle"):
        sources = [(str(path), path.stem, partial(read_mano, path))]
    else:
        raise AssetError(not_a(path, "a MANO model", advice=f"give {_GIVE}"))
    if out.suffix == ".npz" and len(sources) > 1:
        raise AssetError(f"{path} holds {len(sources)} hands, and {out} is one file; give a folder")
    targets = [out if out.suffix == ".npz" else out / f"{stem}.npz" for _, stem, _ in sources]
    refuse_overwriting(targets, [path])
    for target, (label, stem, read) in zip(targets, sources):
        arrays = read()
        check_arrays(arrays, label)
        kinds = {name: np.int64 if name in ("f", "kintree_table") else np.float64 for name in (*SHAPES, *OPTIONAL_SHAPES)}
        with writing(target) as unfinished, unfinished.open("wb") as file:
            np.savez_compressed(
                file,
                is_right=np.array(side_of(arrays)),
                name=np.array(stem),
                **{name: arrays[name].astype(kind) for name, kind in kinds.items() if name in arrays},
            )
    return targets


def _packed_hands(path: Path) -> list[str]:
    """The names of the hands' pickles in a zip."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if hands := sorted(name for name in names if _HANDS.search(name) and not name.startswith("__MACOSX")):
        return hands
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    raise AssetError(f"{path} is a zip archive without MANO_RIGHT.pkl and MANO_LEFT.pkl (it holds {shown}); give {_GIVE}")


def _read_packed(path: Path, name: str) -> dict[str, np.ndarray]:
    label = f"{path}: {name}"
    try:
        with zipfile.ZipFile(path) as archive, archive.open(name) as file:
            pickled = file.read(_LARGEST + 1)  # whatever its length is said to be
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError, zlib.error) as error:  # encrypted too
        raise AssetError(f"{label} cannot be unpacked ({error}); download the archive again") from error
    _check_size(label, len(pickled))
    return _read(pickled, label)
