"""MANO's pickles: the official layout is read and converted, code in a pickle never runs, damage is named."""

import io
import os
import pickle
import struct
import sys
import types
import zipfile

import numpy as np
import pytest
import scipy.sparse

from fourdhands_core.errors import AssetError, InputError
from fourdhands_core.hand_model.assets import (
    SHAPES,
    asset_from_arrays,
    load_generic_hand,
    load_hand,
    mirror,
    needs_shape_flip,
    pair_of,
)
from fourdhands_core.hand_model.mano_files import convert_mano, read_mano


class Ch:
    """Pickles as chumpy's array does: state with the numbers in `x` and leftovers of its bookkeeping."""

    def __init__(self, x):
        self.x = x
        self._dirty_vars = {"x"}


class Select:
    """Pickles as chumpy's selection of numbers of another array."""

    def __init__(self, a, idxs, shape):
        self.a, self.idxs, self.preferred_shape = a, idxs, shape


@pytest.fixture
def official(monkeypatch):
    """Function (HandAsset) -> a dictionary as in the official files, its chumpy objects in a chumpy module."""
    for name, kind in (("chumpy.ch", Ch), ("chumpy.reordering", Select)):
        module = types.ModuleType(name)
        setattr(module, kind.__name__, kind)
        monkeypatch.setattr(kind, "__module__", name)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))

    def make(asset):
        more = np.concatenate([asset.shapedirs, np.zeros((778, 3, 5))], axis=2)
        return {
            "v_template": asset.v_template,
            "shapedirs": Select(Ch(more), np.arange(more.size), more.shape),
            "posedirs": Ch(asset.posedirs),
            "J_regressor": scipy.sparse.csc_matrix(asset.J_regressor),
            "weights": asset.weights,
            "f": asset.faces.astype(np.uint32),
            "kintree_table": np.array([[2**32 - 1, *asset.parents[1:]], range(16)], dtype=np.uint32),
            "hands_mean": asset.hands_mean,
            "hands_components": np.eye(45),
            "hands_coeffs": np.zeros((1554, 45)),
            "bs_style": "lbs",
            "bs_type": "lrotmin",
            "J": asset.J_regressor @ asset.v_template,
        }

    return make


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 did: as strings."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_string(self, value):
        self.write(b"T" + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch[bytes] = save_string


def write(path, data, protocol=2):
    path.write_bytes(pickle.dumps(data, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, "python 2"])
def test_official_layout_is_converted(official, tmp_path, monkeypatch, protocol):
    right = load_generic_hand()
    path = tmp_path / "MANO_RIGHT.pkl"
    if protocol == "python 2":
        with path.open("wb") as file:
            Python2Pickler(file, protocol=2).dump(official(right))
    else:
        write(path, official(right), protocol)
    for name in [name for name in sys.modules if name.split(".")[0] == "chumpy"]:
        monkeypatch.delitem(sys.modules, name)
    converted = load_hand(convert_mano(path, tmp_path / "hands")[0])
    assert converted.is_right and converted.name == "MANO_RIGHT"
    for field in ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "faces", "parents", "hands_mean"):
        np.testing.assert_array_equal(getattr(converted, field), getattr(right, field), err_msg=field)


def test_side_is_told_from_the_arrays(official, tmp_path):
    path = write(tmp_path / "some_hand.pkl", official(mirror(load_generic_hand())))
    [target] = convert_mano(path, tmp_path / "out.npz")
    assert target == tmp_path / "out.npz"
    assert not load_hand(target).is_right


class Runs:
    """Would make a folder when unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "call, named",
    [
        ((os.mkdir, "made"), "mkdir"),
        ((eval, "__import__('os').mkdir('made')"), "eval"),
        ((getattr, 1, "real"), "getattr"),
        ((np.fromfile, "made"), "fromfile"),
    ],
)
def test_code_in_a_pickle_does_not_run(official, tmp_path, monkeypatch, call, named):
    monkeypatch.chdir(tmp_path)
    data = official(load_generic_hand())
    data["hands_coeffs"] = Runs(*call)
    with pytest.raises(AssetError, match=named):
        read_mano(write(tmp_path / "MANO_RIGHT.pkl", data))
    assert not (tmp_path / "made").exists()


def test_protocol_0_cannot_make_other_objects(tmp_path):
    path = tmp_path / "hand.pkl"
    path.write_bytes(b"ccopy_reg\n_reconstructor\n(c__builtin__\nset\nc__builtin__\nobject\nNtR.")
    with pytest.raises(AssetError, match="set"):
        read_mano(path)


@pytest.mark.parametrize("module, name", [("chumpy", "os.system"), ("scipy.sparse.csc", "np.load"), ("numpy", "load")])
def test_dotted_and_neighbouring_names_are_refused(tmp_path, module, name):
    stream = io.BytesIO(
        b"\x80\x04\x8c" + bytes([len(module)]) + module.encode() + b"\x8c" + bytes([len(name)]) + name.encode() + b"\x93."
    )
    path = tmp_path / "hand.pkl"
    path.write_bytes(stream.getvalue())
    with pytest.raises(AssetError, match=name):
        read_mano(path)


@pytest.mark.parametrize("key", sorted(SHAPES))
def test_missing_key_is_named(official, tmp_path, key):
    data = official(load_generic_hand())
    del data[key]
    with pytest.raises(AssetError, match=key):
        convert_mano(write(tmp_path / "hand.pkl", data), tmp_path)


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("v_template", np.zeros((10475, 3)), "10475"),
        ("weights", np.full((778, 16), np.nan), "finite"),
        ("posedirs", np.full((778, 3, 135), "a"), "numbers"),
        ("f", np.full((1538, 3), 900), "900"),
        ("kintree_table", np.zeros((2, 16), np.int64), "parents"),
    ],
)
def test_wrong_values_are_named(official, tmp_path, key, value, message):
    data = official(load_generic_hand())
    data[key] = value
    with pytest.raises(AssetError, match=message):
        convert_mano(write(tmp_path / "hand.pkl", data), tmp_path)


@pytest.mark.parametrize(
    "name, value",
    [
        ("indices", np.array([0, 99])),
        ("indices", np.array([0, -1])),
        ("indices", np.array([0])),
        ("indptr", np.array([0, 2])),
        ("indptr", np.array([0, 2, 1, 2])),
        ("indptr", np.array([1, 1, 1, 2])),
        ("indptr", np.array([0, 1, 1, 3])),
        ("data", np.ones(3)),
        ("_shape", (10**9, 10**9)),
        ("_shape", (-2, -3)),
        ("_shape", (2, 2)),
    ],
)
def test_a_sparse_matrix_whose_parts_do_not_belong_together_is_refused(official, tmp_path, name, value):
    data = official(load_generic_hand())
    data["J_regressor"] = matrix = scipy.sparse.csc_matrix(np.array([[5.0, 0.0, 0.0], [0.0, 0.0, 7.0]]))
    vars(matrix)[name] = value
    with pytest.raises(AssetError, match="do not belong together"):
        read_mano(write(tmp_path / "hand.pkl", data))


def test_truncated_and_foreign_files_are_refused(official, tmp_path):
    whole = write(tmp_path / "hand.pkl", official(load_generic_hand())).read_bytes()
    damaged = tmp_path / "damaged.pkl"
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        damaged.write_bytes(whole[:size])
        with pytest.raises(AssetError, match="damaged.pkl"):
            read_mano(damaged)
    for content in (b"PK\x03\x04 not a pickle", pickle.dumps([1, 2]), np.random.default_rng(0).bytes(4096)):
        damaged.write_bytes(content)
        with pytest.raises(AssetError):
            read_mano(damaged)
    with pytest.raises(AssetError, match="does not exist"):
        read_mano(tmp_path / "none.pkl")


def test_loading_refuses_what_is_no_hand(tmp_path):
    with pytest.raises(AssetError, match="does not exist"):
        load_hand(tmp_path / "none.npz")
    pickled = tmp_path / "MANO_RIGHT.pkl"
    pickled.write_bytes(b"")
    with pytest.raises(AssetError, match="convert-mano"):
        load_hand(pickled)
    for name, content in (("a.npz", b"nothing"), ("b.npz", b"PK\x03\x04")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AssetError, match=name):
            load_hand(tmp_path / name)
    np.savez(tmp_path / "c.npz", v_template=np.zeros((778, 3)))
    with pytest.raises(AssetError, match="is_right"):
        load_hand(tmp_path / "c.npz")
    np.savez(tmp_path / "d.npz", v_template=np.zeros((778, 3)), is_right=True)
    with pytest.raises(AssetError, match="shapedirs"):
        load_hand(tmp_path / "d.npz")
    np.savez(tmp_path / "e.npz", v_template=np.array([{}]), is_right=True)
    with pytest.raises(AssetError, match="e.npz"):
        load_hand(tmp_path / "e.npz")


def test_left_shape_directions_of_smplx_issue_48_are_put_right():
    right = load_generic_hand()
    left = mirror(right)
    released = {
        "v_template": left.v_template,
        "shapedirs": left.shapedirs * np.array([-1.0, 1.0, 1.0])[:, None],
        "posedirs": left.posedirs,
        "J_regressor": left.J_regressor,
        "weights": left.weights,
        "f": left.faces,
        "kintree_table": np.stack([left.parents, np.arange(16)]),
        "hands_mean": left.hands_mean,
    }
    wrong = asset_from_arrays(released, False, "MANO_LEFT")
    assert needs_shape_flip(wrong, right) and not needs_shape_flip(left, right)
    for given in (wrong, left, None):
        pair = pair_of(right, given)
        np.testing.assert_allclose(pair[0].shapedirs, left.shapedirs)
        assert not pair[0].is_right and pair[1] is right


def test_hands_for_the_wrong_side_are_refused():
    right = load_generic_hand()
    with pytest.raises(AssetError, match="exchange"):
        pair_of(mirror(right))
    with pytest.raises(AssetError, match="exchange"):
        pair_of(right, right)


def packed(path, official, names, asset=None):
    """A zip as the publisher gives it, with the generic hand under these names."""
    right = asset or load_generic_hand()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mano_v1_2/LICENSE.txt", "no passing on")
        archive.writestr("__MACOSX/mano_v1_2/models/MANO_RIGHT.pkl", b"\0\5\26\7")
        for name in names:
            hand = mirror(right) if "LEFT" in name else right
            archive.writestr(name, pickle.dumps(official(hand), protocol=2))
    return path


def test_the_publishers_zip_is_read_and_so_is_its_folder(official, tmp_path):
    names = ["mano_v1_2/models/MANO_LEFT.pkl", "mano_v1_2/models/MANO_RIGHT.pkl"]
    archive = packed(tmp_path / "mano_v1_2.zip", official, names)
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path / "unpacked", names)
    for source in (archive, tmp_path / "unpacked"):
        out = tmp_path / f"out of {source.name}"
        left, right = convert_mano(source, out)
        assert (left, right) == (out / "MANO_LEFT.npz", out / "MANO_RIGHT.npz")
        assert load_hand(right).is_right and not load_hand(left).is_right and load_hand(left).name == "MANO_LEFT"
        with pytest.raises(AssetError, match="holds 2 hands, and .*one.npz is one file"):
            convert_mano(source, tmp_path / "one.npz")
    single = packed(tmp_path / "one.zip", official, names[1:])
    assert convert_mano(single, tmp_path / "one.npz") == [tmp_path / "one.npz"]


@pytest.mark.parametrize(
    "content, words",
    [
        (b"<!DOCTYPE html><html><body>Please log in</body></html>", "is a web page, not a MANO model; log in"),
        (b"\xef\xbb\xbf\n <HTML>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3821356\n", "is a Git LFS pointer.*git lfs pull"),
        (b"", "is empty"),
        (b'{"error": "not found"}', "is a JSON text, not a MANO model; give MANO_RIGHT.pkl"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "is an XML text"),
        (b"\x1f\x8b\x08" + bytes(40), "is a gzip archive"),
        (b"PK\x03\x04" + bytes(40), "is a truncated zip archive.*download it again"),
        (b"\x80\x02}q\x00(", "is not a complete pickle.*download it again"),
        (b"%PDF-1.4", "is a PDF"),
        (b"\\\x9e\x01 neither", "is neither a pickle nor a zip archive; give MANO_RIGHT.pkl"),
    ],
)
def test_what_was_downloaded_instead_is_named(tmp_path, content, words):
    path = tmp_path / "MANO_RIGHT.pkl"
    path.write_bytes(content)
    with pytest.raises(AssetError, match=words) as raised:
        convert_mano(path, tmp_path)
    assert ("download it again" in str(raised.value)) == ("download it again" in words or not content)
    with pytest.raises(AssetError, match="MANO_RIGHT.pkl"):
        read_mano(path)


def test_zips_that_hold_something_else_are_told(official, tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("SMPL_NEUTRAL.pkl", b"")
    with pytest.raises(AssetError, match=r"without MANO_RIGHT.pkl and MANO_LEFT.pkl .it holds SMPL_NEUTRAL.pkl"):
        convert_mano(tmp_path / "other.zip", tmp_path)
    with zipfile.ZipFile(tmp_path / "page.zip", "w") as archive:
        archive.writestr("models/MANO_RIGHT.pkl", b"<html>log in</html>")
    with pytest.raises(AssetError, match="page.zip: models/MANO_RIGHT.pkl is a web page"):
        convert_mano(tmp_path / "page.zip", tmp_path)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("MANO_RIGHT.pkl", bytes(100 * 2**20))
    with pytest.raises(AssetError, match="a MANO model about 4 million"):
        convert_mano(tmp_path / "bomb.zip", tmp_path)
    damaged = packed(tmp_path / "mano.zip", official, ["MANO_RIGHT.pkl"])
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 255
    damaged.write_bytes(data)
    with pytest.raises(AssetError, match="MANO_RIGHT.pkl"):
        convert_mano(damaged, tmp_path)
    np.savez(tmp_path / "hand.npz", a=1)
    with pytest.raises(AssetError, match="is a numpy archive .npz., not a MANO model"):
        convert_mano(tmp_path / "hand.npz", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(AssetError, match="is a folder without MANO_RIGHT.pkl"):
        convert_mano(tmp_path / "empty", tmp_path)


def test_a_pickle_is_not_written_over(official, tmp_path):
    path = write(tmp_path / "hand.npz", official(load_generic_hand()))
    before = path.read_bytes()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link.npz").hardlink_to(path)
    for out in (path, tmp_path, tmp_path / "out" / "link.npz"):
        with pytest.raises(InputError, match="would be written over"):
            convert_mano(path, out)
    assert path.read_bytes() == before
