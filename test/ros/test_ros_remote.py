"""Bags and datasets on storages that a URL names: the same bytes, nothing done twice, nothing half-made taken for whole."""

import contextlib
import shutil

import pytest

pytest.importorskip("rclpy", reason="bags need ROS 2 (pip install 'fourdhands[ros]')")

import numpy as np
from bag_support import TYPES, image_entry, read_bag, write_bag
from episode_support import bags, exported, files, run  # noqa: F401
from ros_support import T0

from fourdhands_core import cli, remote
from fourdhands_core.engine import run_in_turn
from fourdhands_core.remote import Remote

with contextlib.suppress(ModuleNotFoundError):  # a workspace, in which the plugins of launch import this file, may lack them
    import fsspec
    import pyarrow  # noqa: F401
pytestmark = pytest.mark.skipif(
    "fsspec" not in globals() or "pyarrow" not in globals(), reason="datasets and URLs need them (extras dataset, cluster)"
)


@pytest.fixture
def storage(bags, tmp_path, monkeypatch):
    """One in memory, which commands refuse otherwise, with both bags, and a cache of the test's own."""
    monkeypatch.setenv("FOURDHANDS_CACHE", str(tmp_path / "cache"))
    system, root = fsspec.filesystem("memory"), f"/{tmp_path.name}"
    system.put(str(bags), f"{root}/bags", recursive=True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(remote, "_VANISHING", ())
        yield Remote(f"memory:/{root}")
    system.rm(root, recursive=True)


def export(capsys, storage, *more, bags="bags"):
    return run(capsys, "export", storage / bags, "--out", storage / "cups", "--task", "lift", "--quiet", *more)


def content(storage, tmp_path, name="cups"):
    shutil.rmtree(tmp_path / "back", ignore_errors=True)
    (storage / name).fetch_all(tmp_path / "back")
    return files(tmp_path / "back")


def test_the_same_bytes_as_of_paths(storage, exported, tmp_path, capsys, monkeypatch):
    code, out, said = export(capsys, storage)
    assert code == 0 and "3 episodes" in out, said
    assert content(storage, tmp_path) == files(exported)
    code, out, said = run(capsys, "check", storage / "cups", storage / "bags")
    assert code == 0 and f"{storage}/bags/bag_2" in out and "cache" not in out, said
    assert not any(any(folder.iterdir()) for folder in (tmp_path / "cache").iterdir() if folder.name != "notes")
    monkeypatch.setattr(Remote, "fetch", None)  # what is noted of the bags is enough
    code, out, said = export(capsys, storage)
    assert code == 0 and "nothing was done" in out, said
    code, _, said = export(capsys, storage, "--fps", "15")
    assert code == 2 and "of other bags or options" in said
    monkeypatch.undo()
    monkeypatch.setenv("FOURDHANDS_CACHE", str(tmp_path / "another"))
    code, out, said = export(capsys, storage)
    assert code == 0 and "nothing was done" in out, said


def test_nothing_is_written_into_a_bag_or_a_dataset(storage, tmp_path, capsys):
    """As on a local disk: a dataset was written among the files of a bag that was read, and of another dataset."""
    assert export(capsys, storage)[0] == 0
    before = files_on(storage)
    for out, kind in (("cups/new", "dataset"), ("cups/data/new", "dataset"), ("bags/bag_2/new", "bag")):
        words = f"is in a {kind}"
        code, _, said = run(capsys, "export", storage / "bags", "--out", storage / out, "--task", "lift", "--quiet")
        assert code == 2 and f"{storage / out} {words}" in said and "into which nothing else is written" in said, said
        assert cli.main(["bag", str((storage / "bags/bag_2").url), str((storage / out).url), "--quiet"]) == 2
        assert f"{storage / out} {words}" in capsys.readouterr().err
    assert files_on(storage) == before


def files_on(storage):
    return [(file.name, file.tag) for file in storage.with_all().files]


def test_killed_while_it_is_brought(storage, exported, tmp_path, capsys, monkeypatch):
    """Nobody takes it for whole; the rerun brings what was made."""
    with monkeypatch.context() as broken:
        broken.setattr(Remote, "put", lambda *_, **__: (_ for _ in ()).throw(OSError("cut off")))
        code, _, said = export(capsys, storage)
        assert code == 2 and "cut off" in said and not (storage / "cups").holds("meta/fourdhands.json")
    monkeypatch.setattr(Remote, "fetch", None)
    code, out, said = export(capsys, storage)
    monkeypatch.undo()
    assert code == 0 and "3 episodes" in out, said
    assert content(storage, tmp_path) == files(exported)


def test_what_fails_is_named_by_its_url(storage, tmp_path, capsys):
    system = fsspec.filesystem("memory")
    (file,) = (file for file in (storage / "bags" / "bag_2").find(remote.re.compile("mcap$")))
    whole = system.cat_file(file.path)
    system.pipe_file(file.path, whole[:30])
    code, _, said = export(capsys, storage)
    assert code == 2 and f"{storage}/bags/bag_2" in said and "cache" not in said and "Traceback" not in said
    system.pipe_file(file.path, whole)
    assert export(capsys, storage)[0] == 0
    code, _, said = export(capsys, storage, bags="none")
    assert code == 2 and f"{storage}/none does not exist" in said
    code, _, said = run(capsys, "export", storage / "bags", "--out", storage / "bags" / "bag_2", "--quiet")
    assert code == 2 and "is there already" in said


def test_what_lies_where_a_cluster_puts_parts_is_left_alone(storage, capsys, monkeypatch):
    """The inputs themselves, say; only what an export began is gone on with and removed."""
    from fourdhands_ros.episodes import export as work

    monkeypatch.setattr(work, "run_apart", lambda *them: run_in_turn(*them[:2], *them[4:]))
    fsspec.filesystem("memory").mv(f"{storage / 'bags'}"[8:], f"{storage / 'cups.partial'}"[8:], recursive=True)
    before = [file.name for file in storage.find(remote.re.compile(""))]
    code, _, said = export(capsys, storage, "--address", "auto", bags="cups.partial")
    assert code == 2 and f"{storage}/cups.partial is there and no unfinished export" in said
    assert [file.name for file in storage.find(remote.re.compile(""))] == before
    fsspec.filesystem("memory").mv(f"{storage / 'cups.partial'}"[8:], f"{storage / 'bags'}"[8:], recursive=True)
    with monkeypatch.context() as broken:
        broken.setattr(work, "finish", lambda *_: (_ for _ in ()).throw(OSError("cut off")))
        assert export(capsys, storage, "--address", "auto")[0] == 2
    assert (storage / "cups.partial").find(remote.re.compile("part.json"))
    assert export(capsys, storage, "--address", "auto")[0] == 0
    assert not (storage / "cups.partial").find(remote.re.compile(""), needed=False)


def test_what_came_half_is_no_bag_and_no_dataset(storage, tmp_path, capsys):
    """As `fourdhands bag` and `episodes export` leave it where they are killed while they bring something."""
    bag = storage / "bags" / "bag_2"
    whole = (bag / "metadata.yaml").read_text()
    (bag / "metadata.yaml").remove()
    (bag / remote.UPLOADING).write_text("")
    code, out, said = export(capsys, storage)
    assert code == 0 and "1 episode," in out, said
    code, _, said = run(capsys, "check", bag, storage / "bags" / "bag_10")
    assert code == 1 and f"{bag}: is not whole yet" in said
    code, _, said = run(capsys, "export", bag, "--out", tmp_path / "out")
    assert code == 2 and f"what is at {bag} is not whole yet" in said
    (bag / "metadata.yaml").write_text(whole)
    code, _, said = run(capsys, "export", bag, "--out", tmp_path / "out", "--quiet")
    assert code == 0, said


def test_a_url_where_only_paths_are_read_is_told_to_be_one(capsys):
    for command in (["list"], ["trim"], ["relabel"], ["play"], ["import", "--out", "there"]):
        with pytest.raises(SystemExit) as ended:
            run(capsys, *command, "s3://lab/bag")
        assert ended.value.code == 2 and "s3://lab/bag is an address" in capsys.readouterr().err


def test_an_address_with_one_slash_is_none_and_no_folder(capsys, tmp_path, monkeypatch):
    """FFmpeg and pyarrow would take the folder for an address."""
    monkeypatch.chdir(tmp_path)
    for command in (["export", "bags", "--out", "s3:/lab/cups"], ["check", "s3:/lab/cups"], ["list", "s3:/lab/cups"]):
        with pytest.raises(SystemExit) as ended:
            run(capsys, *command)
        assert ended.value.code == 2 and "begins with s3://" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    code, _, said = run(capsys, "list", f"file:{tmp_path}/none")  # which is a path
    assert code == 2 and f"{tmp_path}/none does not exist" in said


def test_processes_of_their_own(bags, exported, tmp_path, capsys, monkeypatch):
    """--jobs 2 from a folder that is reached by fsspec to one that is."""
    monkeypatch.setenv("FOURDHANDS_CACHE", str(tmp_path / "cache"))
    out = Remote(f"local://{tmp_path}/cups")
    code, _, said = run(capsys, "export", f"local://{bags}", "--out", out.url, "--task", "lift", "--quiet", "--jobs", "2")
    assert code == 0, said
    assert files(tmp_path / "cups") == files(exported)


def test_hands_in_images_of_a_url(tmp_path, capsys, monkeypatch):
    """`fourdhands bag` from and to storages: one, several, again, and what is there."""
    monkeypatch.setenv("FOURDHANDS_CACHE", str(tmp_path / "cache"))
    for name in ("a", "b"):
        image = np.full((48, 64, 3), 90, np.uint8)
        entries = [image_entry("/cam/image_raw", T0 + i * 10**8, image, "cam") for i in range(3)]
        write_bag(tmp_path / "in" / name, entries, {"/cam/image_raw": TYPES["image_raw"]})
    here, out = Remote(f"local://{tmp_path}/in"), Remote(f"local://{tmp_path}/out")

    def bag(*paths):
        code = cli.main(["bag", "--quiet", *map(str, paths)])
        return code, *capsys.readouterr()

    assert bag(here / "a", out / "alone")[0] == 0
    code, told, _ = bag(here / "a", out / "alone")
    assert code == 0 and f"{out}/alone is there already; nothing was done" in told
    code, _, said = bag(here / "b", out / "alone")
    assert code == 2 and f"{out}/alone is there already" in said
    assert bag("--jobs", "1", here / "a", here / "b", out / "many")[0] == 0
    assert read_bag(tmp_path / "out" / "many" / "a") == read_bag(tmp_path / "out" / "alone")
    code, told, _ = bag("--jobs", "1", here / "a", here / "b", out / "many")
    assert code == 0 and told.count("is there already") == 2
    code, told, _ = bag("info", out / "alone")
    assert code == 0 and "/cam" in told
    code, _, said = bag(here, out / "all")
    assert code == 2 and "is a folder of bags" in said
    code, _, said = bag("--jobs", "1", here / "a", here / "b", here)
    assert code == 2 and f"{here}/a is a recording that is read" in said
    assert not any((tmp_path / "cache" / "outputs").iterdir()) and not any((tmp_path / "cache" / "inputs").iterdir())
