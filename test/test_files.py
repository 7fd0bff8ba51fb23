"""Files that people name: what they really are, names of any bytes, and inputs that no command writes over."""

import argparse
import os
import shutil

import numpy as np
import pytest
import torch

from fourdhands_core import cli
from fourdhands_core.commands import FOLDER, add_settings
from fourdhands_core.errors import AssetError, CheckpointError, DatasetError, InputError
from fourdhands_core.files import check_file, kind_of, local_path, refuse_overwriting, utf8_name
from fourdhands_core.geometry.calibration_file import read_views
from fourdhands_core.hand_model.assets import GENERIC, SHIPPED_HANDS, load_hand
from fourdhands_core.learning.datasets.files import read_json, read_pickle
from fourdhands_core.learning.datasets.frames import read_image
from fourdhands_core.learning.image.settings import read_settings
from fourdhands_core.network.checkpoint import load_weights, save_weights
from fourdhands_core.network.foreign_checkpoint import read_checkpoint
from fourdhands_core.network.landmark_config import SHIPPED
from fourdhands_core.network.weights_file import read_header
from fourdhands_core.runtime.landmark import OnnxParts

PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3821356\n"


@pytest.mark.parametrize(
    "content, kind",
    [
        (b"", "empty"),
        (PAGE, "a web page"),
        (POINTER, "a Git LFS pointer, which stands for the file"),
        (b"\xef\xbb\xbf\r\n<HTML lang=en>", "a web page"),
        (b"PK\x03\x04", "a truncated zip archive"),
        (b'[{"a": 1}]', "a JSON text"),
        (b"image_width: 640\n", ""),
        (b"\x80\x04\x95", "a pickle"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"BZh91AY&SY", "a bzip2 archive"),
        (bytes(257) + b"ustar", "a tar archive"),
        (b"\0\0\0\x20ftypisom", "a video"),
        (b"\0\0\0\x08wide\0\0\1\0mdat", "a video"),
        ((b"G\x40\0" + bytes(185)) * 3, "a video"),
        ((bytes(4) + b"G\x40\0" + bytes(185)) * 3, "a video"),
        (b"\0\0\1\xba\x21\0", "a video"),
        (b"\0\0\0\1\x67\x64", "a video"),
        (b"FLV\1\5", "a video"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9", "a video"),
        (b"the wide side: 1\n", ""),
        (b"\0\0\0\x1cftypheic", "a picture in HEIC or AVIF"),
        (b"\0\0\0\x1cftypavif", "a picture in HEIC or AVIF"),
        (b"\x89PNG\r\n\x1a\n", "a picture"),
        (b"\0\1\2\3", ""),
    ],
)
def test_files_are_told_by_how_they_begin(tmp_path, content, kind):
    (tmp_path / "file").write_bytes(content)
    assert kind_of(tmp_path / "file")[0] == kind


@pytest.mark.parametrize(
    "text, path",
    [
        ("file:///a%20b/c.mp4", "/a b/c.mp4"),
        ("file://localhost/a", "/a"),
        ("FILE:/a", "/a"),
        ("file:///h%C3%A4nde", "/hände"),
        ("file:///%E9", "/\udce9"),
        ("file://server/a", "file://server/a"),
        ("/a%20b", "/a%20b"),
        ("http://a/b", "http://a/b"),
        ("file", "file"),
    ],
)
def test_addresses_of_local_files(text, path):
    assert local_path(text) == path


def test_paths_from_the_home_directory_which_shells_leave_to_programs(monkeypatch):
    """As in --out=~/cups and ros2 launch's bag:=~/cups: a folder called ~ was made where the command was given."""
    monkeypatch.setenv("HOME", "/home/me")
    assert [local_path(text) for text in ("~/cups", "cups~", "./~")] == ["/home/me/cups", "cups~", "./~"]
    parser = argparse.ArgumentParser()
    add_settings(parser)
    parser.add_argument("--out", **FOLDER)
    given = parser.parse_args(["--out=~/cups", "--hand-model=~/mano.npz"])
    assert (str(given.out), given.hand_model) == ("/home/me/cups", "/home/me/mano.npz")


def test_a_file_may_be_named_as_a_browser_does(tmp_path, capsys):
    (tmp_path / "a b.mp4").write_text("text")
    for name in ("track", "benchmark"):
        out = ["--out", str(tmp_path / "out")]
        assert cli.main([name, f"file://{tmp_path}/a%20b.mp4", *out]) == 2
        assert f"video {tmp_path}/a b.mp4 cannot be read" in capsys.readouterr().err


def test_zips_are_told_by_what_they_hold(tmp_path):
    np.savez(tmp_path / "a.npz", a=1)
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pth")
    assert kind_of(tmp_path / "a.npz")[0] == "a numpy archive (npz)"
    assert kind_of(tmp_path / "a.pth")[0] == "a torch checkpoint"
    assert kind_of(SHIPPED)[0] == "a safetensors file" and kind_of(tmp_path / "none") == kind_of(tmp_path) == ("", "")
    os.mkfifo(tmp_path / "pipe")
    assert kind_of(tmp_path / "pipe") == ("", "")
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:100])
    assert kind_of(tmp_path / "b.npz")[0] == "a truncated zip archive"


@pytest.mark.parametrize("name", ["link", "gone"])
def test_what_is_no_file_is_told(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to("nowhere")
    for path, words in (
        (tmp_path / "none", "model .*none does not exist; give one"),
        (tmp_path, "is a folder; give one"),
        (tmp_path / "pipe", "is a device or a pipe"),
        (tmp_path / "gone", "is a link to a file that does not"),
        (tmp_path / ("x" * 300), "cannot be opened .File name too long"),
    ):
        with pytest.raises(AssetError, match=words):
            check_file(path, "model", "give one", AssetError)


@pytest.mark.parametrize(
    "content, words",
    [
        (PAGE, "is a web page.*log in"),
        (POINTER, "Git LFS pointer.*git lfs pull"),
        (b"", "is empty"),
        (b"PK\x03\x04abc", "is a truncated zip archive"),
    ],
)
@pytest.mark.parametrize(
    "read, name, error",
    [
        (read_views, "camera.yaml", InputError),
        (read_settings, "run.yaml", InputError),
        (read_json, "truth.json", DatasetError),
        (read_pickle, "truth.pkl", DatasetError),
        (read_image, "frame.png", DatasetError),
        (load_hand, "hand.npz", AssetError),
        (read_header, "w.safetensors", CheckpointError),
        (read_checkpoint, "c.pth", CheckpointError),
    ],
)
def test_every_reader_names_what_was_downloaded_instead(tmp_path, read, name, error, content, words):
    if read in (read_settings, read_views) and content not in (PAGE, POINTER):
        return  # what is empty, or no text, is told in other words
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=words) as raised:
        read(tmp_path / name)
    assert "weights_only" not in str(raised.value)


WEIGHTS = {"blocks.0.attn.qkv.weight": torch.ones(3, 3), "norm.bias": torch.zeros(2)}
OTHER = {name: tensor + 1 for name, tensor in WEIGHTS.items()}


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        {"state_dict": WEIGHTS},
        {"model": WEIGHTS, "epoch": 3},
        {"network": WEIGHTS},
        {"net": WEIGHTS, "step": torch.tensor(3)},
        {"params": WEIGHTS, "params_ema": OTHER},
        {"model_state_dict": WEIGHTS, "optimizer_state_dict": {"state": {"a": OTHER}}},
        {"state_dict_ema": WEIGHTS},
        {"state_dict": WEIGHTS, "state_dict_ema": OTHER},
        {"generator": WEIGHTS},
        {"model": {"state_dict": WEIGHTS}},
        {"callbacks": {"ema": {"state_dict": OTHER}}, "state_dict": WEIGHTS},
        {"state_dict": {f"module.{name}": tensor for name, tensor in WEIGHTS.items()}},
        {f"_orig_mod.{name}": tensor for name, tensor in WEIGHTS.items()},
        {"weights": WEIGHTS, "statistics": {"mean": torch.zeros(3)}, "args": {"lr": 1e-3}},
    ],
)
def test_weights_are_found_wherever_training_programs_keep_them(tmp_path, content):
    torch.save(content, tmp_path / "any\udce9.pth")
    found = read_checkpoint(tmp_path / "any\udce9.pth")
    assert found.keys() == WEIGHTS.keys() and all(torch.equal(found[name], WEIGHTS[name]) for name in found)


@pytest.mark.parametrize(
    "content, words",
    [
        ({"teacher": WEIGHTS, "student": OTHER}, "holds mappings teacher, student of 2 tensors each"),
        ({"epoch": 3, "args": {"lr": 1e-3}}, "holds no tensors; it holds epoch, args"),
        ([1, 2], "holds a list, not tensors by name"),
        (torch.nn.Linear(2, 2), r"not tensors by name; save the network's state_dict\(\)|could run code"),
    ],
)
def test_checkpoints_without_one_set_of_weights(tmp_path, content, words):
    torch.save(content, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match=words) as raised:
        read_checkpoint(tmp_path / "c.pth")
    assert "weights_only" not in str(raised.value)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_torchs_advice_to_switch_its_protection_off_is_not_passed_on(tmp_path):
    torch.save({"a": torch.nn.Linear(2, 2)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    whole = (tmp_path / "old.pth").read_bytes()
    for content in (whole, whole[: len(whole) // 2], b"text", b"\x80\x02cos\nsystem\n."):
        (tmp_path / "c.pth").write_bytes(content)
        with pytest.raises(CheckpointError, match="c.pth cannot be read as plain weights: it ") as raised:
            read_checkpoint(tmp_path / "c.pth")
        assert "weights_only" not in str(raised.value) and "torch.load" not in str(raised.value)


def test_safetensors_are_checkpoints_too():
    tensors = read_checkpoint(SHIPPED)
    network = load_weights()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in network.state_dict().items())


def test_networks_and_hand_models_under_names_that_are_not_utf8(tmp_path):
    folder = tmp_path / "mod\udce8les"
    folder.mkdir()
    network = load_weights()
    save_weights(network, folder / "w\udce9.safetensors", why="test")
    assert read_header(folder / "w\udce9.safetensors")[1] == {"why": "test"}
    again = load_weights(folder / "w\udce9.safetensors").state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in network.state_dict().items())
    shutil.copy(SHIPPED_HANDS[GENERIC], folder / "hand.npz")
    assert load_hand(folder / "hand.npz").is_right
    with utf8_name(folder) as name:
        assert name.isascii() and sorted(os.listdir(name)) == ["hand.npz", "w\udce9.safetensors"]
    assert not os.path.lexists(name)
    with utf8_name(tmp_path / "plain") as name:
        assert name == str(tmp_path / "plain")
    with utf8_name("13:00/clip.mp4") as name:
        assert name == os.path.abspath("13:00/clip.mp4")
    with pytest.raises(CheckpointError, match="fourdhands export"):
        OnnxParts(folder, ("none.onnx",), None)


def test_what_would_be_written_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data"
    folder.mkdir()
    source = folder / "in.npz"
    source.write_text("mine")
    (tmp_path / "hard.npz").hardlink_to(source)
    (tmp_path / "soft.npz").symlink_to(source)
    (tmp_path / "again").symlink_to("data")
    for output in (source, "data/in.npz", "./data/../data/in.npz", "hard.npz", "soft.npz", "again/in.npz"):
        with pytest.raises(InputError, match="would be written over"):
            refuse_overwriting([tmp_path / "new", output], [None, "", "gone", source])
        with pytest.raises(InputError, match="would be written over"):
            refuse_overwriting([output], [source if output == "hard.npz" else folder])
    refuse_overwriting([tmp_path / "new", folder / "new", tmp_path / "hard.npz"], [folder, "gone", None])


@pytest.fixture
def files(tmp_path):
    """A folder with inputs of every command, each under the name of what the command writes."""
    save_weights(load_weights(), tmp_path / "w.safetensors")
    for name in ("encode.onnx", "hands.npz", "w.json", "w.png", "weights.safetensors"):
        shutil.copy(tmp_path / "w.safetensors", tmp_path / name)
    (tmp_path / "link.safetensors").hardlink_to(tmp_path / "w.safetensors")
    torch.save({"a": torch.zeros(1)}, tmp_path / "c.pth")
    shutil.copy(tmp_path / "c.pth", tmp_path / "c.safetensors")
    (tmp_path / "c.yaml").write_text("run: {steps: 1}\nstart: {weights: weights.safetensors}\n")
    shutil.copy(tmp_path / "c.yaml", tmp_path / "curve.png")
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        "import-weights c.safetensors",
        "import-weights c.pth --out c.pth",
        "import-weights c.pth --out ./../{name}/c.pth",
        "export --weights encode.onnx --out .",
        "benchmark w.json --out w.json",
        "benchmark --backbone S --weights w.json --out w.json",
        "evaluate --weights w.json --out w.json",
        "evaluate --hand-model w.safetensors --out link.safetensors",
        "evaluate --real . --out w.json",
        "evaluate --dataset synthetic --data . --out .",
        "data check synthetic . --out w.png",
        "data check synthetic none --out w.png --hand-model w.png",
        "train landmark --out w.safetensors --set start=link.safetensors",
        "train landmark --out w.json --set measured_folder=w.json",
        "train curve.png --out .",
        "train c.yaml --out .",
        "data synthesise .",
    ],
)
def test_no_command_writes_over_what_it_reads(files, monkeypatch, capsys, arguments):
    monkeypatch.chdir(files)
    before = {path.name: path.read_bytes() for path in files.iterdir()}
    assert cli.main(arguments.format(name=files.name).split()) == 2
    assert {path.name: path.read_bytes() for path in files.iterdir()} == before
    told = capsys.readouterr().err
    assert any(words in told for words in ("would be written over", "is the dataset's folder", "not an empty folder")), told
